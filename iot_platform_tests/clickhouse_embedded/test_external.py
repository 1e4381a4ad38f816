"""External tables of multipart requests, and settings whose names look like theirs."""

from __future__ import annotations

import httpx
import pytest

from iot_platform_tests.clickhouse_embedded.http_queries import code, post, rows


def test_external_tables(http: httpx.Client) -> None:
    files = {"ext": ("ext", b"1\ta\n2\tb\n"), "other": ("other", b"[3]\n[4]\n")}
    params = {
        **http.params,
        "ext_types": "UInt8,Enum8('a' = 1, 'b' = 2)",
        "other_structure": "n UInt8",
        "other_format": "JSONCompactEachRow",
        "query": "SELECT (SELECT groupArray(_2) FROM ext WHERE _1 > {m:UInt8}), (SELECT sum(n) FROM other)",
    }
    for session in ({}, {"session_id": "external"}, {"session_id": "external"}):
        answer = http.post("/", files=files, params={**params, **session}, data={"param_m": "1"})
        assert answer.text == "['b']\t7\n"
    bad = http.post(
        "/",
        files={"ext": ("ext", b"1\n")},
        params={
            **http.params,
            "query": "SELECT 1",
            "ext_structure": "a String) AS SELECT file('/etc/passwd'",
        },
    )
    assert code(bad) == "62"
    params["other_structure"] = "n String DEFAULT file('/etc/passwd')"
    assert code(http.post("/", files=files, params=params, data={"param_m": "1"})) == "497"


@pytest.mark.parametrize("body", ["plain", "multipart"])
def test_settings_that_end_like_a_description_of_a_table(http: httpx.Client, body: str) -> None:
    wanted = {"allow_suspicious_low_cardinality_types": "1", "date_time_input_format": "best_effort"}
    sql = "SELECT " + ", ".join(f"getSetting('{name}')" for name in wanted)
    if body == "plain":
        assert rows(http, sql, **wanted) == "true\tbest_effort"
    else:
        params = {**http.params, **wanted, "query": sql, "ext_structure": "a UInt8"}
        assert http.post("/", files={"ext": ("ext", b"1\n")}, params=params).text == "true\tbest_effort\n"
    create = "CREATE TABLE t (a LowCardinality(UInt8)) ENGINE = Memory"
    post(http, create, **wanted)
    unknown = http.post("/", content="SELECT 1", params={**http.params, "nope_structure": "a UInt8"})
    assert code(unknown) == "115"


@pytest.mark.parametrize("session", [{}, {"session_id": "external-settings"}])
def test_settings_hold_for_external_tables(http: httpx.Client, session: dict[str, str]) -> None:
    params = {**http.params, **session, "query": "SELECT a, b FROM ext", "ext_format": "CSV"}
    types = {"ext_structure": "a String, b DateTime('UTC')"}
    file = {"ext": ("ext", b"x;2026-01-02T03:04:05Z\n")}
    settings = {"format_csv_delimiter": ";", "date_time_input_format": "best_effort"}
    answer = http.post("/", files=file, params={**params, **types, **settings})
    assert answer.text == "x\t2026-01-02 03:04:05\n"
    # And readonly, which goes with GET only here, does not keep them from being filled.
    answer = http.post("/", files=file, params={**params, **types, **settings, "readonly": "2"})
    assert answer.text == "x\t2026-01-02 03:04:05\n"
    low = {"ext_structure": "a LowCardinality(UInt8)", "allow_suspicious_low_cardinality_types": "1"}
    params["query"] = "SELECT toTypeName(a) FROM ext"
    answer = http.post("/", files={"ext": ("ext", b"1\n")}, params={**params, **low})
    assert answer.text == "LowCardinality(UInt8)\n"


def test_malformed_forms(http: httpx.Client) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        answer = http.post("/", content=b"nothing of it", headers={"Content-Type": content_type})
        assert code(answer) == "36", answer.text
