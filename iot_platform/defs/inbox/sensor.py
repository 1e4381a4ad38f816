"""The sensor that looks for new and changed files in the inbox."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from iot_platform.clickhouse.session import migrated_session
from iot_platform.defs.inbox.asset import NAME, inbox_job
from iot_platform.defs.jobs import OWN_RUNS
from iot_platform.defs.run_statuses import NOT_ENDED
from iot_platform.defs.times import utc_now
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

if TYPE_CHECKING:
    from iot_platform.readings.inbox.inbox import Inbox
    from iot_platform.readings.inbox.inbox_file import InboxFile

MINIMUM_INTERVAL_S = 30
# What is remembered is looked up again after this time even if the inbox has not changed: the cursor is only a note.
LOOK_AGAIN = dt.timedelta(minutes=10)
# After a run that failed as a whole, because ClickHouse or the inbox could not be reached.
PAUSE = dt.timedelta(minutes=1)
# The cursor has a bounded size. Files beyond it, the newest ones, wait until others are loaded.
MOST_WAITING = 2_000


@dataclass
class Look:
    """What the last look at the inbox found.

    ``waiting``: by path, the version of a file that is due, with that of its mapping, and when it was first seen.

    ``done``: the version of a listing in which nothing was due, and when that was found.
    """

    waiting: dict[str, tuple[str, str]] = field(default_factory=dict)
    done: tuple[str, str] = ("", "")

    @classmethod
    def of(cls, cursor: str | None) -> Look:
        """The look in a cursor; an unreadable cursor is none: what is remembered is in ClickHouse."""
        try:
            found: Any = json.loads(cursor or "{}")
            waiting = {str(path): (str(version), str(since)) for path, (version, since) in found["waiting"].items()}
            version, at = found["done"]
            return cls(waiting, (str(version), str(at)))
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls()

    def cursor(self) -> str:
        """The text of a cursor."""
        return json.dumps({"waiting": self.waiting, "done": self.done})


@dg.sensor(
    name="inbox_sensor",
    job=inbox_job,
    minimum_interval_seconds=MINIMUM_INTERVAL_S,
    # It exists only when IOT_INBOX is set.
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Requests a run for the new and changed files of the inbox (`IOT_INBOX`), once their size and time "
    "have not changed between two looks and for `IOT_INBOX_SETTLE_S`. At most `IOT_INBOX_FILES_PER_RUN` files per run, "
    "the oldest first, one run at a time. What became of each file is remembered in ClickHouse (table `inbox_files`), "
    "and each reading is stored once; the cursor only says since when files are unchanged, and may be reset.",
)
def inbox_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """Request a run for the files that are due and complete."""
    with hide_secrets_in_errors():
        return _look(context)


def _look(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = Settings()
    if settings.inbox is None:
        return dg.SkipReason("There is no inbox (IOT_INBOX).")
    if context.instance.get_runs(_runs(statuses=NOT_ENDED), limit=1):
        return dg.SkipReason("A run of the inbox waits or goes on. The next one loads what has arrived since.")
    from iot_platform.readings.inbox.inbox import Inbox

    last, now = Look.of(context.cursor), utc_now()
    inbox = Inbox(settings)
    if last.done[0] == inbox.version and now - dt.datetime.fromisoformat(last.done[1]) < LOOK_AGAIN:
        return dg.SkipReason(f"Nothing has changed in {inbox.folder.location}.")
    due, has_vanished = _due(settings, inbox)
    if not due and not has_vanished:
        look = Look(done=(inbox.version, now.isoformat()))
        return _skipped("No file is new or was changed.", look)
    versions = {file.path: f"{file.version} {inbox.mapping_version(file)}" for file in due[:MOST_WAITING]}
    look, complete = _settled(last, versions, now, settings)
    if not complete and not has_vanished:
        return _skipped(f"{len(due):,} files are new or were changed. They must not change any more first.", look)
    if wait := _pause(context, now):
        return _skipped(f"The last run of the inbox failed. The next one is requested in {wait:.0f} s.", look)
    chosen = complete[: settings.inbox_files_per_run]
    # No run_key: a run that failed must be requested again. What it has loaded is not due any more.
    request = dg.RunRequest(run_config={"ops": {NAME: {"config": {"paths": chosen}}}})
    return dg.SensorResult([request], cursor=look.cursor())


def _due(settings: Settings, inbox: Inbox) -> tuple[list[InboxFile], bool]:
    """The files that are due, and whether files that failed are not there any more."""
    from iot_platform.readings.inbox.inbox_load import attempts_of
    from iot_platform.readings.inbox.inbox_memory import is_due, known_files, vanished

    with migrated_session(settings) as client:
        known = known_files(client)
    due = [file for file in inbox.files if is_due(file, inbox.mapping_version(file), known.get(file.path))]
    # A file that has killed its run does not go first again.
    due.sort(key=lambda file: attempts_of(file, known.get(file.path)))
    return due, bool(vanished(known, inbox.files))


def _settled(last: Look, versions: Mapping[str, str], now: dt.datetime, settings: Settings) -> tuple[Look, list[str]]:
    """This look, and the files that have not changed for long enough, and since an earlier look."""
    waiting: dict[str, tuple[str, str]] = {}
    complete = []
    for path, version in versions.items():
        known, since = last.waiting.get(path, ("", ""))
        if known != version:
            since = now.isoformat()
        elif (now - dt.datetime.fromisoformat(since)).total_seconds() >= settings.inbox_settle_s:
            complete.append(path)
        waiting[path] = (version, since)
    return Look(waiting), complete


def _pause(context: dg.SensorEvaluationContext, now: dt.datetime) -> float:
    """Seconds to wait after a run that failed; 0: none has."""
    newest = context.instance.get_run_records(_runs(), limit=1)
    if not newest or newest[0].dagster_run.status != dg.DagsterRunStatus.FAILURE:
        return 0
    return max(0.0, (newest[0].update_timestamp + PAUSE - now).total_seconds())


def _skipped(text: str, look: Look) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=text, cursor=look.cursor())


def _runs(**conditions: Any) -> dg.RunsFilter:
    tags: Mapping[str, Any] = OWN_RUNS
    return dg.RunsFilter(job_name=inbox_job.name, tags=dict(tags), **conditions)
