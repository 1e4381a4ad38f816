"""docs/settings.md, made from the settings and the checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from iot_platform.defs.layers.rules import RULES
from iot_platform.settings import Settings

HEAD = """# Settings

<!-- Made by `make docs` from iot_platform/settings.py. Change the descriptions there, not this file. -->

Settings are environment variables. All of them are optional. `iot_platform/settings.py` defines them.

- An empty variable counts as unset.
- A value that is not valid stops every command with a message that names the variable.
- A **secret** may be stored in a file: set `IOT_CRM_TOKEN_FILE=/run/secrets/crm_token` instead of `IOT_CRM_TOKEN`.
- Names that end in `_s`, `_minutes`, `_h` or `_bytes` have that unit (seconds, minutes, hours, bytes).
- Schedules are cron expressions: minute, hour, day of month, month, day of week.

"""

# The heading that stands before a setting, in the order of the class.
SECTIONS = {
    "home": "General",
    "clickhouse_url": "ClickHouse",
    "batch_rows": "Ingestion",
    "inbox": "Inbox",
    "first_day": "Partitions",
    "simulator_enabled": "Simulated meters",
    "automation_enabled": "Schedules and checks",
    "devices_source": "Device metadata",
    "host": "Web servers and links",
    "alert_webhook_url": "Alerts",
}

CHECKS = """## Thresholds of checks

A check warns for a day when its share of offenders is above `WARN_SHARE`, and fails when it is above `ERROR_SHARE`.
Some checks have parameters. Set each value by its own variable:

```sh
export IOT_CHECKS__REJECT_RATE_IS_NORMAL__WARN_SHARE=0.1
export IOT_CHECKS__NO_DEVICE_IS_SILENT__PARAMETERS__SILENT_HOURS=12
```

An unknown check or parameter stops the command with a message that lists the known ones.
The [operator's guide](operators-guide.md#checks) explains what each check means.

| Check | Warns above | Fails above | Parameters |
| --- | --- | --- | --- |
"""

TABLE = "| Variable | Default | Meaning |\n| --- | --- | --- |\n"


def settings_page() -> str:
    """The page as Markdown."""
    return HEAD + "".join(_settings()) + CHECKS + "".join(_checks())


def _settings() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        if name in SECTIONS:
            yield f"## {SECTIONS[name]}\n\n{TABLE}"
        yield f"| `IOT_{name.upper()}` | {_default(name, field)} | {_meaning(field)} |\n"
        if _is_last_of_section(name):
            yield "\n"


def _is_last_of_section(name: str) -> bool:
    names = [*Settings.model_fields]
    following = names[names.index(name) + 1 :]
    return not following or following[0] in SECTIONS


def _meaning(field: FieldInfo) -> str:
    secret = " **Secret.**" if SecretStr in get_args(field.annotation) else ""
    return f"{field.description}{secret}".replace("|", "\\|")


def _default(name: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None or value in ({}, ()):
        return "unset"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, dict):
        return "the same names"
    if name.endswith("_bytes"):
        return next(
            f"`{value}` ({value >> shift} {unit})" for unit, shift in (("GiB", 30), ("MiB", 20)) if value >> shift
        )
    return f"`{value}`"


def _checks() -> Iterator[str]:
    for rule in RULES:
        error = "-" if rule.error_share is None else f"{rule.error_share:g}"
        parameters = ", ".join(f"`{name.upper()}` = {value:g}" for name, value in rule.parameters.items()) or "-"
        yield f"| `{rule.name}` | {rule.warn_share:g} | {error} | {parameters} |\n"
