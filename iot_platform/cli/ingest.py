"""``iot-platform ingest``: accept a stream of readings."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from iot_platform.cli.device_ids import DEVICE_IDS
from iot_platform.cli.output import echo_json, say
from iot_platform.cli.reading_options import reading_options, resolved_options
from iot_platform.errors import OutboxFullError, PlatformError
from iot_platform.readings.csv_lines import LineParser, read_whole_lines
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.rejects import RejectReport
from iot_platform.readings.stream_options import check_stream_options
from iot_platform.readings.stream_writer import StreamWriter
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

STATE_EVERY_S = 0.5
FULL_PAUSE_S = 0.2


@click.command()
@click.argument("name")
@click.option(
    "--full-wait", "full_wait_s", default=60.0, show_default=True, help="Seconds to wait while the outbox is full."
)
@click.option(
    "--flush-wait", "flush_wait_s", default=60.0, show_default=True, help="Seconds for the last delivery at the end."
)
@reading_options
@DEVICE_IDS
@click.option("--json", "as_json", is_flag=True, help="Acknowledge accepted lines by lines of JSON on standard output.")
def ingest(name: str, full_wait_s: float, flush_wait_s: float, as_json: bool, **options: Any) -> None:
    """Accept readings of the stream NAME as CSV lines on standard input. The first line names the columns.

    Accepted lines are stored on disk (IOT_HOME/outbox/NAME) and delivered to L1 in the background, each exactly once,
    even if this command or ClickHouse is killed. While ClickHouse is unreachable, lines are accepted until the outbox
    has IOT_OUTBOX_BYTES; then reading stops.

    Each line counts as one position of the stream. With --json, the first line of the output reports how many positions
    were accepted before, and each further line how many are accepted now. An interrupted sender resumes after the last
    reported position.

    Meter ids may be numbers or text, as in `load readings`; names get their numbers when they are delivered.

    The options that say what the columns mean are those of `load readings`. But a stream is not inspected as a whole:
    what is not given is not found from the values. Times are ISO 8601 or epoch numbers, in UTC if they name no zone,
    and decimals have a point. Power (W, kW) and ends of intervals need --interval. --register is refused.

    Lines that are not readings (a missing value, an unreadable time or number ...) are rejected: they are reported with
    their position in IOT_HOME/rejects, count as accepted, and do not change the exit code. NaN, infinite, negative and
    too large values are readings: they reach L1, and L2 puts them into power_quarantine. A last line without a line end
    is refused, because it may be incomplete, and so are lines with an id in scientific notation, which a spreadsheet
    has shortened.

    Exit code 0: all accepted readings were delivered; lines may have been rejected. 1: an option or input was refused,
    or some readings are still in the outbox; the next `ingest NAME` delivers them.
    """
    if not name.isidentifier():
        raise click.BadParameter(f"{name!r}: use only letters, digits and _.", param_hint="NAME")
    resolved = resolved_options(options)
    check_stream_options(resolved.options)
    stopped = _stop_flag()
    settings = Settings()
    acknowledge: Callable[[object], None] = echo_json if as_json else lambda state: None
    with StreamWriter(settings, name) as writer:
        rejects = RejectReport(_rejects_path(settings, name, writer.position), "position")
        acknowledge({"stream": writer.source, "accepted": writer.position})
        try:
            _accept_all(writer, rejects, name, resolved.options, full_wait_s, acknowledge, stopped)
        finally:
            # Also when input was refused: deliver what was accepted before.
            is_delivered = writer.close(flush_wait_s)
            with _report_problems(writer, rejects):
                rejects.close()
        failure = writer.failure
    acknowledge({"accepted": writer.position, "delivered": is_delivered, "rejected": sum(rejects.counts.values())})
    if rejects.counts:
        say(f"Lines that are not readings: {sum(rejects.counts.values()):,}, see {rejects.path}", err=True)
    if not is_delivered:
        raise PlatformError(
            f"Stream {name}: some accepted readings are not delivered yet ({failure or 'not enough time'}). They are "
            f"safe in the outbox; the next `iot-platform ingest {name}` delivers them."
        )


def _rejects_path(settings: Settings, name: str, position: int) -> Path:
    return state_directory(settings.root, "rejects") / f"stream.{name}.{int(time.time())}.{position}.csv"


def _stop_flag() -> threading.Event:
    """A flag that is set on Ctrl-C and SIGTERM.

    Not an exception: it could interrupt the outbox between a write and its bookkeeping.
    """
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.set())
    return stopped


def _accept_all(
    writer: StreamWriter,
    rejects: RejectReport,
    name: str,
    options: FileOptions,
    full_wait_s: float,
    acknowledge: Callable[[object], None],
    stopped: threading.Event,
) -> None:
    parser: LineParser | None = None
    shown_at = time.monotonic()
    for piece in read_whole_lines(sys.stdin.fileno(), f"stream {name}", STATE_EVERY_S):
        if stopped.is_set():
            say("Stopped. Delivering the accepted readings.", err=True)
            return
        lines = piece
        if lines and parser is None:
            header, _, lines = lines.partition(b"\n")
            parser = LineParser(header, f"stream {name}", options)
        if lines and parser is not None:
            first = writer.position
            readings, bad = parser.parse(lines, first)
            # Report the rejects first: when their positions are accepted, the sender does not send them again.
            with _report_problems(writer, rejects):
                rejects.add(replace(reject, place=first + reject.place) for reject in bad)
            _accept(writer, readings, lines.count(b"\n"), full_wait_s)
            acknowledge({"accepted": writer.position})
        if writer.failure and time.monotonic() - shown_at > STATE_EVERY_S:
            shown_at = time.monotonic()
            say(f"Cannot deliver at the moment; accepted readings are stored on disk: {writer.failure}", err=True)


def _accept(writer: StreamWriter, readings: pa.Table, positions: int, full_wait_s: float) -> None:
    """Accept readings; while the outbox is full, wait up to ``full_wait_s`` (the sender waits, too)."""
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
            f"{rejects.path}: {error.strerror}, so lines that are not readings cannot be reported. {writer.position:,} "
            "positions are accepted and safe. Free disk space, then send the lines after them again."
        ) from error
