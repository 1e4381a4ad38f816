"""The HTTP interface of the dashboard's preview on a real ClickHouse: answers, errors, headers, sharing."""

from __future__ import annotations

import datetime as dt
import json
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import requests
import uvicorn
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse.session import migrated_session
from iot_platform.dashboard.app import create_app
from iot_platform.dashboard.clickhouse_pool import ClickHousePool
from iot_platform.dashboard.query_cache import QueryCache
from iot_platform.dashboard.tiles import Tiles, tables_of
from iot_platform.looker.project import load_project
from iot_platform.settings import Settings
from iot_platform_tests.dashboard.dashboard_data import METERS, TYPES, insert_days, insert_meters, insert_reading
from iot_platform_tests.e2e.commands import environment

TIMEOUT_S = 30


@dataclass
class Api:
    """The interface at ``url`` over the database of ``client``."""

    url: str
    client: Client
    settings: Settings

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """The JSON of an answer with this status."""
        answer = requests.get(f"{self.url}{path}", timeout=TIMEOUT_S, headers=headers)
        assert answer.status_code == status, answer.text
        return answer.json()

    def total(self, query: str = "") -> float:
        """The single value of the tile ``total``."""
        answer = self.get(f"/api/tiles/total?{query}")
        [column] = answer["columns"]
        return float(answer["data"][column["name"]][0] or 0)


@pytest.fixture(scope="module")
def api(server: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The interface over some days of readings. All tests of this module share it: they leave its rows as they are."""
    login = f"{quote(server.username, safe='')}:{quote(server.password, safe='')}"
    settings = Settings(
        home=tmp_path_factory.mktemp("home"),
        clickhouse_url=SecretStr(server.url.replace("://", f"://{login}@")),
        clickhouse_database=f"test_{secrets.token_hex(6)}",
    )
    with migrated_session(settings) as client, serving(settings) as url:
        insert_meters(client)
        insert_days(client, dt.datetime.now(dt.UTC))
        yield Api(url, client, settings)
        client.command(f"DROP DATABASE {settings.clickhouse_database} SYNC")


@contextmanager
def serving(settings: Settings) -> Iterator[str]:
    """The application on a real port."""
    project = load_project()
    dashboard = project.dashboards["power_overview"]
    source = ClickHousePool(settings, sorted(tables_of(project, dashboard, settings)))
    app = create_app(Tiles(project, dashboard, source, settings), source)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_S)
            source.close()


def one(client: Client, sql: str) -> Any:
    return client.query(sql).result_rows[0][0]


def test_the_definition_is_that_of_the_lookml(api: Api) -> None:
    definition = api.get("/api/dashboard")
    assert definition["title"] == "Power overview"
    assert [filter_["name"] for filter_ in definition["filters"]] == ["period", "building_type", "customer", "device"]
    assert {
        "usage_over_time",
        "usage_by_hour_of_day",
        "usage_by_day_of_week",
        "building_types",
        "top_devices",
        "map",
    } <= {tile["name"] for tile in definition["tiles"]}


def test_every_tile_answers_with_data_and_without(api: Api) -> None:
    for name in (tile["name"] for tile in api.get("/api/dashboard")["tiles"]):
        answer = api.get(f"/api/tiles/{name}")
        assert answer["rows"] > 0 and not answer["is_cut"], name
        assert all(len(values) == answer["rows"] for values in answer["data"].values())
        assert answer["sql"].startswith("SELECT") and answer["milliseconds"] >= 0
        assert api.get(f"/api/tiles/{name}?f.customer=nobody&f.period=2001/01/01")["rows"] <= 1


def test_filters_and_cross_filters_narrow_the_rows(api: Api) -> None:
    store = "SELECT toFloat64(sum(total_kWh)) FROM l4_power_agg_hourly_store WHERE "
    assert api.total() == pytest.approx(one(api.client, f"{store} 1"))
    assert api.total("f.building_type=office,retail") == pytest.approx(
        one(api.client, f"{store} building_type IN ('office', 'retail')")
    )
    assert api.total("f.device=7&x.power_usage.building_type=residential^_solar") == pytest.approx(
        one(api.client, f"{store} device_id = 7 AND building_type = 'residential_solar'")
    )
    # An empty expression is no filter, also where there is a default.
    assert api.total("f.period=") == api.total("f.period=before+tomorrow")


def test_values_cannot_leave_their_place_in_the_sql(api: Api) -> None:
    assert api.total("f.customer=%22' OR 1 = 1 --%22") == 0
    api.get("/api/tiles/total?x.nothing=1", 400)


def test_unknown_names_are_errors(api: Api) -> None:
    assert "'nothing'" in api.get("/api/tiles/nothing", 404)["error"]
    assert "'colour'" in api.get("/api/tiles/total?f.colour=red", 404)["error"]
    assert "full moon" in api.get("/api/tiles/total?f.period=next+full+moon", 400)["error"]


def test_suggestions_are_the_existing_values(api: Api) -> None:
    assert api.get("/api/suggest?filter=building_type") == {"values": sorted(TYPES), "is_cut": False}
    assert api.get("/api/suggest?filter=device")["values"] == sorted(map(str, range(1, METERS + 1)))


def test_an_insert_makes_a_new_version_and_a_merge_does_not(api: Api) -> None:
    project = load_project()
    tables = tables_of(project, project.dashboards["power_overview"], api.settings)

    def fingerprint() -> str:
        source = ClickHousePool(api.settings, sorted(tables))
        try:
            return source.version().fingerprint
        finally:
            source.close()

    before = fingerprint()
    for table in tables:
        api.client.command(f"OPTIMIZE TABLE {table} FINAL")
    assert fingerprint() == before
    insert_reading(api.client, 0)
    assert fingerprint() != before


def test_a_missing_table_is_an_error_that_says_what_to_do(api: Api) -> None:
    api.client.command("RENAME TABLE l4_power_by_building_type_hourly TO away")
    try:
        assert "iot-platform migrate" in api.get("/api/tiles/usage_over_time?f.building_type=-nothing", 503)["error"]
    finally:
        api.client.command("RENAME TABLE away TO l4_power_by_building_type_hourly")


def test_sixteen_viewers_of_one_version_get_the_same(api: Api) -> None:
    names = ["usage_over_time", "map", "building_types", "total"] * 16
    with ThreadPoolExecutor(16) as viewers:
        answers = list(viewers.map(lambda name: api.get(f"/api/tiles/{name}"), names))
    seen: dict[tuple[str, str], Any] = {}
    for name, answer in zip(names, answers, strict=True):
        assert seen.setdefault((name, answer["version"]), answer["data"]) == answer["data"]


def test_every_answer_has_the_headers_and_the_page_needs_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/", "/static/js/app.js", "/vendor/plotly.min.js", "/api/version", "/healthz", "/nothing"):
        answer = requests.get(f"{api.url}{path}", timeout=TIMEOUT_S)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';"), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = requests.get(api.url, timeout=TIMEOUT_S).text
    assert "http://" not in page and "https://" not in page


def test_an_unknown_host_is_refused(api: Api) -> None:
    answer = requests.get(f"{api.url}/api/version", headers={"Host": "evil.example"}, timeout=TIMEOUT_S)
    assert answer.status_code == 403


def test_an_unknown_host_is_refused_when_listening_on_all_addresses(api: Api, tmp_path: Path) -> None:
    assert api.settings.clickhouse_url
    env = environment(
        tmp_path,
        IOT_HOST="0.0.0.0",
        IOT_TRUSTED_HOSTS="dashboard.example",
        IOT_CLICKHOUSE_URL=api.settings.clickhouse_url.get_secret_value(),
        IOT_CLICKHOUSE_DATABASE=api.settings.clickhouse_database,
    )
    command = [sys.executable, "-m", "iot_platform", "dashboard", "--port", "0", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = json.loads(process.stdout.readline())["url"].replace("0.0.0.0", "127.0.0.1")
            for host, status in (("evil.example", 403), ("dashboard.example", 200), ("localhost", 200)):
                answer = requests.get(f"{url}/api/version", headers={"Host": host}, timeout=TIMEOUT_S)
                assert answer.status_code == status, (host, answer.text)
        finally:
            process.terminate()


def test_the_same_query_runs_once_at_a_time() -> None:
    answers: QueryCache[int] = QueryCache(2, TIMEOUT_S)
    asked: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        asked.append("x")
        begun.set()
        assert go_on.wait(TIMEOUT_S)
        return 7

    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(answers.get, "x", slow)
        assert begun.wait(TIMEOUT_S)
        others = [threads.submit(answers.get, "x", slow) for _ in range(7)]
        go_on.set()
        assert [future.result(TIMEOUT_S) for future in [first, *others]] == [7] * 8
    assert asked == ["x"]


def test_an_error_is_not_kept() -> None:
    answers: QueryCache[int] = QueryCache(2, TIMEOUT_S)

    def fail() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        answers.get("x", fail)
    assert answers.get("x", lambda: 5) == 5
    assert [answers.get(key, lambda: 6) for key in ("y", "z")] == [6, 6]
    assert answers.get("x", lambda: 8) == 8  # only the newest two are kept
