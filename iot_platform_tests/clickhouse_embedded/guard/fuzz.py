"""Attack this process's engine.

    python -m iot_platform_tests.clickhouse_embedded.guard.fuzz DIRECTORY --protections ...

With the protections "guard" and "engine", as in production, no attack may succeed, and neither with "kernel" alone.
Without protections, attacks must succeed: this shows that they work.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from iot_platform_tests.clickhouse_embedded.guard.canaries import Canaries, canaries
from iot_platform_tests.clickhouse_embedded.guard.grammar import Grammar

if TYPE_CHECKING:
    from iot_platform.clickhouse_embedded.engine import Engine
    from iot_platform.clickhouse_embedded.handle import Handle

# So that a statement that loops (loop(), numbers) ends.
_LIMITS = {"max_execution_time": "1", "max_result_rows": "1000", "result_overflow_mode": "break"}
_LIMITS |= {"http_max_tries": "1", "connect_timeout": "1", "http_connection_timeout": "1", "s3_retry_attempts": "1"}


def main() -> int:
    """Run the attacks and print the results as one line of JSON; exit code 1 when one succeeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--protections", nargs="*", default=["guard", "engine"], choices=["guard", "engine", "kernel"])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with canaries(options.directory / "canaries") as found:
        result = _run(options.directory, set(options.protections), found, options.count, options.seed)
    sys.stdout.write(json.dumps(result) + "\n")
    return 1 if result["reached"] else 0


def _run(directory: Path, protections: set[str], found: Canaries, count: int, seed: int) -> dict[str, object]:
    home = directory / "home"
    for name in ("data", "tmp"):
        (home / name).mkdir(parents=True)
    os.environ["TMPDIR"] = tempfile.tempdir = str(home / "tmp")
    os.chdir(home)
    config = _config(home, "engine" in protections)
    if "kernel" in protections:
        _restrict_process(home, found)
    from iot_platform.clickhouse_embedded.engine import Engine

    engine = Engine(home / "data", config)
    run = _through_the_guard(engine) if "guard" in protections else _straight
    grammar = Grammar(random.Random(seed), found)
    reached: list[dict[str, object]] = []
    codes: Counter[int] = Counter()
    for number in range(count):
        attack = grammar.statements()
        touched = _attack(engine, run, attack, found, codes)
        if touched:
            reached.append({"number": number, "what": touched, "statements": attack})
            sys.stderr.write(f"{reached[-1]}\n")
            found.reset()
        if number % 1000 == 999:
            sys.stderr.write(f"{number + 1} attacks, {len(reached)} came through\n")
    engine.close()
    return {"attacks": count, "reached": reached, "codes": dict(codes)}


def _config(home: Path, protected: bool) -> Path:
    from iot_platform.clickhouse_embedded.config import write_config

    config = write_config(home / "config", 2 * 1024**3)
    if not protected:  # the engine's own default: every right, files from anywhere
        users = home / "config" / "users.xml"
        grants = "<grants><query>GRANT ALL ON *.*</query></grants>"
        users.write_text(re.sub("<constraints>.*</constraints>|<grants>.*</grants>", "", users.read_text(), flags=re.S))
        users.write_text(users.read_text().replace("</default></users>", f"{grants}</default></users>"))
    return config


def _restrict_process(home: Path, found: Canaries) -> None:
    from iot_platform.clickhouse_embedded.lockdown import Rights, restrict_process

    missing = restrict_process(Rights([home / "data", home / "tmp"], [home / "config", found.written], [], home))
    if missing:
        raise SystemExit(missing)


def _attack(
    engine: Engine, run: Callable[[Handle, str], bytes], attack: list[str], found: Canaries, codes: Counter[int]
) -> str:
    from iot_platform.clickhouse_embedded.errors import ClickHouseError

    handle = engine.open()
    answer = b""
    try:
        handle.apply(_LIMITS)
        handle.query("CREATE OR REPLACE TABLE kept (c String) ENGINE = MergeTree ORDER BY c")
        handle.query("INSERT INTO kept VALUES ('a')")
        for sql in attack:
            try:
                answer += run(handle, sql)
                codes[0] += 1
            except ClickHouseError as error:
                codes[error.code] += 1
                answer += error.message.encode("utf-8", "surrogateescape")
    finally:
        handle.close()
    return found.touched(answer)


def _straight(handle: Handle, sql: str) -> bytes:
    return bytes(handle.query(sql).bytes())


def _through_the_guard(engine: Engine) -> Callable[[Handle, str], bytes]:
    """Run a statement as a request does: check it, then run its rendering."""
    from iot_platform.clickhouse_embedded.execution import LITERALS_ONLY
    from iot_platform.clickhouse_embedded.statement import insert_head
    from iot_platform.clickhouse_embedded.statement_checker import StatementChecker

    checker = StatementChecker(engine, "none")

    def run(handle: Handle, sql: str) -> bytes:
        head = insert_head(sql)
        if head is not None and head.format.lower() == "values":
            values = sql[head.data_start :]
            if checker.refused_word(values):
                handle.apply(LITERALS_ONLY)
            return bytes(handle.query_one(checker.with_values(head, values), "TSV", {}).bytes())
        return bytes(handle.query_one(checker.statement(sql).text, "TSV", {}).bytes())

    return run


if __name__ == "__main__":
    sys.exit(main())
