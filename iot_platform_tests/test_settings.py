"""Settings come from the environment, have one home, and never show a secret."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
from pydantic import SecretStr, ValidationError

from iot_platform.errors import SettingsError
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


SECRETS = [name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)]


def test_the_secrets_are_known() -> None:
    assert {"clickhouse_url", "clickhouse_password", "crm_token", "alert_webhook_url", "alert_smtp_url"} == {*SECRETS}


@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_may_be_in_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    monkeypatch.setenv(f"IOT_{name.upper()}_FILE", str(file))
    with pytest.raises(SettingsError, match=f"IOT_{name.upper()}_FILE={file}: cannot be read: No such file"):
        Settings()
    file.write_text("very secret\n")
    assert getattr(Settings(), name).get_secret_value() == "very secret"
    monkeypatch.setenv(f"IOT_{name.upper()}", "")  # not set
    assert getattr(Settings(), name).get_secret_value() == "very secret"
    monkeypatch.setenv(f"IOT_{name.upper()}", "verysecret")
    with pytest.raises(SettingsError, match=f"IOT_{name.upper()} and IOT_{name.upper()}_FILE are both set"):
        Settings()


def test_an_empty_file_is_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    monkeypatch.setenv("IOT_CRM_TOKEN_FILE", str(tmp_path / "empty"))
    assert Settings().crm_token is None


def test_a_wrong_setting_shows_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CRM_TOKEN", "verysecret")
    monkeypatch.setenv("IOT_SIMULATOR_DEVICES", "verysecret")
    with pytest.raises(ValidationError) as wrong:
        Settings()
    assert "verysecret" not in str(wrong.value) and "simulator_devices" in str(wrong.value)


def test_the_sql_files_are_found() -> None:
    assert (Settings().sql_dir / "010_l1_power_raw.sql").is_file()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
