"""Mapping files: the ready ones read their examples, and wrong ones are refused in words."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client
from hypothesis import given
from hypothesis import strategies as st

from iot_platform.errors import SourceError
from iot_platform.readings.files.column_mapping import FileOptions
from iot_platform.readings.files.loader import FileLoader
from iot_platform.readings.files.option_values import CHECKS, key_of
from iot_platform.readings.mapping_files import (
    NOT_IN_FILES,
    find_mapping,
    parse_mapping,
    read_mapping,
    ready_mappings,
    resolve,
)

# What the example of each ready mapping contains: start (UTC), meter, kWh; and options that it needs beside.
Readings = list[tuple[str, str, float]]
EXAMPLES: dict[str, tuple[dict[str, str], Readings]] = {
    "cambridge": ({}, [("2019-01-01 00:00", "b0", 41.5), ("2019-01-01 01:00", "b0", 40.25)]),
    "enedis": (
        {},
        [("2022-12-31 23:00", "14012345678901", 0.23), ("2022-12-31 23:30", "14012345678901", 0.239)],
    ),
    "home_assistant": (
        {},
        [
            ("2024-01-01 00:00", "sensor.meter_energy_total", 0.25),
            ("2024-01-01 00:30", "sensor.meter_energy_total", 0.5),
        ],
    ),
    "london_blocks": ({}, [("2012-10-12 00:30", "MAC000002", 0.25), ("2012-10-12 01:00", "MAC000002", 0.5)]),
    "london_smart_meters": ({}, [("2012-10-12 00:30", "MAC000002", 0.25), ("2012-10-12 01:00", "MAC000002", 0.5)]),
    "nem12": (
        {},
        [
            *((f"2024-06-30 {n // 2:02}:{n % 2 * 30:02}", "NMI0000001", 0.5) for n in range(28, 48)),
            *((f"2024-07-01 {n // 2:02}:{n % 2 * 30:02}", "NMI0000001", 0.5) for n in range(27)),
            ("2024-07-01 13:30", "NMI0000001", 0.25),
        ],
    ),
    "octopus": ({"device": "home"}, [("2024-06-30 23:00", "home", 0.25), ("2024-06-30 23:30", "home", 0.5)]),
    "pge": ({"device": "home"}, [("2024-07-01 07:00", "home", 0.25), ("2024-07-01 07:15", "home", 0.5)]),
    "sdge": ({}, [("2024-07-01 07:00", "05551234", 0.25), ("2024-07-01 07:15", "05551234", 0.5)]),
    "uci_household": ({"device": "home"}, [("2006-12-16 17:24", "home", 0.07), ("2006-12-16 17:25", "home", 0.09)]),
    "shelly": ({"device": "em-1"}, [("2025-12-27 00:00", "em-1", 0.25), ("2025-12-27 00:10", "em-1", 0.5)]),
}
FIELDS = {field.name for field in fields(FileOptions)}


def readings_of(client: Client) -> Readings:
    rows = client.query(
        "SELECT formatDateTime(timestamp, '%Y-%m-%d %H:%i'), meter_id, power_usage_kWh FROM l3_power_joined ORDER BY 1"
    )
    return [(str(time), str(meter), float(kWh)) for time, meter, kWh in rows.result_rows]


def loader(client: Client, options: FileOptions, folder: Path) -> FileLoader:
    return FileLoader(client, options, batch_rows=1000, rejects=lambda file: folder / "rejects.csv")


def test_each_ready_mapping_has_an_example_here() -> None:
    assert [mapping.name for mapping in ready_mappings()] == sorted(EXAMPLES)
    assert all(mapping.description and mapping.example and mapping.options for mapping in ready_mappings())


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_ready_mapping_reads_its_example(schema: Client, tmp_path: Path, name: str) -> None:
    more, expected = EXAMPLES[name]
    mapping = find_mapping(name)
    file = tmp_path / "example.csv"
    file.write_text(mapping.example.lstrip("\n"), encoding="utf-8")
    result = loader(schema, resolve(more, mapping).options, tmp_path).load(file)
    assert (result.inserted, result.rejected) == (len(expected), {})
    assert readings_of(schema) == expected


def test_the_same_mapping_by_options_and_by_a_file_is_the_same_source(schema: Client, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("time;meter;Power (W)\n01.02.2024 00:30;m;400\n01.02.2024 01:00;m;600\n", encoding="utf-8")
    given = {"unit": "W", "stamp": "end", "interval_s": 1800, "timezone": "Europe/Berlin"}
    by_options = loader(schema, resolve({**given, "value_column": "Power (W)"}, None).options, tmp_path).load(file)
    path = tmp_path / "own.toml"
    path.write_text(
        'value_column = "Power (W)"\nunit = "W"\nstamp = "end"\ninterval = "30min"\ntimezone = "Europe/Berlin"\n',
        encoding="utf-8",
    )
    by_file = loader(schema, resolve({}, read_mapping(path)).options, tmp_path).load(file)
    assert by_file.source == by_options.source and by_file.was_complete
    assert by_file.mapping == by_options.mapping


def test_given_options_override_a_mapping() -> None:
    mapping = parse_mapping(b'unit = "Wh"\nstamp = "end"\ninterval = "15min"', "own")
    resolved = resolve({"unit": "kWh", "stamp": "end", "decimal": "comma"}, mapping)
    assert (resolved.options.unit, resolved.options.stamp, resolved.options.interval_s) == ("kWh", "end", 900)
    assert resolved.overridden == ("--unit overrides unit = 'Wh' of mapping own.",)
    assert resolved.origins == {
        **{"unit": "given", "stamp": "given", "decimal": "given"},
        "interval_s": "mapping own",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"unit = ", "own.toml: not a mapping file: it is not TOML"),
        (b"\xff\xfe", "it is not TOML"),
        (b'units = "kWh"', r"'units' is not a key. Did you mean unit\? Keys: description, example, timestamp_column"),
        (b'unit = "kVAh"', "own.toml: not a mapping file. unit: 'kVAh' is none of mWh, Wh, kWh"),
        (b'stamp = "middle"', "stamp: Input should be 'start' or 'end'"),
        (b'interval = "often"', "interval: 'often' is not an interval. Use a number and s, min, h or d"),
        (b"interval = 30", "interval: Input should be a valid string"),
        (b'timezone = "Europe/Atlantis"', "timezone: unknown time zone 'Europe/Atlantis'"),
        (b'register = "yes"', "register: Input should be a valid boolean"),
        (b"accept_last_line = true", "'accept_last_line' is not a key"),
        (b"[unit]\nx = 1", "unit: Input should be a valid string"),
        (b"# " + b"x" * 70_000, "more than 64 KB"),
    ],
)
def test_wrong_files_are_refused_in_words(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.toml"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message):
        find_mapping(str(path))


def test_a_mapping_that_is_not_there() -> None:
    with pytest.raises(SourceError, match=r"no mapping 'enedi'. Did you mean enedis\? Known: cambridge, enedis"):
        find_mapping("enedi")
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        find_mapping("./enedis.toml")
    with pytest.raises(SourceError, match="not a regular file"):
        find_mapping("/dev/zero")


def test_the_mapping_in_the_documentation_is_one() -> None:
    page = (Path(__file__).parents[2] / "docs/mappings.md").read_text(encoding="utf-8")
    [block] = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    assert parse_mapping(block.encode(), "docs").options["interval_s"] == 900


def test_every_option_of_files_is_a_key() -> None:
    for field in sorted(FIELDS - NOT_IN_FILES - CHECKS.keys()):
        with pytest.raises(SourceError, match=rf"own: not a mapping file. {key_of(field)}: Input should be"):
            parse_mapping(f"{key_of(field)} = 1.5".encode(), "own")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_content_is_a_mapping_or_refused(content: bytes) -> None:
    try:
        parse_mapping(content, "own")
    except SourceError as error:
        assert str(error).startswith("own: not a mapping file")
