"""``iot-platform ingest``."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator

import click
import pyarrow as pa

from iot_platform.cli.output import say
from iot_platform.errors import OutboxFullError, PlatformError
from iot_platform.readings.csv_lines import LineParser, read_whole_lines
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

STATE_EVERY_S = 0.5
FULL_PAUSE_S = 0.2


@click.command()
@click.argument("name")
@click.option("--full-wait", "full_wait_s", default=60.0, show_default=True, help="Seconds to wait for a full outbox.")
@click.option("--flush-wait", "flush_wait_s", default=60.0, show_default=True, help="Seconds to deliver at the end.")
@click.option("--json", "as_json", is_flag=True, help="Acknowledge each piece by a line of JSON on standard output.")
def ingest(name: str, full_wait_s: float, flush_wait_s: float, as_json: bool) -> None:
    """Accept readings of the stream NAME: lines of CSV on standard input, the first one naming the columns.

    Every line counts as one position. With --json the first line of output tells how many positions of the stream were
    accepted before, and each further one how many are now: a sender that was cut off goes on after the last number.
    What is accepted is on disk (IOT_HOME/outbox/NAME) and reaches L1 exactly once, whatever is killed; it is delivered
    in the background. While ClickHouse is away, lines are accepted until IOT_OUTBOX_BYTES; then reading stops.

    Lines that are no readings are reported in IOT_HOME/rejects; a last line without a line end, as a sender that died
    leaves it, is refused. Exit code 0: all was delivered; 1: something was
    refused, or is still in the outbox and goes out with the next `ingest NAME`.
    """
    if not name.isidentifier():
        raise click.BadParameter(f"{name!r}: letters, digits and _ only.", param_hint="NAME")
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not an exception: it could strike between a write and its bookkeeping.
        signal.signal(number, lambda number, frame: stopped.set())
    settings = Settings()
    acknowledge: Callable[[dict[str, object]], None] = _acknowledge if as_json else lambda state: None
    with StreamWriter(settings, name) as writer:
        report = f"stream.{name}.{int(time.time())}.{writer.position}.csv"
        rejects = RejectReport(state_directory(settings.root, "rejects") / report, "position")
        acknowledge({"stream": writer.source, "accepted": writer.position})
        try:
            _accept_all(writer, rejects, name, full_wait_s, acknowledge, stopped)
        finally:
            # Also after a refusal: what was accepted has the same time as ever to be delivered.
            is_delivered = writer.close(flush_wait_s)
            with _report_problems(writer, rejects):
                rejects.close()
        failure = writer.failure
    acknowledge({"accepted": writer.position, "delivered": is_delivered, "rejected": sum(rejects.counts.values())})
    if rejects.counts:
        say(f"{sum(rejects.counts.values()):,} lines were no readings: {rejects.path}", err=True)
    if not is_delivered:
        raise PlatformError(
            f"Stream {name}: what was accepted is safe in the outbox, but not all of it is delivered yet "
            f"({failure or 'no time left'}). It goes out with the next `iot-platform ingest {name}`."
        )


def _accept_all(
    writer: StreamWriter,
    rejects: RejectReport,
    name: str,
    full_wait_s: float,
    acknowledge: Callable[[dict[str, object]], None],
    stopped: threading.Event,
) -> None:
    parser: LineParser | None = None
    shown_at = time.monotonic()
    for piece in read_whole_lines(sys.stdin.fileno(), f"stream {name}", STATE_EVERY_S):
        if stopped.is_set():
            say("Stopped; what was accepted is being delivered.", err=True)
            return
        lines = piece
        if lines and parser is None:
            header, _, lines = lines.partition(b"\n")
            parser = LineParser(header, f"stream {name}")
        if lines and parser is not None:
            readings, bad = parser.parse(lines)
            first = writer.position
            # Before they are accepted: once a line counts as a position, nobody sends it again.
            with _report_problems(writer, rejects):
                rejects.add(type(reject)(first + reject.place, reject.reason, reject.text) for reject in bad)
            _accept(writer, readings, lines.count(b"\n"), full_wait_s)
            acknowledge({"accepted": writer.position})
        if writer.failure and time.monotonic() - shown_at > STATE_EVERY_S:
            shown_at = time.monotonic()
            say(f"Not delivered for now, accepted on disk: {writer.failure}", err=True)


def _accept(writer: StreamWriter, readings: pa.Table, positions: int, full_wait_s: float) -> None:
    """Backpressure: while the outbox is full, nothing more is read; after a while it is an error."""
    deadline = time.monotonic() + full_wait_s
    while True:
        try:
            writer.accept(readings, positions)
            return
        except OutboxFullError:
            if time.monotonic() > deadline:
                raise
        time.sleep(FULL_PAUSE_S)


@contextlib.contextmanager
def _report_problems(writer: StreamWriter, rejects: RejectReport) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise PlatformError(
            f"{rejects.path}: {error.strerror}. {writer.position:,} positions are accepted and safe; nothing after "
            "them is: lines that are no readings cannot be reported. Free some disk, then send the rest again."
        ) from error


def _acknowledge(state: dict[str, object]) -> None:
    say(json.dumps(state))
