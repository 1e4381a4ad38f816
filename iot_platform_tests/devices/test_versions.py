"""The difference between a source and the stored versions, against a simple model: the owner of each hour."""

from __future__ import annotations

import datetime as dt

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.devices.describe import change_rows
from iot_platform.devices.versions import Difference, devices_in_use, difference

HOURS = 8
START = pd.Timestamp("2026-05-01", tz="UTC").as_unit("us")
EPOCH = pd.Timestamp(0, tz="UTC").as_unit("us")
COLUMNS = ["device_id", "customer_id", "building_type", "latitude", "longitude", "valid_from", "time_zone"]

# Versions of each device: customer by the hour from which it is valid (-1: always). None: removed.
Model = dict[int, dict[int, str | None]]
# Rows of a source: device, customer, hour (None: without valid_from).
Rows = list[tuple[int, str, int | None]]

ROW = st.tuples(st.integers(1, 3), st.sampled_from("ab"), st.none() | st.integers(0, HOURS - 1))
SOURCE = st.lists(ROW, max_size=6, unique_by=lambda row: (row[0], row[2]))
REFRESHES = st.lists(st.tuples(SOURCE, st.booleans(), st.integers(0, 2)), min_size=1, max_size=5)


def as_of(versions: dict[int, str | None], hour: int) -> str | None:
    return versions[max(held)] if (held := [start for start in versions if start <= hour]) else None


def apply_to_model(model: Model, rows: Rows, now: int, *, complete: bool) -> None:
    known = set(model)
    for device in {row[0] for row in rows}:
        own = [(customer, hour) for other, customer, hour in rows if other == device]
        versions = model.setdefault(device, {})
        if len(own) == 1 and own[0][1] is None and device in known:
            if as_of(versions, now) != own[0][0]:
                versions[now] = own[0][0]
            continue
        dated = {-1 if hour is None else hour: customer for customer, hour in own}
        was_closed = None in versions.values()
        versions |= dated
        started = [start for start in dated if start <= now]
        if complete and was_closed and started and as_of(versions, now) is None:
            versions[now] = dated[max(started)]
    for device in (known - {row[0] for row in rows}) if complete else ():
        versions = model[device]
        ends = {start: None for start in versions if start > now and versions[start]}
        versions |= ends | ({now: None} if as_of(versions, now) else {})


def time(hour: int) -> pd.Timestamp:
    return EPOCH if hour == -1 else START + pd.Timedelta(hours=hour)


def incoming(rows: Rows) -> pd.DataFrame:
    values = [(device, customer, "office", 1.0, 2.0, hour, "Etc/GMT") for device, customer, hour in rows]
    frame = pd.DataFrame(values, columns=COLUMNS)
    times = [pd.NaT if hour is None else time(hour) for _, _, hour in rows]
    frame["valid_from"] = pd.Series(times, dtype=pd.DatetimeTZDtype("us", "UTC"))
    return frame.astype({"device_id": "int64", "latitude": float, "longitude": float})


def nothing() -> pd.DataFrame:
    return incoming([]).assign(is_removed=pd.Series(dtype="int64"))


def store(stored: pd.DataFrame, found: Difference) -> pd.DataFrame:
    parts = [part for part in (stored, found.versions) if not part.empty]
    return pd.concat(parts or [stored]).drop_duplicates(["device_id", "valid_from"], keep="last", ignore_index=True)


def modelled(stored: pd.DataFrame) -> Model:
    model: Model = {}
    for row in stored.to_dict("records"):
        hour = -1 if row["valid_from"] == EPOCH else int((row["valid_from"] - START) / pd.Timedelta(hours=1))
        model.setdefault(row["device_id"], {})[hour] = None if row["is_removed"] else row["customer_id"]
    return model


def owners(model: Model) -> dict[tuple[int, int], str | None]:
    return {(device, hour): as_of(model.get(device, {}), hour) for device in (1, 2, 3) for hour in range(-1, HOURS)}


def hours_within(periods: pd.DataFrame) -> set[tuple[int, int]]:
    return {
        (row["device_id"], hour)
        for row in periods.to_dict("records")
        for hour in range(-1, HOURS)
        if row["valid_from"] <= time(hour) and (pd.isna(row["valid_to"]) or time(hour) < row["valid_to"])
    }


def hours_of_versions(model: Model, versions: pd.DataFrame) -> set[tuple[int, int]]:
    """The hours in which one of these versions is in force."""
    starts = {(row["device_id"], row["valid_from"]) for row in versions.to_dict("records")}
    return {
        (device, hour)
        for device, own in model.items()
        for hour in range(-1, HOURS)
        if (held := [start for start in own if start <= hour]) and (device, time(max(held))) in starts
    }


@settings(max_examples=50, deadline=None)
@given(REFRESHES)
def test_every_hour_has_the_owner_of_the_model(refreshes: list[tuple[Rows, bool, int]]) -> None:
    stored, model, hour = nothing(), Model(), 0
    for rows, complete, step in refreshes:
        hour += step
        now = (time(hour) + pd.Timedelta(minutes=40)).to_pydatetime()
        before = owners(model)
        in_use = devices_in_use(stored, now)
        found = difference(stored, incoming(rows), now, complete=complete)
        stored = store(stored, found)
        apply_to_model(model, rows, hour, complete=complete)
        assert modelled(stored) == model
        # The periods are exactly the hours of the versions that were stored, and no other hour differs.
        after, within = owners(model), hours_within(found.periods)
        assert within == hours_of_versions(model, found.versions)
        assert {key for key in after if before[key] != after[key]} <= within
        assert found.new + found.changed + found.unchanged == len(rows)
        assert found.closed == (len(in_use - {row[0] for row in rows}) if complete else 0)
        assert len(change_rows(found.changes.assign(meter="m"))) == len(found.changes)
        # The same source again changes nothing.
        assert difference(stored, incoming(rows), now, complete=complete).changes.empty


def refreshed(*sources: Rows, complete: bool = True) -> list[tuple[str, ...]]:
    """The last of several hourly refreshes, as it is shown: change, from, until and what."""
    stored, shown = nothing(), []
    for hour, rows in enumerate(sources):
        found = difference(stored, incoming(rows), time(hour).to_pydatetime(), complete=complete)
        stored = store(stored, found)
        changes = found.changes.assign(meter=found.changes["device_id"].astype(str))
        shown = [(row[0], row[3], *row[1:3], row[4]) for row in change_rows(changes)]
    return shown


def test_changes_in_words() -> None:
    hour = "2026-05-01 0{}:00"
    both: Rows = [(1, "a", None), (2, "b", None)]
    assert refreshed(both) == [
        ("1", "new", "ever", "open", "a, office, 1, 2, Etc/GMT"),
        ("2", "new", "ever", "open", "b, office, 1, 2, Etc/GMT"),
    ]
    assert refreshed(both, [(2, "c", None)]) == [
        ("1", "closed", hour.format(1), "open", "was a, office, 1, 2, Etc/GMT"),
        ("2", "changed", hour.format(1), "open", "customer_id: b -> c"),
    ]
    assert refreshed(both, [(2, "b", None)], both) == [
        ("1", "changed", hour.format(2), "open", "a, office, 1, 2, Etc/GMT")
    ]
    assert refreshed(both, [(2, "b", None)], complete=False) == []
    assert refreshed([(1, "a", None)], [(1, "a", 5)]) == [
        ("1", "changed", hour.format(5), "open", "as before: a, office, 1, 2, Etc/GMT")
    ]


def test_closing_withdraws_what_was_announced() -> None:
    announced: Rows = [(1, "a", None), (1, "b", 5), (2, "c", 6), (3, "d", None)]
    assert refreshed(announced, [(3, "d", None)]) == [
        ("1", "closed", "2026-05-01 01:00", "2026-05-01 05:00", "was a, office, 1, 2, Etc/GMT"),
        ("1", "closed", "2026-05-01 05:00", "open", "was b, office, 1, 2, Etc/GMT"),
        ("2", "closed", "2026-05-01 06:00", "open", "was c, office, 1, 2, Etc/GMT"),
    ]


def test_a_closed_device_with_valid_from_comes_back_with_the_hour_of_the_refresh() -> None:
    """Its row has not changed; what is new is that it is listed again."""
    dated: Rows = [(1, "a", 0), (2, "b", 0)]
    assert refreshed(dated, dated[1:], dated[1:], dated) == [
        ("1", "changed", "2026-05-01 03:00", "open", "a, office, 1, 2, Etc/GMT")
    ]


def test_names_with_line_breaks_stay_in_one_cell() -> None:
    found = difference(nothing(), incoming([(1, "a\nb", None)]), dt.datetime(2026, 5, 1, tzinfo=dt.UTC))
    assert change_rows(found.changes.assign(meter="1"))[0][4] == "a b, office, 1, 2, Etc/GMT"
