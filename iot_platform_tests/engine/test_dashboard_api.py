"""The HTTP interface of the dashboard's preview on a real ClickHouse: answers, errors, headers, sharing."""

from __future__ import annotations

import datetime as dt
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import uvicorn
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.embedded.access import host_is_trusted
from iot_platform.dashboard.answers import Answers
from iot_platform.dashboard.app import create_app
from iot_platform.dashboard.source import Source
from iot_platform.dashboard.tiles import Tiles, tables_of
from iot_platform.looker.project import load_project
from iot_platform.settings import Settings
from iot_platform_tests.dashboard_data import DAYS, METERS, TYPES, insert_days, insert_meters, insert_reading

TIMEOUT_S = 30


@dataclass
class Api:
    """The interface at ``url`` over the database of ``client``."""

    url: str
    client: Client

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


@pytest.fixture
def api(platform: Client) -> Iterator[Api]:
    settings = Settings()
    project = load_project()
    dashboard = project.dashboards["power_overview"]
    source = Source(settings, sorted(tables_of(project, dashboard, settings)))
    app = create_app(Tiles(project, dashboard, source, settings), source, host_is_trusted)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Api(f"http://127.0.0.1:{listener.getsockname()[1]}", platform)
        finally:
            server.should_exit = True
            thread.join(TIMEOUT_S)
            source.close()


@pytest.fixture
def filled(api: Api) -> Api:
    insert_meters(api.client)
    insert_days(api.client, dt.datetime.now(dt.UTC))
    return api


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


def test_every_tile_answers_without_data_and_with_it(api: Api) -> None:
    names = [tile["name"] for tile in api.get("/api/dashboard")["tiles"]]
    for name in names:
        api.get(f"/api/tiles/{name}")
    insert_meters(api.client)
    insert_days(api.client, dt.datetime.now(dt.UTC))
    for name in names:
        answer = api.get(f"/api/tiles/{name}")
        assert answer["rows"] > 0 and not answer["is_cut"], name
        assert all(len(values) == answer["rows"] for values in answer["data"].values())
        assert answer["sql"].startswith("SELECT") and answer["milliseconds"] >= 0


def test_filters_and_cross_filters_narrow_the_rows(filled: Api) -> None:
    store = "SELECT toFloat64(sum(total_kWh)) FROM l4_power_agg_hourly_store WHERE "
    assert filled.total() == pytest.approx(one(filled.client, f"{store} 1"))
    assert filled.total("f.building_type=office,retail") == pytest.approx(
        one(filled.client, f"{store} building_type IN ('office', 'retail')")
    )
    assert filled.total("f.device=7&x.power_usage.building_type=residential^_solar") == pytest.approx(
        one(filled.client, f"{store} device_id = 7 AND building_type = 'residential_solar'")
    )
    # An empty expression is no filter, also where there is a default.
    assert filled.total("f.period=") == filled.total("f.period=before+tomorrow")


def test_values_cannot_leave_their_place_in_the_sql(filled: Api) -> None:
    assert filled.total("f.customer=%22' OR 1 = 1 --%22") == 0
    filled.get("/api/tiles/total?x.nothing=1", 400)


def test_what_is_not_known_is_told(api: Api) -> None:
    assert "'nothing'" in api.get("/api/tiles/nothing", 404)["error"]
    assert "'colour'" in api.get("/api/tiles/total?f.colour=red", 404)["error"]
    assert "full moon" in api.get("/api/tiles/total?f.period=next+full+moon", 400)["error"]


def test_suggestions_are_the_values_there_are(filled: Api) -> None:
    assert filled.get("/api/suggest?filter=building_type") == {"values": sorted(TYPES), "is_cut": False}
    assert filled.get("/api/suggest?filter=device")["values"] == list(range(1, METERS + 1))


def test_a_new_reading_makes_a_new_version_and_merges_do_not(filled: Api) -> None:
    source = Source(Settings(), ["l4_power_by_building_type_hourly"])
    before = source.version().fingerprint
    source.close()
    filled.client.command("OPTIMIZE TABLE l4_power_by_building_type_hourly FINAL")
    merged = Source(Settings(), ["l4_power_by_building_type_hourly"])
    assert merged.version().fingerprint == before
    merged.close()
    insert_reading(filled.client, 3)
    inserted = Source(Settings(), ["l4_power_by_building_type_hourly"])
    assert inserted.version().fingerprint != before
    inserted.close()


def test_a_missing_table_is_an_answer_that_says_what_to_do(filled: Api) -> None:
    filled.client.command("DROP TABLE l4_power_by_building_type_hourly SYNC")
    assert "iot-platform migrate" in filled.get("/api/tiles/usage_over_time", 503)["error"]


def test_sixteen_viewers_get_the_same(filled: Api) -> None:
    names = ["usage_over_time", "map", "building_types", "total"]
    with ThreadPoolExecutor(16) as viewers:
        answers = list(viewers.map(lambda number: filled.get(f"/api/tiles/{names[number % 4]}"), range(64)))
    for position, name in enumerate(names):
        assert all(answer["data"] == answers[position]["data"] for answer in answers[position::4]), name


def test_every_answer_has_the_headers_and_the_page_needs_nothing_from_elsewhere(api: Api) -> None:
    for path in ("/", "/static/js/app.js", "/vendor/plotly.min.js", "/api/version", "/healthz", "/nothing"):
        answer = requests.get(f"{api.url}{path}", timeout=TIMEOUT_S)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self';"), path
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    page = requests.get(api.url, timeout=TIMEOUT_S).text
    assert "http://" not in page and "https://" not in page


def test_a_strange_host_is_refused(api: Api) -> None:
    answer = requests.get(f"{api.url}/api/version", headers={"Host": "evil.example"}, timeout=TIMEOUT_S)
    assert answer.status_code == 403


def test_a_question_is_asked_once_at_a_time() -> None:
    answers: Answers[int] = Answers(2, TIMEOUT_S)
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
    answers: Answers[int] = Answers(2, TIMEOUT_S)

    def fail() -> int:
        raise ValueError("away")

    with pytest.raises(ValueError, match="away"):
        answers.get("x", fail)
    assert answers.get("x", lambda: 5) == 5
    assert [answers.get(key, lambda: 6) for key in ("y", "z")] == [6, 6]
    assert answers.get("x", lambda: 8) == 8  # only the newest two are kept


def test_the_data_is_as_long_as_it_says(filled: Api) -> None:
    assert one(filled.client, "SELECT sum(readings) FROM l4_power_by_device_daily") == METERS * DAYS * 48
