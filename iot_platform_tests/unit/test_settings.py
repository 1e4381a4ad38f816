"""Settings come from the environment, have one home, and never show a secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from iot_platform.settings import Settings


def test_the_home_does_not_move_with_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings(home=Path("x"))
    assert settings.root == tmp_path / "x"
    monkeypatch.chdir("/")
    assert settings.root == tmp_path / "x"


def test_the_environment_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_SIMULATOR_DEVICES", "7")
    monkeypatch.setenv("IOT_FIRST_DAY", "2019-01-01")
    settings = Settings()
    assert settings.simulator_devices == 7 and settings.first_day.isoformat() == "2019-01-01"


def test_secrets_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CLICKHOUSE_URL", "http://u:verysecret@h:1")
    monkeypatch.setenv("IOT_CLICKHOUSE_PASSWORD", "verysecret")
    assert "verysecret" not in repr(Settings()) + str(Settings())


def test_the_sql_files_are_found() -> None:
    assert (Settings().sql_dir / "010_l1_power_raw.sql").is_file()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
