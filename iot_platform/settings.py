"""Every setting of the platform, with its default. The environment variable is ``IOT_`` and the name in capitals."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from pathlib import Path
from typing import Annotated, get_args
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from iot_platform.security.http_access import HOST_NAME
from iot_platform.security.secret_files import SecretFileSource

PACKAGE_DIR = Path(__file__).resolve().parent

MAX_CLOSED_SHARE = 0.2
DAY_S, YEAR_DAYS = 86_400, 365
# A time in ClickHouse is the number of seconds since 1970 in 32 bits.
FIRST_DAYS = dt.date(1970, 1, 1), dt.date(2105, 12, 31)
# Five fields. Dagster checks the rest when it loads the schedules.
Cron = Annotated[str, Field(pattern=r"^(\S+ +){4}\S+$")]


class CheckSettings(BaseModel):
    """Thresholds of one check: the offending shares above which it warns and fails, and parameters of its query.

    An unset value keeps the check's own default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn_share: float | None = Field(default=None, ge=0)
    error_share: float | None = Field(default=None, ge=0)
    parameters: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default={})


class Settings(BaseSettings):
    """Settings from ``IOT_*`` environment variables. An unset or empty one has the default shown here.

    A secret may be stored in a file instead, whose path is in ``IOT_..._FILE``. docs/settings.md is made from this
    class: run ``make docs`` after a change.
    """

    model_config = SettingsConfigDict(
        env_prefix="IOT_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    home: Path = Field(default=Path(".iot"), description="Directory of all local state. One platform per directory.")
    owner: str = Field(
        default="team:data-platform",
        pattern=r"^(team:.+|[\w.+-]+@[\w-]+(\.[\w-]+)+)$",
        description="Owner of the assets: team:NAME, or an e-mail address.",
    )
    docs_url: str | None = Field(
        default=None,
        description="URL where docs/ is published. Assets link to it. Unset: assets name the file in the checkout.",
    )

    clickhouse_url: SecretStr | None = Field(
        default=None,
        description="http(s)://user:password@host:port of a ClickHouse server. Unset: the embedded server of the home.",
    )
    clickhouse_password: SecretStr | None = Field(
        default=None, description="Password for IOT_CLICKHOUSE_URL, if the URL does not contain it."
    )
    clickhouse_database: str = Field(default="iot", description="Database that holds all tables of the platform.")
    clickhouse_port: int = Field(
        default=8123,
        ge=0,
        le=65535,
        description="Preferred port of the embedded server. If it is taken, a free port is used.",
    )
    clickhouse_memory_bytes: int = Field(
        default=4 * 1024**3, gt=0, description="Memory limit of the embedded server, for all queries together."
    )
    connect_timeout_s: int = Field(default=10, gt=0, description="Timeout for connecting to ClickHouse.")
    query_timeout_s: int = Field(default=600, gt=0, description="Timeout for one response from ClickHouse.")

    batch_rows: int = Field(default=500_000, gt=0, description="Maximum number of readings in one insert (one block).")
    batch_bytes: int = Field(default=32 * 1024**2, gt=0, description="A stream sends its batch at this size.")
    batch_age_s: float = Field(
        default=1.0,
        gt=0,
        le=DAY_S,
        description="Longest time that a reading of a stream waits for its batch to be sent.",
    )
    outbox_bytes: int = Field(
        default=1024**3,
        gt=0,
        description="Maximum size on disk of one stream's accepted readings that are not in ClickHouse yet.",
    )

    first_day: dt.date = Field(
        default=dt.date(2026, 1, 1),
        ge=FIRST_DAYS[0],
        le=FIRST_DAYS[1],
        description="First UTC day that Dagster offers as a partition.",
    )

    simulator_enabled: bool = Field(
        default=True, description="Ingest simulated readings. False: materializing L1 only records what arrived."
    )
    simulator_devices: int = Field(default=200, gt=0, description="Number of simulated meters.")
    simulator_interval_s: int = Field(
        default=60, gt=0, description="Interval between two readings of a simulated meter. Must divide 3600."
    )
    simulator_seed: int = Field(default=1, description="Seed of the simulation. The same seed gives the same readings.")

    automation_enabled: bool = Field(
        default=False,
        description="Start Dagster's sensors and schedules with Dagster. False: switch them on in the Dagster UI.",
    )
    ingestion_interval_s: int = Field(
        default=300,
        ge=0,
        description="Shortest time between two ingestion runs. Each run starts a process and stores 0.3 MB.",
    )
    runs_kept_days: int = Field(
        default=14,
        gt=0,
        le=YEAR_DAYS * 100,
        description="Days after which finished Dagster runs are removed, with their logs. Runs that hold the newest "
        "materialization of a day or an open problem are kept.",
    )
    prove_today_cron: Cron = Field(default="10 * * * *", description="When today's layers are verified (UTC).")
    prove_closed_days_cron: Cron = Field(
        default="30 6 * * *", description="When unverified days before today are verified (UTC)."
    )
    looker_checks_cron: Cron = Field(
        default="15 7 * * *", description="When the LookML project is checked against the marts (UTC)."
    )
    metadata_cron: Cron = Field(default="0 * * * *", description="When the device metadata is refreshed.")
    metadata_compare_cron: Cron = Field(
        default="20 4 * * *",
        description="When all records of the CRM are compared, to find devices that no longer exist there.",
    )
    metadata_timezone: str = Field(
        default="UTC", description="Time zone of both metadata schedules, for example Europe/London."
    )
    checks: dict[str, CheckSettings] = Field(
        default={},
        description="Thresholds of checks, for example IOT_CHECKS__REJECT_RATE_IS_NORMAL__WARN_SHARE=0.1, or all of "
        "them as JSON. iot_platform/defs/layers/rules.py has the names and the defaults.",
    )
    hold_downstream: bool = Field(
        default=True,
        description="A failed blocking check blocks the next layer for that day in every run. "
        "False: only in the run of the check.",
    )

    devices_source: str = Field(default="csv", description="Source of the device metadata: csv or crm.")
    # Not shown: a URL may carry a password or a signature.
    devices_csv: str | None = Field(
        default=None,
        repr=False,
        description="Path or URL (https, s3, ...) of the metadata CSV. Unset: devices.csv in the home.",
    )
    devices_csv_complete: bool = Field(
        default=True,
        description="The CSV lists every device: a device that is missing from it is closed. False: nothing is closed.",
    )
    devices_max_bytes: int = Field(
        default=128 * 1024**2,
        gt=0,
        description="Maximum size of a metadata CSV, and of all responses of the CRM in one read. A larger one is "
        "refused. The default holds about two million meters as CSV.",
    )
    max_closed_share: float = Field(
        default=MAX_CLOSED_SHARE,
        ge=0,
        le=1,
        description="Largest share of the known devices that may be missing from a complete CSV. If more are missing, "
        "the CSV is refused as truncated.",
    )
    building_types: dict[str, str] = Field(
        default={},
        description="Building types of any source to replace, whatever their case and blanks, and by what, as JSON: "
        '{"office": "office", "block of flats": "residential"}. A limit per building type holds for one spelling only.',
    )
    crm_url: str = Field(default="https://api.hubapi.com", description="URL of the CRM (HubSpot's API).")
    crm_token: SecretStr | None = Field(
        default=None, description="Access token of a private app in the CRM. It must be allowed to read the objects."
    )
    crm_object: str = Field(default="p_meters", description="Object type in the CRM that holds the meters.")
    crm_fields: dict[str, str] = Field(
        default={name: name for name in ("device_id", "customer_id", "building_type", "latitude", "longitude")},
        description='The CRM\'s property for each column of the metadata, as JSON: {"device_id": "meter_number", ...}. '
        "valid_from may be one of them.",
    )
    crm_modified_property: str = Field(
        default="hs_lastmodifieddate",
        description="Property of the CRM that holds the time of the last change. For contacts: lastmodifieddate.",
    )
    source_timeout_s: float = Field(
        default=30,
        gt=0,
        le=DAY_S,
        description="Timeout for connecting to a metadata source, and for each of its responses.",
    )
    metadata_warn_h: float = Field(
        default=3,
        gt=0,
        le=YEAR_DAYS * 24,
        description="Hours since the last successful metadata refresh after which metadata_source_is_fresh warns.",
    )
    metadata_error_h: float = Field(
        default=26,
        gt=0,
        le=YEAR_DAYS * 24,
        description="Hours since the last successful metadata refresh after which metadata_source_is_fresh fails.",
    )

    host: str = Field(
        default="127.0.0.1",
        description="Address that the Dagster UI, the dashboard and the embedded ClickHouse bind to. None of them "
        "offers TLS.",
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="Host names, separated by commas, under which clients may call these servers, for example the name "
        "of a reverse proxy. IP addresses, localhost and the machine's own name are always allowed.",
    )
    dagster_url: str = Field(default="http://127.0.0.1:3000", description="URL of the Dagster UI for links in alerts.")
    dashboard_url: str = Field(
        default="http://127.0.0.1:3001", description="URL of the dashboard for links in the Dagster UI."
    )
    dashboard_query_timeout_s: int = Field(default=30, gt=0, description="Timeout for one query of a dashboard tile.")

    alert_webhook_url: SecretStr | None = Field(
        default=None, description="Webhook that accepts Slack's JSON. Unset: no alerts by webhook."
    )
    alert_smtp_url: SecretStr | None = Field(
        default=None,
        description="smtp(s)://user:password@host:port of the mail server. Unset: no alerts by mail. smtp uses "
        "STARTTLS if the server offers it. Write special characters as %XX.",
    )
    alert_email_from: str | None = Field(default=None, description="Sender of alert mails.")
    alert_email_to: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Recipients of alert mails, separated by commas."
    )
    alert_settle_s: float = Field(
        default=20,
        ge=0,
        le=DAY_S,
        description="A problem that ends within this time sends no alert. Dagster checks for problems every 30 s.",
    )
    alert_clear_s: float = Field(
        default=90, ge=0, le=DAY_S, description="Time without any problem after which an incident is reported as over."
    )
    alert_repeat_minutes: float = Field(
        default=60,
        ge=0,
        le=YEAR_DAYS * 24 * 60,
        description="Shortest time between two messages about new problems of one incident.",
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
        """Order of precedence: arguments in code, then files of secrets, then environment variables."""
        return init_settings, SecretFileSource(settings_cls), env_settings

    @field_validator("trusted_hosts", mode="after")
    @classmethod
    def _host_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(map(str.lower, names))
        if wrong := [name for name in names if not HOST_NAME.fullmatch(name)]:
            raise ValueError(f"{', '.join(map(repr, wrong))}: give host names only, without scheme, port or wildcard")
        return names

    @field_validator("simulator_interval_s")
    @classmethod
    def _part_of_an_hour(cls, interval_s: int) -> int:
        if 3600 % interval_s:
            raise ValueError("must divide 3600")
        return interval_s

    @field_validator("metadata_timezone")
    @classmethod
    def _time_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):
            raise ValueError("is not a time zone, such as Europe/London") from None
        return name

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


# Secrets may be in files instead.
SECRETS = [name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)]
