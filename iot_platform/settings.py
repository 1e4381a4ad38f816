"""Every setting of the platform: its name, its default and the environment variable that changes it."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from iot_platform.security.http_access import HOST_NAME
from iot_platform.security.secret_files import SecretFileSource

PACKAGE_DIR = Path(__file__).resolve().parent

MAX_CLOSED_SHARE = 0.2


class CheckSettings(BaseModel):
    """Shares of what is checked above which a check warns and is red, and numbers of its query; unset: its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn_share: float | None = Field(default=None, ge=0)
    error_share: float | None = Field(default=None, ge=0)
    parameters: dict[str, NonNegativeFloat] = Field(default={})


class Settings(BaseSettings):
    """Settings read from ``IOT_*`` environment variables; anything not set has the default shown here.

    A secret may be in a file instead, which ``IOT_..._FILE`` names.
    """

    model_config = SettingsConfigDict(
        env_prefix="IOT_", env_nested_delimiter="__", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    home: Path = Field(default=Path(".iot"), description="Directory of all local state; one platform per directory.")

    clickhouse_url: SecretStr | None = Field(
        default=None,
        description="http(s)://user:password@host:port of a ClickHouse server; unset: the embedded one of this home.",
    )
    clickhouse_password: SecretStr | None = Field(
        default=None, description="Password for clickhouse_url, when it is not part of the URL."
    )
    clickhouse_database: str = Field(default="iot", description="Database that holds all tables of the platform.")
    clickhouse_port: int = Field(default=8123, description="Port the embedded server prefers; taken: a free one.")
    clickhouse_memory_bytes: int = Field(
        default=4 * 1024**3, description="Memory limit of the embedded server, all queries together."
    )
    connect_timeout_s: int = Field(default=10, description="Limit for connecting to ClickHouse.")
    query_timeout_s: int = Field(default=600, description="Limit for one answer of ClickHouse.")

    batch_rows: int = Field(default=500_000, gt=0, description="Most readings in one insert (one block).")
    batch_bytes: int = Field(default=32 * 1024**2, gt=0, description="Size at which a stream's batch is sent.")
    batch_age_s: float = Field(default=1.0, gt=0, description="Longest that a stream's reading waits for its batch.")
    outbox_bytes: int = Field(
        default=1024**3, gt=0, description="Accepted readings of one stream that may wait for ClickHouse, on disk."
    )

    first_day: dt.date = Field(
        default=dt.date(2026, 1, 1), description="First UTC day that Dagster offers as a partition."
    )

    simulator_enabled: bool = Field(default=True, description="False: materializing L1 only records what arrived.")
    simulator_devices: int = Field(default=200, gt=0, description="Number of simulated meters.")
    simulator_interval_s: int = Field(default=60, gt=0, description="Seconds of one simulated reading; divides 3600.")
    simulator_seed: int = Field(default=1, description="Same seed, same readings.")

    automation_enabled: bool = Field(
        default=False, description="Dagster's sensor and schedules run from the start; False: switch them on in its UI."
    )
    prove_today_cron: str = Field(default="10 * * * *", description="When today's layers are proved (UTC).")
    prove_closed_days_cron: str = Field(
        default="30 6 * * *", description="When the closed days that are open are proved (UTC)."
    )
    looker_checks_cron: str = Field(
        default="15 7 * * *", description="When the LookML is proved against the marts (UTC)."
    )
    metadata_cron: str = Field(default="0 * * * *", description="When the device metadata is refreshed.")
    metadata_compare_cron: str = Field(
        default="20 4 * * *", description="When all of the CRM is compared, to find the devices that have vanished."
    )
    metadata_timezone: str = Field(default="UTC", description="Time zone of both metadata crons, e.g. Europe/London.")
    checks: dict[str, CheckSettings] = Field(
        default={},
        description="Thresholds of checks, e.g. IOT_CHECKS__REJECT_RATE_IS_NORMAL__WARN_SHARE=0.1, or all as JSON; "
        "iot_platform/defs/layers/rules.py has the names and their defaults.",
    )
    hold_downstream: bool = Field(
        default=True,
        description="A day whose blocking check is red is not carried on by any run; False: only within one.",
    )

    devices_source: str = Field(default="csv", description="Where device metadata is refreshed from: csv or crm.")
    # Not shown: a URL may carry a password or a signature.
    devices_csv: str | None = Field(
        default=None,
        repr=False,
        description="Path or URL (https, s3, ...) of the metadata CSV; unset: devices.csv in the home.",
    )

    devices_csv_complete: bool = Field(
        default=True, description="That CSV lists every device: one that it lacks is closed. False: nothing is closed."
    )
    devices_max_bytes: int = Field(
        default=128 * 1024**2,
        gt=0,
        description="Most bytes of a metadata CSV, and of all that the CRM answers in one read; more is refused.",
    )
    max_closed_share: float = Field(
        default=MAX_CLOSED_SHARE,
        ge=0,
        le=1,
        description="Share of the known devices that a complete CSV may lack; more, and it is refused as cut off.",
    )

    crm_url: str = Field(default="https://api.hubapi.com", description="Address of the CRM (HubSpot's API).")
    crm_token: SecretStr | None = Field(
        default=None, description="Access token of a private app in the CRM that may read the object type."
    )
    crm_object: str = Field(default="p_meters", description="Object type in the CRM that holds the meters.")
    crm_fields: dict[str, str] = Field(
        default={name: name for name in ("device_id", "customer_id", "building_type", "latitude", "longitude")},
        description='Properties of the CRM by our column, as JSON, e.g. {"device_id": "meter_number", ...}; '
        "valid_from may be among them.",
    )
    crm_modified_property: str = Field(
        default="hs_lastmodifieddate",
        description="Property of the CRM with an object's last change; of contacts: lastmodifieddate.",
    )
    source_timeout_s: float = Field(
        default=30, gt=0, description="Limit for connecting to a metadata source, and for each of its answers."
    )
    metadata_warn_h: float = Field(
        default=3, gt=0, description="Hours without a good read of the metadata source after which a check warns."
    )
    metadata_error_h: float = Field(
        default=26, gt=0, description="Hours without a good read of the metadata source after which that check is red."
    )

    owner: str = Field(
        default="team:data-platform", description="Who answers for the assets: team:NAME, or an e-mail address."
    )
    docs_url: str | None = Field(
        default=None, description="Where docs/ can be read in a browser; unset: assets name the file of the checkout."
    )

    host: str = Field(default="127.0.0.1", description="Address that servers bind to.")
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Names, separated by commas, by which the Dagster UI and the dashboard may be called, besides "
        "addresses, localhost and the machine's own name; e.g. that of a reverse proxy. Other names are refused.",
    )

    alert_webhook_url: SecretStr | None = Field(
        default=None, description="Webhook that takes Slack's JSON; unset: no alerts there."
    )
    alert_smtp_url: SecretStr | None = Field(
        default=None,
        description="smtp(s)://user:password@host:port of the mail server for alerts; unset: none by mail. smtp uses "
        "STARTTLS when offered. Characters with a meaning in a URL are written as %XX.",
    )
    alert_email_from: str | None = Field(default=None, description="Sender of alerts by mail.")
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Recipients of alerts by mail, separated by commas."
    )
    alert_settle_s: float = Field(
        default=20, ge=0, description="A problem that is over within this time is not told; ticks are 30 s apart."
    )
    alert_clear_s: float = Field(default=90, ge=0, description="Nothing was wrong for this long: all clear.")
    alert_repeat_minutes: float = Field(
        default=60, ge=0, description="While an incident lasts, new problems are told at most this often."
    )
    dashboard_url: str = Field(
        default="http://127.0.0.1:3001", description="Where Dagster links to: the preview of the dashboard."
    )
    dagster_url: str = Field(default="http://127.0.0.1:3000", description="Where alerts link to: the Dagster UI.")

    dashboard_query_timeout_s: int = Field(
        default=30, gt=0, description="Limit for one answer of ClickHouse to a tile of the dashboard's preview."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then environment variables and the files of secrets, of which there is only one."""
        return init_settings, SecretFileSource(settings_cls), env_settings

    @field_validator("trusted_hosts", mode="after")
    @classmethod
    def _host_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(map(str.lower, names))
        if wrong := [name for name in names if not HOST_NAME.fullmatch(name)]:
            raise ValueError(f"{', '.join(map(repr, wrong))}: give host names only, without scheme, port or wildcard")
        return names

    @field_validator("alert_email_to", "trusted_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(filter(None, map(str.strip, value.split(",")))) if isinstance(value, str) else value

    @cached_property
    def root(self) -> Path:
        """The home as an absolute path, so that a change of directory in a child process does not move it."""
        return self.home.expanduser().resolve()

    @property
    def clickhouse_dir(self) -> Path:
        """Data directory, password file and logs of the embedded ClickHouse."""
        return self.root / "clickhouse"

    @property
    def devices_location(self) -> str:
        """Path or URL of the metadata CSV in use."""
        if self.devices_csv is None:
            return str(self.root / "devices.csv")
        return self.devices_csv if "://" in self.devices_csv else str(Path(self.devices_csv).expanduser())

    @property
    def sql_dir(self) -> Path:
        """The .sql files: beside the package in a checkout, inside it when installed from a wheel."""
        packaged = PACKAGE_DIR / "sql"
        return packaged if packaged.is_dir() else PACKAGE_DIR.parent / "sql"

    @property
    def looker_dir(self) -> Path:
        """The LookML project: beside the package in a checkout, inside it when installed from a wheel."""
        packaged = PACKAGE_DIR / "lookml"
        return packaged if packaged.is_dir() else PACKAGE_DIR.parent / "looker"
