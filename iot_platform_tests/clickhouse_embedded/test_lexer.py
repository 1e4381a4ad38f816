"""Tokens of SQL. The time to find them grows linearly with the text."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iot_platform.clickhouse_embedded.lexer import tokens, with_depth
from iot_platform.clickhouse_embedded.statement import insert_head

PIECES = st.sampled_from(
    ["'", "''", "\\'", '"', "`", "$", "$$", "$t$", "$t1$", "--", "//", "\n", "/*", "*/", "#!", "‘", "’", "“", " ", "a",
     "file", "(", ")", "1", ",", ", 2", ";", "\\", "\x00", "\u200b", "\udcff", "é",
     "INSERT INTO t VALUES", "FORMAT CSV"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=40).map("".join))
@example("$a$b$a$")
@example("$t0$ $t1$ $t0")
def test_tokens_are_in_order_and_equal_the_text(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        assert text[token.start : token.end] == token.text
        end = token.end


@given(st.lists(PIECES, max_size=40).map("".join))
def test_the_data_of_an_insert_begins_after_its_head(text: str) -> None:
    head = insert_head(text)
    if head is not None:
        assert text.startswith(head.sql)
        assert len(head.sql) < head.data_start <= len(text)


# Each was quadratic, or is what a regular expression might go back over.
@pytest.mark.parametrize(
    "unit",
    ["$t{}$ ", "$t{}$", "$$ $", "\\'", "'\\' ", "'a''", "`\\`", "/*", "/* */", "*/ ", "-- x\n", "//", "$abc", "“", "(",
     "1, ", "INSERT ", "#!"],
)  # fmt: skip
def test_time_grows_with_the_text(unit: str) -> None:
    def seconds(size: int) -> float:
        text = "".join(unit.format(number) for number in range(size // len(unit)))
        began = time.thread_time()
        for _ in tokens(text):
            pass
        return time.thread_time() - began

    small, large = 2**15, 2**19
    seconds(small)  # warm
    # 16 times the text: linear is 16 times the time, quadratic 256 times.
    assert seconds(large) < 64 * (min(seconds(small) for _ in range(3)) + 0.002)


def test_brackets_in_strings_and_names_open_nothing() -> None:
    found = list(tokens("f([1, {'(' : `[`}], x) y"))
    assert [depth for _, _, depth in with_depth(found)] == [0, 1, 2, 2, 2, 3, 3, 3, 3, 2, 1, 1, 1, 0, 0]
    assert [(index, token.text, depth) for index, token, depth in with_depth(found, 12)] == [
        (12, "x", 0),
        (13, ")", -1),
        (14, "y", -1),
    ]


@pytest.mark.parametrize(
    ("sql", "head", "data"),
    [
        ("INSERT INTO t FORMAT CSV\n1,2", "INSERT INTO t ", "1,2"),
        ("INSERT INTO t (a, b) VALUES (1, 2)", "INSERT INTO t (a, b) ", " (1, 2)"),
        ("INSERT INTO t FORMAT Values (1)", "INSERT INTO t ", "(1)"),
        ("INSERT INTO values FORMAT TSV 1", "INSERT INTO values ", "1"),
        ("WITH 1 AS x INSERT INTO t FORMAT CSV\n1", "WITH 1 AS x INSERT INTO t ", "1"),
        ("WITH (SELECT 1) AS x INSERT INTO t VALUES (1)", "WITH (SELECT 1) AS x INSERT INTO t ", " (1)"),
        ("WITH {SELECT:Int8} AS x INSERT INTO t FORMAT TSV\nx;", "WITH {SELECT:Int8} AS x INSERT INTO t ", "x;"),
        ("INSERT INTO t // c\n VALUES (1)", "INSERT INTO t // c\n ", " (1)"),
    ],
)
def test_where_the_data_begins(sql: str, head: str, data: str) -> None:
    found = insert_head(sql)
    assert found is not None
    assert (found.sql, sql[found.data_start :]) == (head, data)


@pytest.mark.parametrize(
    "sql",
    ["SELECT 1", "INSERT INTO t SELECT 1 FORMAT CSV", "WITH 1 AS x SELECT x", "INSERT INTO t FORMAT", "",
     "INSERT INTO t WITH 1 AS x SELECT x", "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", "'INSERT"],
)  # fmt: skip
def test_statements_without_data(sql: str) -> None:
    assert insert_head(sql) is None
