"""The CRM client against the stub, over HTTP: each record once, limited attempts, and the text of each error."""

from __future__ import annotations

import datetime as dt
import json
import os
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
from clickhouse_connect.driver.client import Client

from iot_platform.devices.source_refresh import SourceRefresh, refresh_from_source
from iot_platform.devices.sources import api, hubspot
from iot_platform.devices.sources.api import ATTEMPTS
from iot_platform.devices.sources.configured import crm_source
from iot_platform.devices.sources.hubspot import SEARCH_PAGE
from iot_platform.devices.sources.hubspot_stub import SEARCH_RESULTS, Stub
from iot_platform.devices.violations import ContractError
from iot_platform.errors import SourceError
from iot_platform.settings import Settings
from iot_platform_tests.devices.crm import TOKEN, stub_in_thread
from iot_platform_tests.devices.metadata import NOW

HEADER = "device_id,customer_id,building_type,latitude,longitude"
LONG_AGO = "2020-01-01T00:00:00.000+00:00"


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    return tmp_path / "devices.csv"


@pytest.fixture
def stub(csv: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stub, list[str]]]:
    monkeypatch.setenv("IOT_SOURCE_TIMEOUT_S", "5")
    monkeypatch.setattr(api, "FIRST_PAUSE_S", 0.001)
    with stub_in_thread(csv, monkeypatch) as running:
        yield running


def write(csv: Path, *rows: str) -> None:
    csv.write_text("\n".join([HEADER, *rows, ""]))
    # The file must change even if it is written twice within one tick of the file system's clock.
    now = time.time_ns()
    os.utime(csv, ns=(now, now))


def devices(count: int) -> list[str]:
    return [f"{number},c{number},office,1.5,2.5" for number in range(1, count + 1)]


def refresh(client: Client, *, increment: bool = False) -> SourceRefresh:
    return refresh_from_source(
        client, crm_source(Settings()), NOW, increment=increment, max_closed_share=1, run_id="run"
    )


@pytest.mark.parametrize("count", [0, 1, 100, 101, 200, 201, 450])
def test_each_object_is_read_once_by_list_and_by_search(stub: tuple[Stub, list[str]], csv: Path, count: int) -> None:
    write(csv, *devices(count))
    for since in ("", LONG_AGO):
        delivery = crm_source(Settings()).read(since)
        assert delivery.devices["device_id"].tolist() == [str(number) for number in range(1, count + 1)]
        assert delivery.is_full == delivery.is_complete == (not since)
    assert "&after=" not in "".join(stub[1]) or count > 100


def test_more_changes_than_one_search_may_have(stub: tuple[Stub, list[str]], csv: Path) -> None:
    write(csv, *devices(SEARCH_RESULTS + SEARCH_PAGE + 1))
    found = crm_source(Settings()).read(LONG_AGO).devices
    assert found["device_id"].nunique() == len(found) == SEARCH_RESULTS + SEARCH_PAGE + 1
    # The stub has the limits of HubSpot.
    url = f"{crm_source(Settings()).location}/search"
    body: dict[str, str | int] = {"limit": SEARCH_PAGE, "after": str(SEARCH_RESULTS)}
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    assert answer.status_code == 400 and "at most 10000 results" in answer.text


def test_an_increment_has_what_changed_since_and_a_little_before(stub: tuple[Stub, list[str]], csv: Path) -> None:
    write(csv, *devices(3))
    position = crm_source(Settings()).read().position
    for record in stub[0].records.values():
        record.updated_at -= dt.timedelta(hours=1)
    write(csv, "1,c1,office,1.5,2.5", "2,other,office,1.5,2.5", "3,c3,office,1.5,2.5", "4,c4,office,1.5,2.5")
    delivery = crm_source(Settings()).read(position)
    assert delivery.devices["customer_id"].tolist() == ["other", "c4"]
    assert delivery.position > position
    # Without changes there are no rows, and the position stays.
    for record in stub[0].records.values():
        record.updated_at -= dt.timedelta(hours=1)
    again = crm_source(Settings()).read(delivery.position)
    assert again.devices.empty and again.position == delivery.position


def test_refreshes_follow_the_crm(stub: tuple[Stub, list[str]], csv: Path, schema: Client) -> None:
    write(csv, *devices(7))
    assert refresh(schema, increment=True).delivery.is_full  # the first one has no position to start from
    nothing = refresh(schema, increment=True)
    assert not nothing.delivery.is_full and nothing.result.counts["changed"] == 0
    write(csv, *devices(6))
    assert refresh(schema, increment=True).result.closed == 0
    assert refresh(schema).result.closed == 1
    # When it is back in the CRM, that is a change like any other.
    write(csv, *devices(7))
    assert refresh(schema, increment=True).result.changed == 1
    for record in stub[0].records.values():
        record.updated_at -= dt.timedelta(days=1)
    empty = refresh(schema, increment=True)
    assert empty.delivery.devices.empty and empty.result.counts == {"new": 0, "changed": 0, "closed": 0, "unchanged": 0}


def test_a_history_is_read_as_a_whole(
    stub: tuple[Stub, list[str]], csv: Path, schema: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {name: name for name in [*HEADER.split(","), "valid_from"]}
    monkeypatch.setenv("IOT_CRM_FIELDS", json.dumps(fields))
    stub[0].fields = fields
    later = "1,new,office,1.5,2.5,2026-01-06T09:00:00Z"
    csv.write_text(f"{HEADER},valid_from\n1,c1,office,1.5,2.5,\n{later}\n")
    refresh(schema)
    for record in stub[0].records.values():
        record.updated_at -= dt.timedelta(days=1)
    # Read alone, the object without valid_from would make c1 the customer again from now on.
    csv.write_text(f"{HEADER},valid_from\n1,c1,office,31.5,2.5,\n{later}\n")
    again = refresh(schema, increment=True)
    assert again.delivery.is_full and again.result.changed == 1
    versions = "SELECT toString(valid_from), customer_id, latitude FROM device_metadata FINAL ORDER BY valid_from"
    assert schema.query(versions).result_rows == [
        ("1970-01-01 00:00:00", "c1", 31.5),
        ("2026-01-06 09:00:00", "new", 1.5),
    ]


def test_an_increment_reads_ids_like_all_of_the_source(stub: tuple[Stub, list[str]], csv: Path, schema: Client) -> None:
    names = [f"m{number},c,office,1.5,2.5" for number in range(20)]
    write(csv, *names, "77,c,office,1.5,2.5")
    refresh(schema)
    for record in stub[0].records.values():
        record.updated_at -= dt.timedelta(days=1)
    write(csv, *names, "77,other,office,1.5,2.5")
    assert refresh(schema, increment=True).result.device_ids == "numeric"
    owners = schema.query("SELECT customer_id, count() FROM device_metadata FINAL GROUP BY 1 ORDER BY 1").result_rows
    assert owners == [("c", 21), ("other", 1)]
    assert schema.query("SELECT uniqExact(customer_id) FROM device_metadata WHERE device_id = 77").result_rows == [(2,)]


def test_a_broken_record_is_named_and_changes_nothing(stub: tuple[Stub, list[str]], csv: Path, schema: Client) -> None:
    write(csv, *devices(5))
    refresh(schema)
    write(csv, *devices(4), "5,,office,95,2.5")
    with pytest.raises(ContractError, match=r"(?s)record 5: customer_id: .* is empty.*record 5: latitude: '95'"):
        refresh(schema, increment=True)
    assert schema.query("SELECT count() FROM device_metadata WHERE customer_id = 'c5'").result_rows == [(1,)]
    [(problem, run)] = schema.query(
        "SELECT problem, run_id FROM metadata_refreshes WHERE outcome = 'failed'"
    ).result_rows
    assert "record 5" in problem and run == "run"


@pytest.mark.parametrize(
    ("fault", "message"), [("500", "HTTP 500, tried 6 times"), ("timeout", "no response, tried 6 times")]
)
def test_a_crm_that_stays_down_fails_after_some_attempts(
    stub: tuple[Stub, list[str]], csv: Path, monkeypatch: pytest.MonkeyPatch, fault: str, message: str
) -> None:
    monkeypatch.setenv("IOT_SOURCE_TIMEOUT_S", "0.2")
    write(csv, *devices(1))
    stub[0].faults = {fault: 1}
    with pytest.raises(SourceError, match=message) as error:
        crm_source(Settings()).read()
    assert "The stored metadata was not changed." in str(error.value) and TOKEN not in str(error.value)
    assert len(stub[1]) == ATTEMPTS


def test_retry_after_is_respected_up_to_a_limit(stub: tuple[Stub, list[str]], csv: Path) -> None:
    retries = api.retries()
    assert retries.respect_retry_after_header and retries.parse_retry_after("7") == 7
    assert retries.parse_retry_after("86400") == api.LONGEST_PAUSE_S
    write(csv, *devices(1))
    stub[0].faults = {"429": 2}
    assert len(crm_source(Settings()).read().devices) == len(crm_source(Settings()).read().devices) == 1
    assert [line.split()[2] for line in stub[1]] == ["200", "429", "200"]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("TOKEN", "", "needs a token: set IOT_CRM_TOKEN"),
        ("TOKEN", "wrong", "refuses the token .HTTP 401.*IOT_CRM_TOKEN"),
        ("OBJECT", "p_other", "does not exist .HTTP 404.*IOT_CRM_OBJECT"),
        ("FIELDS", '{"device_id": "nr"}', "IOT_CRM_FIELDS names no property for building_type, customer_id"),
        ("URL", "http://crm.example", "unencrypted. Use https"),
    ],
)
def test_a_wrong_setting_is_named(
    stub: tuple[Stub, list[str]], csv: Path, monkeypatch: pytest.MonkeyPatch, setting: str, value: str, message: str
) -> None:
    write(csv, *devices(1))
    monkeypatch.setenv(f"IOT_CRM_{setting}", value)
    with pytest.raises(SourceError, match=message) as error:
        crm_source(Settings()).read()
    assert TOKEN not in str(error.value) and "wrong" not in str(error.value)


def test_a_property_that_the_crm_does_not_have_is_named(
    stub: tuple[Stub, list[str]], csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(csv, *devices(2))
    fields = '{"device_id": "device_id", "customer_id": "payer", "building_type": "building_type", '
    monkeypatch.setenv("IOT_CRM_FIELDS", f'{fields} "latitude": "latitude", "longitude": "longitude"}}')
    with pytest.raises(SourceError, match="have no property 'payer'"):
        crm_source(Settings()).read()


def test_an_error_of_the_crm_is_quoted(
    stub: tuple[Stub, list[str]], csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(csv, *devices(1))
    monkeypatch.setattr(hubspot, "LIST_PAGE", 101)
    with pytest.raises(SourceError, match="HTTP 400: .*limit must be from 1 to 100"):
        crm_source(Settings()).read()


def test_a_token_in_a_quoted_answer_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(418)
            self.end_headers()
            self.wfile.write(f"I got {self.headers}".encode())

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setenv("IOT_CRM_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("IOT_CRM_TOKEN", TOKEN)
        with pytest.raises(SourceError, match=r"(?s)HTTP 418: I got .*Bearer \*\*\*") as error:
            crm_source(Settings()).read()
        server.shutdown()
    assert TOKEN not in str(error.value)


def test_archived_objects_are_listed_apart(stub: tuple[Stub, list[str]], csv: Path) -> None:
    url, headers = crm_source(Settings()).location, {"Authorization": f"Bearer {TOKEN}"}
    write(csv, *devices(2))
    assert requests.get(url, headers=headers, timeout=10).json()["results"][1]["id"] == "2"
    write(csv, *devices(1))
    [gone] = requests.get(url, params={"archived": "true"}, headers=headers, timeout=10).json()["results"]
    assert gone["id"] == "2" and gone["archived"] and gone["archivedAt"]
