"""The inbox: which files are found, which mapping holds for each, and what becomes of them."""

from __future__ import annotations

import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.errors import SourceError
from iot_platform.readings.inbox import local_inbox
from iot_platform.readings.inbox.inbox import Inbox
from iot_platform.readings.inbox.inbox_load import LoadedFile, load_due
from iot_platform.readings.inbox.inbox_memory import MOST_ATTEMPTS, Entry, failing, known_files, record
from iot_platform.settings import Settings

GOOD = "time,device_id,kwh\n2024-01-01 00:00,m1,1\n2024-01-01 00:30,m1,2\n"
WATTS = "time,device_id,usage\n2024-01-01 00:00,m2,100\n2024-01-01 00:30,m2,200\n"
BAD = "a,b\n1,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def settings_of(tmp_path: Path, url: str | Path, **more: object) -> Settings:
    return Settings(home=tmp_path / "home", inbox=str(url), **{"inbox_settle_s": 0, **more})  # type: ignore[arg-type]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def load(client: Client, settings: Settings, run_id: str = "run", names: list[str] | None = None) -> dict[str, str]:
    """The state of each file that was due."""
    return {file.entry.file.path: file.entry.state for file in load_all(client, settings, run_id, names)}


def load_all(
    client: Client, settings: Settings, run_id: str = "run", names: list[str] | None = None
) -> list[LoadedFile]:
    return list(load_due(client, settings, Inbox(settings), names, run_id))


def energy_by_meter(client: Client) -> dict[str, float]:
    rows = client.query("SELECT meter_id, sum(power_usage_kWh) FROM l3_power_joined GROUP BY 1").result_rows
    return {str(meter): round(float(total), 9) for meter, total in rows}


def test_a_bad_file_is_remembered_and_keeps_no_other_from_loading(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    write(folder, {"a_bad.csv": BAD, "b.csv": GOOD, "c_empty.csv": "", "d.txt": "time,device_id,kwh\nx,m1,y\n"})
    assert load(schema, settings) == {
        "a_bad.csv": "failed",
        "b.csv": "loaded",
        "c_empty.csv": "failed",
        "d.txt": "failed",
    }
    assert energy_by_meter(schema) == {"m1": 3.0}
    assert load(schema, settings) == {}
    messages = [file.message for file in failing(known_files(schema))]
    assert [message.partition(":")[0] for message in messages] == ["a_bad.csv", "c_empty.csv", "d.txt"]
    # Replaced by a good one, and removed.
    write(folder, {"a_bad.csv": GOOD.replace("m1", "m3")})
    (folder / "c_empty.csv").unlink()
    assert load(schema, settings) == {"a_bad.csv": "loaded"}
    assert [file.path for file in failing(known_files(schema))] == ["d.txt"]
    assert energy_by_meter(schema) == {"m1": 3.0, "m3": 3.0}


def test_the_same_content_is_loaded_once(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    write(folder, {"a.csv": GOOD, "copy/b.csv": GOOD})
    first, second = load_all(schema, settings)
    # Of two files of the same content in one run, either may come first.
    assert first.results[0].inserted + second.results[0].inserted == 2
    # Written again with the same content.
    os.utime(folder / "a.csv", ns=(1, 1))
    [again] = load_all(schema, settings)
    assert (again.results[0].inserted, again.results[0].was_complete) == (0, True)


def test_the_nearest_mapping_holds_and_a_changed_one_repairs(schema: Client, tmp_path: Path, folder: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('unit = "MJ"', encoding="utf-8")
    settings = settings_of(tmp_path, folder, inbox_mapping=str(own))
    files = {"wh/deep/er/a.csv": WATTS, "wh/mapping.toml": 'unit = "Wh"', "b.csv": WATTS.replace("m2", "m4")}
    write(folder, files | {"broken/c.csv": WATTS.replace("m2", "m5"), "broken/mapping.toml": 'unit = "stones"'})
    assert load(schema, settings) == {"wh/deep/er/a.csv": "loaded", "b.csv": "loaded", "broken/c.csv": "failed"}
    assert energy_by_meter(schema) == {"m2": 0.3, "m4": pytest.approx(300 / 3.6)}
    [failed] = failing(known_files(schema))
    assert failed.message.startswith("broken/mapping.toml: not a mapping file. unit: 'stones' is none of")
    write(folder, {"broken/mapping.toml": 'unit = "MJ"', "wh/mapping.toml": 'unit = "kWh"'})
    # What was loaded stays as it is.
    assert load(schema, settings) == {"broken/c.csv": "loaded"}
    assert energy_by_meter(schema)["m2"] == 0.3 and energy_by_meter(schema)["m5"] == pytest.approx(300 / 3.6)


def test_hostile_names_and_links(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    (tmp_path / "secret.csv").write_text(GOOD, encoding="utf-8")
    names = ["a\nb.csv", "q'\"`|<b>.csv", "$(x);--.csv", "..csv..csv"]
    write(folder, {name: GOOD.replace("m1", f"n{index}") for index, name in enumerate(names)} | {".hidden.csv": GOOD})
    write(folder, {"new.csv.part": GOOD, "deep/real.csv": GOOD})
    (folder / "out.csv").symlink_to(tmp_path / "secret.csv")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "up.csv").symlink_to("../secret.csv")
    (folder / "gone.csv").symlink_to(folder / "nothing")
    (folder / "inside.csv").symlink_to(folder / "deep" / "real.csv")
    os.mkfifo(folder / "pipe.csv")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.csv")).write_text(GOOD, encoding="utf-8")
    found = load(schema, settings)
    failed = {"out.csv", "outside", "up.csv", "gone.csv", "pipe.csv", "\\xff.csv"}
    assert {path for path, state in found.items() if state == "failed"} == failed
    assert {path for path, state in found.items() if state == "loaded"} == {"deep/real.csv", *names[:3]}
    assert load(schema, settings) == {}


def test_bounds(schema: Client, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_of(tmp_path, folder, inbox_files_per_run=2, inbox_max_bytes=100)
    write(folder, {f"{n}.csv": GOOD.replace("m1", f"m{n}") for n in range(3)} | {"large.csv": "x" * 101})
    for n in range(3):
        os.utime(folder / f"{n}.csv", (100 - n, 100 - n))
    assert [*load(schema, settings)] == ["2.csv", "1.csv"]
    assert load(schema, settings) == {"0.csv": "loaded", "large.csv": "failed"}
    assert "IOT_INBOX_MAX_BYTES" in failing(known_files(schema))[0].message
    monkeypatch.setattr(local_inbox, "MOST_FILES", 3)
    with pytest.raises(SourceError, match="more than 3 files. Nothing was loaded"):
        Inbox(settings)
    with pytest.raises(SourceError, match="the inbox cannot be read: No such file"):
        Inbox(settings_of(tmp_path, tmp_path / "missing"))


def test_a_file_that_kills_its_process_goes_last_and_is_given_up(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    write(folder, {"a_killer.csv": GOOD, "b.csv": GOOD.replace("m1", "m2")})
    inbox = Inbox(settings)
    [killer] = [file for file in inbox.files if file.path == "a_killer.csv"]
    for attempt in range(MOST_ATTEMPTS):
        record(schema, [Entry(killer, "", "loading")], f"run {attempt}")
        record(schema, [Entry(killer, "", "loading")], f"run {attempt}")
    assert list(load(schema, settings).items()) == [("b.csv", "loaded"), ("a_killer.csv", "failed")]
    assert "never ended" in failing(known_files(schema))[0].message
    os.utime(folder / "a_killer.csv", ns=(1, 1))
    assert load(schema, settings) == {"a_killer.csv": "loaded"}


def test_what_was_written_just_now_is_left_for_later(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder, inbox_settle_s=60)
    now = time.time()
    write(folder, {"new.csv": GOOD, "old.csv": GOOD, "ahead.csv": GOOD, "wh/a.csv": WATTS, "wh/mapping.toml": ""})
    for name, age_s in {"old.csv": 61, "ahead.csv": -3600, "wh/a.csv": 61}.items():
        os.utime(folder / name, (now - age_s, now - age_s))
    assert [*load(schema, settings)] == ["old.csv", "ahead.csv"]
    os.utime(folder / "wh/mapping.toml", (now - 61, now - 61))
    assert [*load(schema, settings)] == ["wh/a.csv"]


def test_only_named_files_of_the_inbox_are_loaded(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    write(folder, {"a.csv": GOOD, "b.csv": GOOD})
    (tmp_path / "secret.csv").write_text(GOOD, encoding="utf-8")
    names = ["b.csv", "../secret.csv", str(tmp_path / "secret.csv"), "nothing.csv"]
    assert load(schema, settings, names=names) == {"b.csv": "loaded"}


@pytest.fixture
def bucket() -> Iterator[str]:
    files = fsspec.filesystem("memory")
    files.mkdirs("/bucket/in", exist_ok=True)
    yield "memory://bucket/in"
    files.rm("/bucket", recursive=True)


def test_an_object_store(schema: Client, tmp_path: Path, bucket: str) -> None:
    settings = settings_of(tmp_path, bucket, inbox_max_bytes=1000)
    files = fsspec.filesystem("memory")
    contents = {
        "a.csv": GOOD,
        "wh/b.csv": WATTS,
        "wh/mapping.toml": 'unit = "Wh"',
        "bad.csv": BAD,
        "large.csv": "x" * 1001,
    }
    for name, text in contents.items():
        files.pipe(f"/bucket/in/{name}", text.encode())
    states = {"a.csv": "loaded", "wh/b.csv": "loaded", "bad.csv": "failed", "large.csv": "failed"}
    assert load(schema, settings) == states
    assert energy_by_meter(schema) == {"m1": 3.0, "m2": 0.3}
    assert load(schema, settings) == {}
    messages = {file.path: file.message for file in failing(known_files(schema))}
    assert messages["bad.csv"].startswith("bad.csv: ") and "home" not in messages["bad.csv"]
    files.pipe("/bucket/in/bad.csv", GOOD.replace("m1", "m7").encode())
    assert load(schema, settings) == {"bad.csv": "loaded"}
    # The copies are gone.
    assert list((tmp_path / "home" / "inbox_copies").iterdir()) == []
    with pytest.raises(SourceError, match="memory://bucket/nothing: the inbox is not there"):
        Inbox(settings_of(tmp_path, "memory://bucket/nothing"))


def test_the_files_of_an_archive(schema: Client, tmp_path: Path, folder: Path) -> None:
    settings = settings_of(tmp_path, folder)
    for name, members in {
        "a.zip": {"x/1.csv": GOOD, "2.csv": BAD},
        "b.zip": {"3.csv": GOOD.replace("m1", "m3")},
    }.items():
        with zipfile.ZipFile(folder / name, "w") as archive:
            for member, text in members.items():
                archive.writestr(member, text)
    (folder / "c.zip").write_bytes((folder / "a.zip").read_bytes()[:-30])
    found = {file.entry.file.path: file for file in load_all(schema, settings)}
    assert {path: file.entry.state for path, file in found.items()} == {
        "a.zip": "failed",
        "b.zip": "loaded",
        "c.zip": "failed",
    }
    assert [result.file for result in found["a.zip"].results] == ["a.zip/x/1.csv"]
    assert found["a.zip"].entry.message.startswith("a.zip/2.csv: ")
    assert found["c.zip"].entry.message.startswith("c.zip: ")
    assert energy_by_meter(schema) == {"m1": 3.0, "m3": 3.0}
    assert load(schema, settings) == {}
    assert list((tmp_path / "home" / "inbox_copies").iterdir()) == []


def test_file_urls_are_folders(schema: Client, tmp_path: Path, folder: Path) -> None:
    write(folder, {"a.csv": GOOD})
    assert load(schema, settings_of(tmp_path, f"file://{folder}")) == {"a.csv": "loaded"}
