"""Files of the inbox that cannot be loaded."""

from __future__ import annotations

import datetime as dt

import dagster as dg

from iot_platform.alerts.problem import Problem, one_line
from iot_platform.defs.inbox.entries import FAILING
from iot_platform.defs.problems.context import ProblemContext

NAME = "inbox_files"


def inbox_problems(context: ProblemContext) -> list[Problem]:
    """The files that could not be loaded, as the newest materialization of the inbox lists them.

    A file is the same problem as long as its content is the same, however often it is tried.
    """
    key = dg.AssetKey(NAME)
    if not context.graph.has(key):
        return []
    records = context.instance.fetch_materializations(dg.AssetRecordsFilter(key), limit=1).records
    found = records[0].asset_materialization if records else None
    listed = found.metadata.get(FAILING) if found else None
    if not isinstance(listed, dg.JsonMetadataValue) or not isinstance(listed.value, list):
        return []
    return [
        Problem(
            key=one_line(f"file/{file['path']}/{file['content']}"),
            kind="file",
            title=one_line(f"File {file['path']!r} of the inbox was not loaded"),
            cause=one_line(str(file["message"])),
            owner=context.owners([key]),
            partition="",
            detail="Replace or remove it, or correct its mapping.",
            link=context.asset_link(key),
            since=dt.datetime.fromisoformat(str(file["since"])),
        )
        for file in listed.value
        if isinstance(file, dict)
    ]
