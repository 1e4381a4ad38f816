"""``iot-platform load``: load readings (here) and device metadata (load_devices.py) from files."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from iot_platform.cli.device_ids import DEVICE_IDS
from iot_platform.cli.files_progress import FilesProgress, progress_bar
from iot_platform.cli.inspection_table import InspectionView
from iot_platform.cli.output import echo_json, say
from iot_platform.cli.reading_options import reading_options, resolved_options
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import PlatformError
from iot_platform.readings.files.file_digest import FileDigest
from iot_platform.readings.files.file_group import REJECTED_BEFORE
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.input_file import InputFile
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.formats.archives import expanded
from iot_platform.readings.group_commit import BatchError
from iot_platform.security.private_files import state_directory
from iot_platform.settings import Settings

LAST_LINES = {
    "whole": "It is whole, as its form shows.",
    "accepted": "It was loaded, as --accept-last-line says.",
    "held back": "It may be cut off, and was not loaded. If it is whole, load the file again with --accept-last-line.",
}


class _LoadGroup(click.Group):
    """``load devices`` imports much that ``load readings`` need not wait for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["devices", *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "devices":
            from iot_platform.cli.load_devices import devices

            return devices
        return super().get_command(ctx, cmd_name)


@click.group(cls=_LoadGroup)
def load() -> None:
    """Load readings or device metadata from files."""


@load.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@reading_options
@DEVICE_IDS
@click.option(
    "--rejects", type=click.Path(path_type=Path), help="File for the report of bad rows. Default: in IOT_HOME/rejects."
)
@click.option("--strict", is_flag=True, help="Exit with code 1 if a file has bad rows; good rows are still loaded.")
@click.option(
    "--accept-last-line", is_flag=True, help="Load a last line without a line end, although it may be cut off."
)
@click.option("--dry-run", is_flag=True, help="Only show what each file is taken for, and its first readings.")
@click.option(
    "--explain",
    "with_explanation",
    is_flag=True,
    help="Like --dry-run, and show the value of each option for each file, and where it is known from.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one line of JSON.")
def readings(
    files: tuple[Path, ...],
    rejects: Path | None,
    strict: bool,
    dry_run: bool,
    with_explanation: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Load readings from files: CSV, Parquet, Excel (.xlsx, .xls, .ods), NDJSON, NEM12 and Green Button XML.

    The format is recognised by the content. Files may be compressed (gzip, zstd, bz2, xz). Each file in a zip archive
    is loaded as a file of its own.

    Bad rows (a missing value, an unreadable time or number ...) are skipped and reported with their line number. NaN,
    infinite, negative and too large values are readings: they are loaded into L1, and L2 puts them into
    power_quarantine. Loading a file again adds nothing; an interrupted load continues where it stopped.

    Each file is inspected as a whole before anything of it is inserted: the command shows what it is taken for, and
    refuses a file that can be read in several ways. The message names the option that decides.

    A last line without a line end may be cut off, in the middle of a number. It is loaded if its form shows that it is
    whole. Otherwise it is held back (and a register refused); load the file again with --accept-last-line to add it.

    Exit code 0: every file was loaded, even if there are bad rows (see --strict). 1: a file could not be loaded, or not
    one of its rows is a reading; all other files were loaded.
    """
    if rejects is not None and len(files) > 1:
        raise click.UsageError("--rejects works only with one file. Without it, each file has its own report.")
    resolved = resolved_options(options)
    dry_run = dry_run or with_explanation
    settings = Settings()
    started = time.monotonic()

    def rejects_of(file: FileDigest) -> Path:
        return rejects or state_directory(settings.root, "rejects") / f"{file.file.path.name}.{file.sha256[:16]}.csv"

    view = InspectionView(resolved, with_preview=dry_run, with_explanation=with_explanation, as_json=as_json)
    results: list[FileResult] = []
    failed: dict[str, str] = {}
    with migrated_session(settings) as client:
        loader = FileLoader(client, resolved.options, batch_rows=settings.batch_rows, rejects=rejects_of)
        load_all = partial(loader.load_files, inspected=view.show, dry_run=dry_run)
        for path, outcome in _outcomes(files, load_all, failed, several=rejects is None):
            if not isinstance(outcome, FileResult):
                failed[str(path)] = str(outcome) if isinstance(outcome, PlatformError) else f"{path}: {outcome}"
                continue
            results.append(outcome)
            if outcome.has_no_readings:
                failed[str(path)] = f"{path}: not one of its {outcome.rows:,} rows is a reading."
    seconds = time.monotonic() - started
    summary = _summary(results, failed, seconds)
    if as_json:
        echo_json(summary | {"explained": view.explained} if with_explanation else summary)
    elif not dry_run:
        _show(results, summary)
    for message in failed.values():
        say(f"Error: {message}", err=True)
    has_bad_rows = bool(summary["rejected"]) or any(result.bad_rows_found for result in results)
    if failed or (strict and has_bad_rows):
        sys.exit(1)


def _outcomes(
    paths: Sequence[Path],
    load_all: Callable[[Iterable[InputFile], FilesProgress], list[tuple[Path, FileResult | BatchError]]],
    failed: dict[str, str],
    *,
    several: bool,
) -> list[tuple[Path, FileResult | BatchError]]:
    """Load all files, and those in archives; returns each file and its outcome. ``failed``: archives that are none."""
    with TemporaryDirectory() as unpacked, progress_bar() as progress:
        show = FilesProgress(progress, paths)

        def all_files() -> Iterator[InputFile]:
            for path, found in expanded(paths, Path(unpacked), failed, several=several):
                show.expand(path, found)
                yield from found

        return load_all(all_files(), show)


def _summary(results: list[FileResult], failed: dict[str, str], seconds: float) -> dict[str, Any]:
    rejected: dict[str, int] = {}
    for result in results:
        for reason, count in result.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    rows = sum(result.rows_read for result in results if not result.was_complete)
    load_s = sum(result.seconds for result in results)
    return {
        "files": [asdict(result) for result in results],
        "failed": failed,
        "rows_read": sum(result.rows_read for result in results),
        "inserted": sum(result.inserted for result in results),
        "already_loaded": sum(result.already_loaded for result in results),
        "rejected": rejected,
        "seconds": round(seconds, 3),
        "rows_per_s": round(rows / load_s) if load_s else 0,
        "peak_memory_bytes": _peak_memory_bytes(),
    }


def _peak_memory_bytes() -> int:
    """Peak memory of this process. The kernel reports KiB on Linux, bytes on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _show(results: list[FileResult], summary: dict[str, Any]) -> None:
    for result in results:
        if result.was_complete:
            say(f"{result.file}: already loaded, nothing to do ({result.rows_read:,} rows).")
        else:
            known = f", {result.already_loaded:,} loaded before" if result.already_loaded else ""
            say(
                f"{result.file}: {result.rows_read:,} rows, {result.inserted:,} readings inserted{known} "
                f"in {result.seconds:.1f} s.\n  Columns: {result.mapping}."
            )
        for note in result.notes:
            say(f"  {note}")
        if result.without_interval:
            say(f"  {result.without_interval:,} readings of registers end no interval (the first ones, repeated ones).")
        if result.rejected:
            reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(result.rejected.items()))
            say(
                f"  Bad rows: {sum(result.rejected.values()):,} ({reasons}), see {result.rejects_file}. The first ones:"
            )
            for reject in result.first_rejects:
                say(f"    {result.place_name} {reject.place}: {reject.reason}: {reject.text[:120]!r}")
        if result.last_line:
            say(f"  The last line has no line end. {LAST_LINES[result.last_line]}")
        if REJECTED_BEFORE in result.rejected:
            say("  This version can read some of them. To load them, unload the file first (iot-platform unload).")
        if "device_id_not_1_to_999999999" in result.rejected:
            say("  To load ids that are not whole numbers from 1 to 999,999,999, leave out --device-ids numeric.")
    say(f"{summary['rows_per_s']:,} rows/s, peak memory {summary['peak_memory_bytes'] / 1e6:,.0f} MB.")
