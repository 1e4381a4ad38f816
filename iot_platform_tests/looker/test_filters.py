"""Filter expressions: what they mean, and that all others are refused."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.errors import FilterError
from iot_platform.looker.dates import UNITS, Interval, is_finer, parse_dates
from iot_platform.looker.filters import Values, condition
from iot_platform.looker.timeframes import Grammar
from iot_platform_tests.looker.string_filters import any_of

NOW = dt.datetime(2026, 11, 24, 19, 50, 7, 5, tzinfo=dt.UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("expression", "start", "end"),
    [
        ("today", "2026-11-24", "2026-11-25"),
        ("yesterday", "2026-11-23", "2026-11-24"),
        ("30 days", "2026-10-26", "2026-11-25"),
        ("7 Day", "2026-11-18", "2026-11-25"),
        ("24 hours", "2026-11-23T20", "2026-11-24T20"),
        ("2 weeks", "2026-11-16", "2026-11-30"),
        ("3 days ago", "2026-11-21", "2026-11-22"),
        ("7 days ago for 3 days", "2026-11-17", "2026-11-20"),
        ("2 months ago for 2 days", "2026-09-01", "2026-09-03"),
        ("this week", "2026-11-23", "2026-11-30"),
        ("this month", "2026-11-01", "2026-12-01"),
        ("last month", "2026-10-01", "2026-11-01"),
        ("last quarter", "2026-07-01", "2026-10-01"),
        ("next year", "2027-01-01", "2028-01-01"),
        ("2026", "2026-01-01", "2027-01-01"),
        ("2026/01", "2026-01-01", "2026-02-01"),
        ("2026-01-05", "2026-01-05", "2026-01-06"),
        ("2026/1/5 13", "2026-01-05T13", "2026-01-05T14"),
        ("2026-01-05 13:30", "2026-01-05T13:30", "2026-01-05T13:31"),
        ("2026/01/01 to 2026/02/01", "2026-01-01", "2026-02-01"),
        ("2026/01/01 06:00 to 2026/01/01 18:00:00", "2026-01-01T06", "2026-01-01T18"),
        ("30 days ago to today", "2026-10-25", "2026-11-24"),
        ("before 2026/01/05", None, "2026-01-05"),
        ("after 3 days ago", "2026-11-21", None),
        ("before this month", None, "2026-11-01"),
    ],
)
def test_times(expression: str, start: str | None, end: str | None) -> None:
    bounds = [dt.datetime.fromisoformat(each) if each else None for each in (start, end)]
    assert parse_dates(expression, NOW) == [Interval(*bounds)]
    elsewhere = NOW.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert parse_dates(expression, elsewhere) == [Interval(*bounds)]


@pytest.mark.parametrize(
    "expression",
    ["monday", "0 days", "-3 days", "3 fortnights", "2026/13", "2026/02/30", "2026/01/05 to 2026/01/05", "x to y"]
    + ["before", "after tomorrow noon", "99999 days", "1066/10/14", "9999/12/31", "today,", "this year to day"],
)
def test_other_times_are_refused_by_name(expression: str) -> None:
    with pytest.raises(FilterError) as error:
        parse_dates(expression, NOW)
    assert repr(expression) in str(error.value)


def test_alternatives_and_any_time() -> None:
    assert len(parse_dates("2026/01/05, yesterday", NOW)) == 2
    assert parse_dates(" ", NOW) == parse_dates("any time", NOW) == []


@given(
    st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2090, 1, 1), timezones=st.just(dt.UTC)),
    st.sampled_from(UNITS),
    st.integers(1, 30),
)
def test_the_last_n_units_are_the_single_units_together(now: dt.datetime, unit: str, count: int) -> None:
    expression = f"{count} {unit}s"
    (last,) = parse_dates(expression, now)
    assert last.start and last.end and not is_finer(expression, last, unit)
    assert last.start <= now.replace(tzinfo=None) < last.end
    ago = [parse_dates(f"{n} {unit} ago", now)[0] for n in range(count - 1, -1, -1)]
    assert (ago[0].start, ago[-1].end) == (last.start, last.end)
    assert all(first.end == second.start for first, second in zip(ago, ago[1:], strict=False))
    assert parse_dates(f"this {unit}", now) == parse_dates(f"1 {unit}", now) == ago[-1:]


def of(grammar: Grammar, expression: str) -> tuple[str | None, list[object]]:
    values = Values()
    sql = condition(grammar, {"": "x"}, expression, values, NOW)
    return sql, list(values.parameters.values())


@pytest.mark.parametrize(
    ("expression", "sql", "values"),
    [
        ("5", "x = {p0:Int64}", [5]),
        ("-5.5", "x = {p0:Float64}", [-5.5]),
        ("1, 2,3", "x IN {p0:Array(Int64)}", [[1, 2, 3]]),
        ("1,2.5", "x IN {p0:Array(Float64)}", [[1.0, 2.5]]),
        ("NOT 5", "NOT (x = {p0:Int64})", [5]),
        ("!=5,<>6", "NOT (x IN {p0:Array(Int64)})", [[5, 6]]),
        (">=5 AND <10", "x >= {p0:Int64} AND x < {p1:Int64}", [5, 10]),
        ("1 to 5", "x >= {p0:Int64} AND x <= {p1:Int64}", [1, 5]),
        ("[1,5)", "x >= {p0:Int64} AND x < {p1:Int64}", [1, 5]),
        ("(1, inf)", "x > {p0:Int64}", [1]),
        ("(-inf, 1]", "x <= {p0:Int64}", [1]),
        ("<1 OR >5", "((x < {p0:Int64}) OR (x > {p1:Int64}))", [1, 5]),
        (">5, NOT 7", "x > {p0:Int64} AND NOT (x = {p1:Int64})", [5, 7]),
        ("NOT NULL", "NOT (x IS NULL)", []),
        ("", None, []),
    ],
)
def test_numbers(expression: str, sql: str | None, values: list[object]) -> None:
    assert of("numbers", expression) == (sql, values)


@pytest.mark.parametrize(
    ("expression", "sql", "values"),
    [
        ("office", "x IN {p0:Array(String)}", [["office"]]),
        ("office, retail", "x IN {p0:Array(String)}", [["office", "retail"]]),
        ("%off%", "x LIKE {p0:String}", ["%off%"]),
        ("100^%", "x IN {p0:Array(String)}", [["100%"]]),
        ("100^%%", "x LIKE {p0:String}", ["100\\%%"]),
        ("-office", "NOT (x IN {p0:Array(String)})", [["office"]]),
        ("o%,-office", "x LIKE {p0:String} AND NOT (x IN {p1:Array(String)})", ["o%", ["office"]]),
        ('"a, b"', "x IN {p0:Array(String)}", [["a, b"]]),
        ("EMPTY", "(x IS NULL OR x = '')", []),
        ("-NULL", "NOT (x IS NULL)", []),
        ("^NULL", "x IN {p0:Array(String)}", [["NULL"]]),
    ],
)
def test_strings(expression: str, sql: str, values: list[object]) -> None:
    assert of("strings", expression) == (sql, values)


@pytest.mark.parametrize(
    ("grammar", "expression"),
    [
        ("numbers", "five"),
        ("numbers", "1,"),
        ("numbers", "(inf, 1)"),
        ("numbers", "1; DROP TABLE x"),
        ("strings", "a,,b"),
        ("strings", "-"),
        ("strings", "a^"),
        ("strings", '"a'),
        ("yesno", "maybe"),
        ("location", "here"),
        ("hours", "30 minutes"),
        ("days", "2 hours ago"),
    ],
)
def test_other_expressions_are_refused_by_name(grammar: Grammar, expression: str) -> None:
    with pytest.raises(FilterError) as error:
        condition(
            grammar,
            {"": "x"} if grammar != "location" else {"latitude": "x", "longitude": "y"},
            expression,
            Values(),
            NOW,
        )
    assert repr(expression) in str(error.value)


def test_locations() -> None:
    parts = {"latitude": "a", "longitude": "o"}
    values = Values()
    assert condition("location", parts, "51.5, -0.12", values, NOW) == "a = {p0:Float64} AND o = {p1:Float64}"
    assert list(values.parameters.values()) == [51.5, -0.12]
    box = condition("location", parts, "inside box from 52, -1 to 51, 0", Values(), NOW)
    assert box == "a BETWEEN {p0:Float64} AND {p1:Float64} AND o BETWEEN {p2:Float64} AND {p3:Float64}"


@given(st.lists(st.text(), min_size=1))
def test_any_string_can_be_matched_exactly(wanted: list[str]) -> None:
    sql, values = of("strings", any_of(wanted))
    texts = [text for text in wanted if text]
    assert values == ([texts] if texts else [])
    assert ("x = ''" in (sql or "")) == ("" in wanted)


@given(st.sampled_from(["hours", "days", "numbers", "strings", "yesno"]), st.text())
def test_any_expression_compiles_or_is_refused(grammar: Grammar, expression: str) -> None:
    try:
        sql, values = of(grammar, expression)
    except FilterError:
        return
    # Nothing of an expression gets into the SQL but as a value.
    fixed = re.sub(r"\{p\d+:[A-Za-z0-9()]+\}", "", sql or "")
    assert re.fullmatch(r"(x|AND|OR|NOT|IN|LIKE|IS NULL|toDateTime|, 'UTC'|''|[ ()=<>])*", fixed)
    assert sql is None or len(values) == sql.count("{p")
