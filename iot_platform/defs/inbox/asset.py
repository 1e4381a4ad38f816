"""The asset of the inbox: a materialization loads the files that are due, and lists them."""

# No `from __future__ import annotations` here: Dagster refuses a context whose annotation is a string.

from collections.abc import Sequence

import dagster as dg

from iot_platform.alerts.problem import one_line
from iot_platform.defs.decoration import decoration
from iot_platform.defs.inbox.entries import entries_of, failing_entries
from iot_platform.defs.jobs import PRIORITY, SOON
from iot_platform.defs.query_log import queries_of_run
from iot_platform.defs.resources import POOL, ClickHouse
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

NAME = "inbox_files"
# Dagster's plain types, not dg.Config: the fields of dg.Config accept {"env": NAME}, which would reveal any secret.
PATHS = {
    "paths": dg.Field(
        dg.Noneable([str]),
        is_required=False,
        description="Paths in the inbox of the files to load. Unset: all that are new, changed or were not completed",
    )
}


@dg.asset(
    name=NAME,
    group_name="l1_raw",
    kinds={"clickhouse", "python", "file"},
    owners=[Settings().owner],
    tags={"layer": "l1"},
    pool=POOL,
    config_schema=PATHS,
)
def inbox_files(context: dg.AssetExecutionContext, clickhouse: ClickHouse) -> None:
    """The files of the inbox (`IOT_INBOX`): a folder, or a bucket, in which others put files of readings.

    **Materializing** loads those that are new, changed, or were not completed, into `l1_power_raw`; `inbox_sensor`
    requests it. Each reading is stored once, whatever is repeated or killed. Nothing in the inbox is moved or changed.
    The metadata has one row per file: what it was taken for, and what was loaded.

    A file that cannot be loaded does not make the run fail, and does not keep the others from being loaded. It is an
    open problem, of which an alert is sent, until it is replaced, removed, or its mapping is changed.

    **If it fails:** ClickHouse or the inbox could not be reached. Nothing is lost: the next run continues.
    """
    # Imported here: it imports pyarrow and pandas.
    from iot_platform.readings.inbox.inbox import Inbox
    from iot_platform.readings.inbox.inbox_load import LoadedFile, load_due
    from iot_platform.readings.inbox.inbox_memory import failing, known_files

    settings = clickhouse.settings()
    paths: Sequence[str] | None = context.op_execution_context.op_config.get("paths")
    loaded: list[LoadedFile] = []
    with hide_secrets_in_errors(), clickhouse.session(context.run, NAME) as client:
        inbox = Inbox(settings)
        for file in load_due(client, settings, inbox, paths, context.run.run_id):
            loaded.append(file)
            context.log.info(f"{file.entry.file.path!r}: {file.entry.state}. {one_line(file.entry.message)}")
        context.add_output_metadata(entries_of(inbox.folder.location, loaded))
        context.add_output_metadata(failing_entries(failing(known_files(client))))
        with decoration(context, "The list of the run's queries"):
            context.add_output_metadata(queries_of_run(context.run, settings))


inbox_job = dg.define_asset_job(
    "inbox_job",
    selection=dg.AssetSelection.assets(inbox_files),
    # The sensor requests nothing while a run goes on, so a run that hangs must end after some time.
    tags={PRIORITY: SOON, "dagster/max_runtime": "21600"},
    description="Load the files of the inbox that are new or were changed.",
)
