"""NEM12: intervals by their position in the day, channels, qualities, and damaged records."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform_tests.readings.formats.rows_of import rows_of

HEADER = "100,NEM12,200405011135,MDA1,Ret1"
START = int(dt.datetime(2024, 6, 1, tzinfo=dt.timezone(dt.timedelta(hours=10))).timestamp())


def channel(suffix: str = "E1", unit: str = "kWh", interval: str = "30") -> str:
    return f"200,NMI0000001,E1E2B1Q1,1,{suffix},N1,SERIAL,{unit},{interval},20240701"


def day(values: Sequence[object], date: str = "20240601", quality: str = "A") -> str:
    return ",".join(["300", date, *map(str, values), quality, "", "", "20240602120025", "20240602142516"])


def write(tmp_path: Path, *records: str, end: bool = True) -> Path:
    path = tmp_path / "nem12.csv"
    path.write_text("\r\n".join([HEADER, *records, *(["900"] if end else [])]) + "\r\n", encoding="utf-8")
    return path


def test_intervals_are_counted_from_midnight_of_nem_time(tmp_path: Path) -> None:
    found = rows_of(write(tmp_path, channel(), day([f"{n}.25" for n in range(48)])))
    assert found.readings == [(START + n * 1800, "NMI0000001", n + 0.25) for n in range(48)]
    assert set(found.places) == {3}
    assert (found.format.name, found.format.recognised_by) == ("NEM12", "its first record, 100")
    assert (found.format.time_zone, found.format.notes()) == ("NEM time (UTC+10)", [])
    five = rows_of(write(tmp_path, channel(interval="5", unit="Wh"), day([500] * 288)))
    assert five.readings[-1] == (START + 287 * 300, "NMI0000001", 0.5)


def test_channels_that_are_no_usage_are_left_out_and_told(tmp_path: Path) -> None:
    records = [r for suffix in ("E1", "E2", "B1", "Q1") for r in (channel(suffix), day([1] * 48))]
    found = rows_of(write(tmp_path, *records))
    assert {meter for _, meter, _ in found.readings} == {"NMI0000001", "NMI0000001-E2"}
    assert len(found.readings) == 96
    assert found.format.notes() == [
        "1 days of channel B1 (export) were left out.",
        "1 days of channel Q1 (reactive energy) were left out.",
    ]
    with pytest.raises(SourceError, match=r"no record 300 of NEM12 is consumption.*1 days of channel B1 \(export\)"):
        rows_of(write(tmp_path, channel("B1"), day([1] * 48)))
    # The second register alone has the same meter.
    assert rows_of(write(tmp_path, channel("E2"), day([1] * 48))).readings[0][1] == "NMI0000001-E2"


@pytest.mark.parametrize("date", ["2024111", "202411", "2024 601", "+2024061", "20240230", "202406011"])
def test_a_date_has_eight_digits(tmp_path: Path, date: str) -> None:
    """strptime reads 2024111 as 1 November."""
    found = rows_of(write(tmp_path, channel(), day([1] * 48, date=date)))
    assert (found.readings, found.rejects) == ([], [(3, "unreadable_time")])


def test_qualities(tmp_path: Path) -> None:
    varying = [channel(), day([1] * 48, quality="V"), "400,1,20,A,,", "400,21,24,S14,79,", "400,25,26,N,,", "400,x,1,A"]
    found = rows_of(write(tmp_path, *varying, day([2] * 48, "20240602", "E52")))
    assert len(found.readings) == 24 + 48
    assert found.rejects.count((3, "no_value_by_its_quality")) == 2
    assert found.rejects.count((3, "quality_without_record_400")) == 22
    assert found.format.notes() == ["4 values are substituted (quality S).", "48 values are estimated (quality E)."]


def test_damaged_records_are_rejected_with_their_lines(tmp_path: Path) -> None:
    found = rows_of(
        write(
            tmp_path,
            day([1] * 48),
            channel(),
            day([1] * 47),
            day([1] * 48, "20240231"),
            day(["", "x", *[1] * 46]),
            "250,a,register,read",
            "what is this",
            channel(interval="7"),
            day([1] * 48),
            end=False,
        )
    )
    assert found.rejects == [
        (2, "no_record_200_before_it"),
        (4, "no_quality_after_the_values"),
        (5, "unreadable_time"),
        (6, "missing_value"),
        (6, "unreadable_value"),
        (7, "no_record_of_nem12"),
        (8, "no_record_of_nem12"),
        (10, "record_200_without_meter_or_interval"),
    ]
    assert len(found.readings) == 46
    assert found.format.notes() == ["There is no record 900 at the end: the file may be cut off."]


def test_the_unit_must_be_known(tmp_path: Path) -> None:
    path = write(tmp_path, channel(unit="pulses"), day([1000] * 48))
    with pytest.raises(SourceError, match="line 2: the unit is 'pulses': not a known unit of energy.*--override-unit"):
        rows_of(path)
    with pytest.raises(SourceError, match="the unit is 'pulses', but --unit says Wh"):
        rows_of(path, unit="Wh")
    found = rows_of(path, unit="Wh", override_unit=True)
    assert found.readings[0][2] == 1.0
    assert found.format.key == "nem12 in Wh"
    with pytest.raises(SourceError, match="format nem12 .*does not take --device, --decimal: it says this itself"):
        rows_of(path, device="7", decimal="comma")


def test_a_local_zone(tmp_path: Path) -> None:
    """A day of 23 or 25 hours has no certain intervals."""
    days = [channel(), day([1] * 48, "20241005"), day([1] * 48, "20241006")]
    found = rows_of(write(tmp_path, *days), timezone="Australia/Sydney")
    assert len(found.readings) == 48
    assert found.rejects == [(4, "day_of_other_than_24_hours")]


EVENTS = st.tuples(st.integers(0, 50), st.integers(0, 50), st.sampled_from(["A", "F14", "N", ""]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["E1", "E2", "B1"]),
            st.sampled_from(["A", "S14", "N", "V"]),
            st.lists(EVENTS, max_size=4),
            st.lists(st.sampled_from(["0", "1.5", "-2", "x", ""]), min_size=48, max_size=48),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_each_interval_is_read_or_rejected_once(
    tmp_path: Path, days: list[tuple[str, str, list[tuple[int, int, str]], list[str]]]
) -> None:
    records = [channel("E3"), day([1] * 48)]
    expected: Counter[str] = Counter({"read": 48})
    for number, (suffix, quality, events, values) in enumerate(days):
        records += [channel(suffix), day(values, f"202406{number + 1:02}", quality)]
        records += [f"400,{first},{last},{name},," for first, last, name in events]
        for index, value in enumerate(values, start=1):
            found = quality
            for first, last, name in events:
                if 1 <= first <= index <= last <= 48 and name:
                    found = name
            if suffix == "B1":
                continue
            verdict = {"N": "no_value_by_its_quality", "V": "quality_without_record_400"}.get(found[0], "")
            by_value = {"x": "unreadable_value", "": "missing_value"}.get(value, "read")
            expected[verdict or by_value] += 1
    rows = rows_of(write(tmp_path, *records))
    assert Counter(reason for _, reason in rows.rejects) + Counter(read=len(rows.readings)) == expected
    assert len(set(rows.readings)) == len(rows.readings)
