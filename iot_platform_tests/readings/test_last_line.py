"""A last line without a line end is loaded if it is whole, and held back if it may be cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files import loader
from iot_platform.readings.files.file_group import REJECTED_BEFORE
from iot_platform.readings.files.file_result import FileResult
from iot_platform.readings.files.unended_line import FEWEST_LINES, UnendedLine
from iot_platform_tests.cli.test_load_readings import load_file, stored

HEADER = "timestamp,device_id,kwh\n"


def lines(values: list[str], day: int = 1) -> str:
    return "".join(f"2024-01-{day:02} {n:02}:00:00,423,{value}\n" for n, value in enumerate(values))


def unended(text: str) -> UnendedLine:
    before, _, last = text.rpartition("\n")
    return UnendedLine(last.encode(), (before + "\n").encode(), b",")


@given(
    st.lists(st.decimals(0, 200, places=3).map(str), min_size=1, max_size=24),
    st.booleans(),
    st.integers(1, 12),
)
def test_a_cut_line_is_never_taken_for_whole(values: list[str], are_times: bool, cut: int) -> None:
    fields = [f"2024-01-01T{n:02}:00:00Z" for n in range(len(values))] if are_times else values
    whole = HEADER + "".join(f"1,{field}\n" for field in fields)
    assert unended(whole[:-1]).is_whole() == (len(values) > FEWEST_LINES)
    # At most all of the last field: a line with fewer fields is no reading.
    assert not unended(whole[: -1 - min(cut, len(fields[-1]))]).is_whole()


def test_which_forms_tell() -> None:
    assert unended(HEADER + lines(["1.5"] * 20) + "x,1,1.5").is_whole()
    assert not unended(HEADER + lines(["1.5"] * 20 + ["1.25"]) + "x,1,1.5").is_whole()
    assert not unended(HEADER + lines(["100"] * 20) + "x,1,100").is_whole()
    assert unended(HEADER + lines(["1"]) + "x,1,1\r").is_whole()
    assert unended(HEADER + lines(["1"]) + 'x,1,"1"').is_whole()
    assert not unended(HEADER + lines(["1"]) + 'x,1,"1').is_whole()


@pytest.mark.parametrize("window_rows", [loader.WINDOW_ROWS, 3])
def test_a_cut_value_is_held_back_until_it_is_accepted(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window_rows: int
) -> None:
    monkeypatch.setattr(loader, "WINDOW_ROWS", window_rows)
    path = tmp_path / "r.csv"
    # Not sorted by time, so that the last line is not the last reading.
    path.write_text(HEADER + lines(["0.509"] * 3, day=2) + lines(["0.509"] * 3) + "2024-01-01 23:00:00,423,0.5")
    for _ in range(2):
        result = load_file(schema, path)
        assert (result.last_line, result.rejected) == ("held back", {"last_line_without_line_end": 1})
        assert (result.rows_read, result.inserted + result.already_loaded) == (7, 6)
        assert [reject.place for reject in result.first_rejects] == [8]
    assert (result.was_complete, result.inserted) == (False, 0)
    assert len(stored(schema)) == 6
    result = load_file(schema, path, batch_rows=2, accept_last_line=True)
    assert (result.last_line, result.rejected, result.inserted, result.already_loaded) == ("accepted", {}, 1, 6)
    assert 0.5 in [value for _, _, value in stored(schema)]
    assert load_file(schema, path).was_complete
    assert len(stored(schema)) == 7


def test_a_whole_last_line_is_loaded(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER + lines(["0.509"] * 12)[:-1])
    result = load_file(schema, path)
    assert (result.last_line, result.inserted, result.rejected) == ("whole", 12, {})
    # The column that may be cut is not read.
    path.write_text("timestamp,device_id,kwh,note\n" + "2024-02-01,423,1,a\n" + "2024-02-02,423,1,b")
    assert load_file(schema, path).last_line == "whole"
    # A last line with too few fields is no reading; that it has no line end says nothing new.
    path.write_text(HEADER + "2024-02-01,423,1\n" + "2024-02-02,42")
    result = load_file(schema, path)
    assert (result.last_line, result.rejected) == ("", {"wrong_column_count": 1})


def test_rejects_are_told_again(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "2024-01-01,1,1\n2024-01-02,1,x\n")
    report = tmp_path / "r.rejects.csv"
    for _ in range(2):
        result = load_file(schema, path)
        assert (result.rejected, result.first_rejects[0].place) == ({"unreadable_value": 1}, 3)
        report.unlink()
    assert result.was_complete
    # A version that could not read the first row either loaded the file.
    schema.command(
        "INSERT INTO ingestion_ledger SELECT * REPLACE (0 AS readings, now64(6) AS recorded_at) "
        "FROM (SELECT * FROM ingestion_ledger FINAL WHERE readings = 1)"
    )
    assert load_file(schema, path).rejected == {"unreadable_value": 1, REJECTED_BEFORE: 1}


def test_of_a_file_without_readings_nothing_is_recorded(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "01x02,312,1\n01x02,312,2\n")
    for _ in range(2):
        result = load_file(schema, path)
        assert (result.has_no_readings, result.was_complete, result.rejected) == (True, False, {"unreadable_time": 2})
    assert schema.query("SELECT count() FROM ingestion_ledger").result_rows == [(0,)]


def test_carriage_returns_are_line_ends(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    text = HEADER + lines(["0.1", "x", "0.3"])
    path.write_bytes(text.replace("\n", "\r").encode())
    result = load_file(schema, path)
    assert (result.inserted, result.rejected) == (2, {"unreadable_value": 1})
    assert result.first_rejects[0].place == 3


def test_a_register_whose_last_line_may_be_cut_is_refused(schema: Client, tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER + lines(["100", "100.2", "100.25", "x"]) + "2024-01-01 23:00:00,423,100.5")
    with pytest.raises(SourceError, match=r"r\.csv: the last line has no line end.*--accept-last-line"):
        load_file(schema, path, register=True)
    assert schema.query("SELECT count() FROM ingestion_ledger").result_rows == [(0,)]
    result = load_file(schema, path, register=True, accept_last_line=True)
    assert (result.last_line, result.inserted, result.without_interval) == ("accepted", 3, 1)
    # Its first reading ends no interval, and was not rejected by an older version.
    again = load_file(schema, path, register=True)
    assert (again.was_complete, again.last_line, again.without_interval) == (True, "accepted", 1)
    assert again.rejected == result.rejected == {"unreadable_value": 1}


def test_a_file_that_no_version_could_read_before_is_read(
    schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.csv"
    path.write_text(HEADER + "01.02.2024 00:00,312,1\n01.02.2024 01:00,312,2\n")
    with monkeypatch.context() as patch:
        patch.setattr(FileResult, "has_no_readings", False)
        assert load_file(schema, path, timestamp_format="iso").rejected == {"unreadable_time": 2}
    assert load_file(schema, path).inserted == 2
    assert load_file(schema, path).already_loaded == 2
