"""Settings come from the environment, have one home, and never show a secret."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from iot_platform.cli import main
from iot_platform.errors import SettingsError
from iot_platform.settings import SECRETS, Settings


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


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # An empty host would listen on every address, and an empty home be the working directory.
    names = ["HOST", "HOME", "RUNS_KEPT_DAYS", "CLICKHOUSE_URL", "CHECKS", "DOCS_URL", "PROVE_TODAY_CRON"]
    for name in [*names, "CHECKS__REJECT_RATE_IS_NORMAL__WARN_SHARE", "ALERT_EMAIL_TO"]:
        monkeypatch.setenv(f"IOT_{name}", "")
    assert Settings() == Settings.model_construct()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("CONNECT_TIMEOUT_S", "0"), ("QUERY_TIMEOUT_S", "-1"), ("BATCH_AGE_S", "inf"), ("SOURCE_TIMEOUT_S", "1e308")),
        *(("CLICKHOUSE_PORT", "99999"), ("CLICKHOUSE_PORT", "-1"), ("CLICKHOUSE_MEMORY_BYTES", "0")),
        *(
            ("RUNS_KEPT_DAYS", "0"),
            ("RUNS_KEPT_DAYS", "-1"),
            ("RUNS_KEPT_DAYS", "999999999"),
            ("RUNS_KEPT_DAYS", "1.5"),
        ),
        *(
            ("FIRST_DAY", "0001-01-01"),
            ("FIRST_DAY", "1969-12-31"),
            ("FIRST_DAY", "2999-01-01"),
            ("FIRST_DAY", "today"),
        ),
        *(("PROVE_TODAY_CRON", "hourly"), ("METADATA_CRON", "* * * *"), ("METADATA_TIMEZONE", "Mars/Olympus")),
        *(("METADATA_TIMEZONE", "../passwd"), ("METADATA_WARN_H", "inf"), ("ALERT_SETTLE_S", "nan")),
        ("CHECKS__NO_DEVICE_IS_SILENT__PARAMETERS__SILENT_HOURS", "inf"),
        *(("SIMULATOR_INTERVAL_S", "7"), ("SIMULATOR_INTERVAL_S", "86400")),
        *(("OWNER", "nobody"), ("OWNER", "team:")),
        *(("CRM_FIELDS", "x"), ("CRM_FIELDS", "[]"), ("CHECKS", "{'a': 1}"), ("AUTOMATION_ENABLED", "maybe")),
    ],
)
def test_an_impossible_value_stops_every_command_and_is_named(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.umask", lambda mask: mask)
    monkeypatch.setenv(f"IOT_{name}", value)
    with pytest.raises(SystemExit) as exit_:
        main(["alerts", "test"])
    assert exit_.value.code == 1
    assert capsys.readouterr().err.startswith(f"Error: A setting is invalid. IOT_{name}: ")


def test_misspelled_settings_are_named_and_others_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.umask", lambda mask: mask)
    known = ("HOST", "CRM_TOKEN_FILE", "CHECKS__NO_DEVICE_IS_SILENT__PARAMETERS__SILENT_HOURS")
    for name in (*known, "STALL_S", "SCREENSHOTS", "EDGE_GATEWAY", "SIMULATOR_DEVICE", "CHECK__A__WARN_SHARE", "HOST_"):
        monkeypatch.setenv(f"IOT_{name}", "1")
    with pytest.raises(SystemExit):
        main(["--help"])
    assert sorted(capsys.readouterr().err.splitlines()) == [
        "Warning: IOT_CHECK__A__WARN_SHARE is not a setting. Did you mean IOT_CHECKS?",
        "Warning: IOT_HOST_ is not a setting. Did you mean IOT_HOST?",
        "Warning: IOT_SIMULATOR_DEVICE is not a setting. Did you mean IOT_SIMULATOR_DEVICES?",
    ]


def test_the_sql_files_are_found() -> None:
    assert (Settings().sql_dir / "010_l1_power_raw.sql").is_file()


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
