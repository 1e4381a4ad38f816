"""The command behind ``make conformance``, with a small suite in place of clickhouse-connect's and a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iot_platform_tests.clients.installed import installed
from iot_platform_tests.conformance.expected import EXPECTED, judge, read_expected
from iot_platform_tests.conformance.run import Outcome, cause

for plugin in ("pytest_asyncio", "pytest_mock", "polars"):
    installed(plugin)

SUITE = """
import os
import pathlib
import pytest
import clickhouse_connect

def connect():
    host, port, user, password = (
        os.environ[f"CLICKHOUSE_CONNECT_TEST_{name}"] for name in ("HOST", "PORT", "USER", "PASSWORD")
    )
    return clickhouse_connect.get_client(host=host, port=int(port), username=user, password=password)

def test_the_server_answers():
    with connect() as client:
        assert client.command("SELECT 1") == 1

def test_the_installed_client_is_tested():
    assert "site-packages" in pathlib.Path(clickhouse_connect.__file__).parts

@pytest.mark.parametrize("table", ["nope", "neither"])
def test_an_error_of_the_server(table):
    with connect() as client:
        client.query(f"SELECT * FROM {table}")

def test_a_wrong_answer():
    with connect() as client:
        assert client.command("SELECT 1") == 2

@pytest.mark.skip(reason="no")
def test_skipped():
    raise AssertionError
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    tests = folder / "tests" / "integration_tests"
    tests.mkdir(parents=True)
    for package in (tests, tests.parent):
        (package / "__init__.py").touch()
    (tests / "test_small.py").write_text(SUITE)
    # A checkout's own package must not be tested instead of the installed one.
    (folder / "clickhouse_connect").mkdir()
    (folder / "clickhouse_connect" / "__init__.py").touch()
    return folder


def conformance(checkout: Path, *listed: str, only: str = "") -> subprocess.CompletedProcess[str]:
    expected = checkout / "expected.toml"
    expected.write_text(f'[[failure]]\nkind = "limit"\nreason = "so it is"\ntests = {list(listed)!r}\n')
    command = [sys.executable, "-m", "iot_platform_tests.conformance", "--suite", str(checkout)]
    return subprocess.run(
        [*command, "--expected", str(expected), "--only", only],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_only_expected_failures_are_good(checkout: Path) -> None:
    done = conformance(checkout, "test_small::test_an_error_of_the_server", "test_small::test_a_wrong_answer")
    assert "6 tests, 2 passed, 3 failed, 1 skipped" in done.stdout, done.stderr
    assert "expected    test_small::test_an_error_of_the_server[nope]: limit: so it is" in done.stdout
    assert done.returncode == 0


def test_a_new_failure_and_one_that_is_gone_are_bad(checkout: Path) -> None:
    done = conformance(checkout, "test_small::test_the_server_answers", "test_small::test_renamed")
    assert "UNEXPECTED  test_small::test_an_error_of_the_server[nope]: ClickHouse 60 UNKNOWN_TABLE" in done.stdout
    assert "UNEXPECTED  test_small::test_a_wrong_answer: AssertionError: assert 1 == 2" in done.stdout
    assert "PASSES NOW  test_small::test_the_server_answers" in done.stdout
    assert "UNKNOWN     test_small::test_renamed" in done.stdout
    assert done.returncode == 1


def test_a_part_of_the_suite(checkout: Path) -> None:
    done = conformance(checkout, "test_small::test_a_wrong_answer", only="the_server_answers")
    assert "1 tests, 1 passed" in done.stdout, done.stderr
    assert done.returncode == 0


def test_a_folder_without_the_suite(tmp_path: Path) -> None:
    done = conformance(tmp_path)
    assert "has no tests/integration_tests" in done.stderr
    assert done.returncode == 2


def test_no_test_ran(checkout: Path) -> None:
    done = conformance(checkout, only="no_such_test")
    assert "pytest did not run the suite (exit code 5)" in done.stderr
    assert done.returncode == 1


def test_one_variant_can_be_listed_alone() -> None:
    outcomes = [Outcome("t::a[sync]", "failed", "x"), Outcome("t::a[async]", "passed")]
    assert judge(outcomes, {"t::a[sync]": "why"}, complete=True).good
    assert judge(outcomes, {"t::a": "why"}, complete=True).passed == ["t::a[async]"]


def test_every_expected_failure_has_a_reason() -> None:
    expected = read_expected(EXPECTED)
    assert expected
    assert {reason.partition(": ")[0] for reason in expected.values()} <= {"engine", "limit", "suite"}
    assert all(reason.partition(": ")[2] for reason in expected.values())


def test_the_class_of_a_failure() -> None:
    nested = (
        "DatabaseError: code: 636, server response: Code: 636. Error: Code: 117. bad (INCORRECT_DATA) (version 26.9)"
    )
    assert (
        cause(nested + ". More (CANNOT_EXTRACT) (version 26.9.2.1 (official build))") == "ClickHouse 636 CANNOT_EXTRACT"
    )
    assert cause("TypeError: not this way\nmore") == "TypeError: not this way"
    assert cause("") == "no message"
