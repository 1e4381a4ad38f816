"""looker/README.md grants Looker's user what the tables of the LookML project need, and nothing else."""

from __future__ import annotations

import re

from clickhouse_connect.driver.client import Client

from iot_platform.settings import Settings


def test_the_grants_are_those_that_the_views_need(schema: Client) -> None:
    looker = Settings().looker_dir
    granted = set(re.findall(r"GRANT (\w+) ON iot\.(\S+) TO looker;", (looker / "README.md").read_text()))
    rows = schema.query("SELECT name, engine, as_select FROM system.tables WHERE database = currentDatabase()")
    objects = {name: (engine, select) for name, engine, select in rows.result_rows}
    lookml = "".join(file.read_text() for file in looker.glob("views/*.lkml"))
    waiting, needed = set(re.findall(r"@\{database\}\.(\w+)", lookml)), set()
    while waiting:
        name = waiting.pop()
        engine, select = objects[name]
        needed.add(("dictGet" if engine == "Dictionary" else "SELECT", name))
        waiting |= set(re.findall(r"\w+", select)) & objects.keys()
    assert granted == needed
