"""Run config can neither name another ClickHouse nor read a secret."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._config import ConfigType

from iot_platform.definitions import defs

JOBS = [job.name for job in defs.resolve_all_job_defs()]
SECRET = {"env": "IOT_CRM_TOKEN"}
ATTACKS: list[dict[str, Any]] = [
    *({"resources": {"clickhouse": {"config": {field: value}}}}
      for field in ("host", "port", "user", "password", "database", "secure")
      for value in ("evil.example", SECRET)),
    {"resources": {"io_manager": {"config": {"base_dir": SECRET}}}},
    {"resources": {"io_manager": {"config": {"base_dir": "/tmp"}}}},
    *({"ops": {"l1_power_raw": {"config": {field: SECRET}}}} for field in ("start", "end")),
    *({"ops": {"device_metadata": {"config": {field: SECRET}}}} for field in ("source", "increment")),
    {"ops": {"device_metadata": {"config": {"source": "https://evil.example"}}}},
]  # fmt: skip


def fields(config: ConfigType, path: str) -> Iterator[str]:
    """The path of every field that run config may set below ``path``."""
    for name, field in (getattr(config, "fields", None) or {}).items():
        yield f"{path}/{name}"
        yield from fields(field.config_type, f"{path}/{name}")
    for inner in ("inner_type", "scalar_type", "non_scalar_type"):
        if hasattr(config, inner):
            yield from fields(getattr(config, inner), path)


@pytest.mark.parametrize("job", JOBS)
def test_no_field_reads_the_environment(job: str) -> None:
    found = [*fields(defs.resolve_job_def(job).run_config_schema.config_type, "")]
    assert "/ops" in found and "/resources" in found
    assert [path for path in found if path.endswith("/env")] == []
    assert [path for path in found if path.startswith("/resources/") and path.count("/") > 3] == []


@pytest.mark.parametrize("config", ATTACKS, ids=str)
def test_run_config_that_reads_secrets_is_refused(config: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_CRM_TOKEN", "verysecret")
    with pytest.raises(dg.DagsterInvalidConfigError) as refused:
        dg.validate_run_config(defs.resolve_implicit_global_asset_job_def(), config)
    path = [*config][0] + ":" + [*config[[*config][0]]][0]
    assert f"root:{path}:config" in str(refused.value) and "verysecret" not in str(refused.value)


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ops": {"l1_power_raw": {"config": {"start": "2026-01-01T00:00:00+00:00", "end": None}}}},
        {"ops": {"device_metadata": {"config": {"source": "crm", "increment": True}}}},
        {"ops": {"device_metadata": {"config": {"source": None}}}},
    ],
    ids=str,
)
def test_allowed_run_config_is_accepted(config: dict[str, Any]) -> None:
    dg.validate_run_config(defs.resolve_implicit_global_asset_job_def(), config)
