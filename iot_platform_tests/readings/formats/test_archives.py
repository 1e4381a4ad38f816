"""Zip archives: each member is a file of its own, and no archive harms the machine."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from clickhouse_connect.driver.client import Client

from iot_platform.cli.load import load
from iot_platform.errors import SourceError
from iot_platform.readings.formats import archives
from iot_platform.readings.formats.archives import expand

HEADER = "timestamp,device_id,kwh\n"


def archive_of(path: Path, **members: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


def test_members_are_files_of_their_own(platform: Client, tmp_path: Path) -> None:
    rows = [f"{HEADER}2024-01-01 00:00,{meter},0.{meter}\n" for meter in (1, 2)]
    archive = archive_of(
        tmp_path / "meters.zip", **{"a.csv": rows[0], "in/b.csv": rows[1], "bad.pdf": "%PDF", "__MACOSX/._a": "x"}
    )
    single = tmp_path / "a.csv"
    single.write_text(rows[0], encoding="utf-8")
    ended = CliRunner().invoke(load, ["readings", "--json", str(archive), str(single)])
    result = json.loads(ended.stdout)
    assert ended.exit_code == 1
    assert [file["file"] for file in result["files"]] == [f"{archive}/a.csv", f"{archive}/in/b.csv", str(single)]
    assert list(result["failed"]) == [f"{archive}/bad.pdf"]
    assert f"{archive}/bad.pdf: it is a PDF document" in ended.stderr
    # The same bytes are the same source, packed or not.
    assert [file["inserted"] for file in result["files"]] == [1, 1, 0]
    names = platform.query("SELECT description FROM ingestion_leases").result_columns[0]
    assert sorted(name.partition(":")[0] for name in set(names)) == ["meters.zip/a.csv", "meters.zip/in/b.csv"]
    kept = tmp_path / "rejects.csv"
    ended = CliRunner().invoke(load, ["readings", "--rejects", str(kept), str(archive)])
    assert ended.exit_code == 1
    assert "the archive has 3 files. --rejects works only with one file" in ended.stderr


@pytest.mark.parametrize("name", ["../../evil.csv", "/etc/evil.csv", "..\\evil.csv", "a/../../evil.csv", "evil.csv\n"])
def test_names_of_members_decide_about_no_path(tmp_path: Path, name: str) -> None:
    archive = archive_of(tmp_path / "x.zip", **{name: "text"})
    inside = tmp_path / "inside"
    [file] = expand(archive, inside)
    assert file.path.resolve().is_relative_to(inside)
    assert file.path.read_text(encoding="utf-8") == "text"
    assert str(file.shown).startswith(f"{archive}/")
    assert ".." not in str(file.shown)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive, file.path]


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SMALL_BYTES", 1 << 20)
    archive = archive_of(tmp_path / "x.zip", **{"zeros.csv": "0" * (20 << 20)})
    with pytest.raises(SourceError, match="'zeros.csv' unpacks to far more than it has in the archive"):
        expand(archive, tmp_path / "inside")
    assert sum(path.stat().st_size for path in (tmp_path / "inside").rglob("*") if path.is_file()) < 8 << 20
    monkeypatch.setattr(archives, "MOST_MEMBERS", 2)
    with pytest.raises(SourceError, match="more than 2 files"):
        expand(archive_of(tmp_path / "y.zip", a="1", b="2", c="3"), tmp_path / "more")


def test_archives_that_cannot_be_read(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "x.zip", **{"a.csv": HEADER * 99})
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(archive.read_bytes().replace(b"\xcb", b"\xcc", 1)[:-30])
    with pytest.raises(SourceError, match="damaged zip archive"):
        expand(damaged, tmp_path / "inside")
    empty = archive_of(tmp_path / "empty.zip")
    with pytest.raises(SourceError, match="the archive has no files"):
        expand(empty, tmp_path / "inside")
