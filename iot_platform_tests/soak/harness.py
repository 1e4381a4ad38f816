"""One soak: processes that are killed at random moments, in rounds that each end with a comparison with the model."""

from __future__ import annotations

import contextlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import SecretStr

from iot_platform.clickhouse.session import migrated_session
from iot_platform.services.process import free_port
from iot_platform.settings import Settings
from iot_platform_tests.e2e.commands import environment
from iot_platform_tests.soak import checks
from iot_platform_tests.soak.model import Expected, Stream
from iot_platform_tests.soak.processes import WAIT_S, Prover, Server, SoakError, end_all_of, rebuild_is_running
from iot_platform_tests.soak.sender import STREAM, Sender

VICTIMS = ("server", "ingest", "prove")
BATCH_ROWS, BATCH_AGE_S = 400, 0.05
LINES_S = 1_000.0
# About ten batches: small enough to fill up at times, and to be delivered quickly at the end.
OUTBOX_BYTES = 120_000
POLL_S = 0.02


@dataclass(frozen=True)
class Plan:
    """The number of kills, and the limits of time."""

    seed: int
    kills: int = 200
    kills_per_round: int = 20
    limit_s: float = 3600.0


@dataclass
class Outcome:
    """The result. ``mismatches`` is empty when every layer matched the model."""

    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    kills_within_rebuild: int = 0
    resumed: int = 0
    rounds: int = 0
    readings: int = 0
    duplicates: int = 0
    quarantined: int = 0
    kWh: float = 0.0
    proofs_finished: int = 0
    proofs_failed: int = 0
    seconds: float = 0.0
    mismatches: list[str] = field(default_factory=list)
    home: str = ""

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "kills": dict(self.kills)}


class Soak:
    """Use ``run`` once. The home is kept when something does not match."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._say = say
        self._random = random.Random(plan.seed)
        self._home = Path(tempfile.mkdtemp(prefix="iot-soak-")).resolve()
        self._port = free_port(0, "127.0.0.1")
        self._stream = Stream(plan.seed)
        self._outcome = Outcome(plan.seed)
        self._deadline = 0.0

    def run(self) -> Outcome:
        """Kill and compare. All started processes are ended afterwards, also after an error."""
        started = time.monotonic()
        self._deadline = started + self._plan.limit_s
        outcome = self._outcome
        try:
            with (self._home / "soak.log").open("ab", buffering=0) as log:
                self._rounds(log)
        except (SoakError, subprocess.SubprocessError) as error:
            outcome.mismatches.append(f"{type(error).__name__}: {error}")
        finally:
            end_all_of(self._home)
            outcome.seconds = round(time.monotonic() - started, 1)
            if outcome.mismatches or sys.exc_info()[0]:
                outcome.home = str(self._home)
                self._say(f"Kept for inspection: {self._home}")
            else:
                shutil.rmtree(self._home)
        return outcome

    def _rounds(self, log: Any) -> None:
        settings = Settings(home=self._home, clickhouse_port=self._port, clickhouse_url=None)
        env = environment(
            self._home,
            IOT_CLICKHOUSE_PORT=str(self._port),
            IOT_BATCH_ROWS=str(BATCH_ROWS),
            IOT_BATCH_AGE_S=str(BATCH_AGE_S),
            IOT_OUTBOX_BYTES=str(OUTBOX_BYTES),
        )
        _iot_platform(env, log, "migrate")
        password = (settings.clickhouse_dir / "password").read_text(encoding="utf-8").strip()
        url = f"http://default:{quote(password, safe='')}@127.0.0.1:{self._port}"
        sender = Sender(env, log, self._stream, self._plan.seed, LINES_S)
        left = self._plan.kills
        while left > 0 and not self._outcome.mismatches:
            # A server of our own that the commands know by its address, and one that they start on demand, in turn.
            on_demand = self._outcome.rounds % 2 == 1
            used = env if on_demand else {**env, "IOT_CLICKHOUSE_URL": url}
            where = settings if on_demand else settings.model_copy(update={"clickhouse_url": SecretStr(url)})
            server = Server(settings, env, log, on_demand=on_demand)
            sender.env = used
            count = min(left, self._plan.kills_per_round)
            with self._server(server):
                self._kill_some(count, server, sender, Prover(used, log))
                self._compare(used, where, log, sender.acknowledged)
            left -= count

    @contextlib.contextmanager
    def _server(self, server: Server) -> Iterator[None]:
        server.start()
        try:
            yield
        finally:
            server.stop()

    def _kill_some(self, count: int, server: Server, sender: Sender, prover: Prover) -> None:
        sender.start()
        prover.start()
        victims = [VICTIMS[n % len(VICTIMS)] for n in range(count)]
        self._random.shuffle(victims)
        for victim in victims:
            self._wait(sender, prover, server, victim)
            within = rebuild_is_running(self._home)
            if victim == "server":
                killed = server.kill()
                prover.excuse()
                self._outage(server, sender, prover)
            elif victim == "ingest":
                killed = sender.kill()
                sender.start()
            else:
                killed = prover.kill()
                prover.start()
            self._outcome.kills[victim] += killed
            self._outcome.kills_within_rebuild += killed and within and victim != "ingest"
            self._say(f"{victim} {'killed' if killed else 'had ended'}; {sender.acknowledged:,} positions accepted")
        self._say("waiting until everything is delivered and proved")
        if not sender.finish():
            raise SoakError(f"ingest has not delivered everything: exit code {sender.exit_code}")
        prover.wait()
        self._outcome.proofs_finished += prover.finished
        self._outcome.proofs_failed += prover.failed
        self._outcome.resumed = sender.resumed

    def _outage(self, server: Server, sender: Sender, prover: Prover) -> None:
        """Go on without the server for a while; one that is started on demand comes back with the next proof."""
        self._keep_going(sender, prover if server.on_demand else None, self._random.choice([0.0, 0.5, 2.0]))
        server.start()

    def _wait(self, sender: Sender, prover: Prover, server: Server, victim: str) -> None:
        """Wait for a random moment in the work of the process that is killed next."""
        if victim == "prove":
            self._keep_going(sender, prover, self._random.uniform(0.3, 1.1) * prover.usual_s)
        else:
            self._keep_going(sender, prover, self._random.uniform(0.2, 4.0))
        while victim == "server" and not server.is_running:
            self._keep_going(sender, prover, POLL_S)

    def _keep_going(self, sender: Sender, prover: Prover | None, seconds: float) -> None:
        until = time.monotonic() + seconds
        while True:
            if prover is not None:
                prover.go_on()
            if sender.exit_code is not None:
                raise SoakError(f"ingest ended by itself: exit code {sender.exit_code}")
            if time.monotonic() > self._deadline:
                raise SoakError(f"not done after {self._plan.limit_s:.0f} s: {dict(self._outcome.kills)} kills")
            if time.monotonic() >= until:
                return
            time.sleep(POLL_S)

    def _compare(self, env: dict[str, str], settings: Settings, log: Any, accepted: int) -> None:
        outcome = self._outcome
        expected = Expected(self._stream.readings(accepted))
        _iot_platform(env, log, "prove")
        with migrated_session(settings) as client:
            found = list(checks.mismatches(client, expected))
            found += checks.leftovers(client, settings.root / "outbox" / STREAM)
            found += checks.wrong_status(_iot_platform(env, log, "status", "--json"))
            found += checks.wrong_proofs(_iot_platform(env, log, "prove", "--json"))
        outcome.rounds += 1
        outcome.mismatches += found
        outcome.readings = expected.l1.total()
        outcome.quarantined = expected.quarantine.total()
        outcome.duplicates = outcome.readings - outcome.quarantined - expected.l2.total()
        outcome.kWh = float(expected.kWh)
        self._say(
            f"{outcome.kills.total()} of {self._plan.kills} kills, {outcome.readings:,} readings, "
            f"{expected.kWh} kWh: " + ("NOT as the model says" if found else "as the model says")
        )


def _iot_platform(env: dict[str, str], log: Any, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "iot_platform", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        timeout=2 * WAIT_S,
        check=False,
    )
    if done.returncode:
        raise SoakError(f"iot-platform {' '.join(arguments)}: exit code {done.returncode}, see soak.log")
    return done.stdout
