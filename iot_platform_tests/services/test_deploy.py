"""docker-compose.yml and deploy/: which service gets which secret and reaches which other. (No container is run.)"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import SecretStr

from iot_platform.defs.jobs import NIGHTLY
from iot_platform.defs.layers.schedules import RETRY_FOR
from iot_platform.services.dagster import CODE_SERVER
from iot_platform.services.instance import INSTANCE_CONFIG
from iot_platform.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]

SECRETS = {
    "clickhouse": {"clickhouse_password"},
    "postgres": {"postgres_password"},
    "migrate": {"clickhouse_password"},
    "code": {"clickhouse_password", "postgres_password", "crm_token", "alert_webhook_url", "alert_smtp_url"},
    "webserver": {"postgres_password"},
    "daemon": {"postgres_password"},
    "dashboard": {"clickhouse_password"},
}
NETWORKS = {
    "clickhouse": {"data"},
    "postgres": {"storage"},
    "migrate": {"data"},
    "code": {"data", "storage"},
    "webserver": {"web", "storage"},
    "daemon": {"storage"},
    "dashboard": {"web", "data"},
}
IS_SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|KEY|WEBHOOK|SMTP_URL", re.IGNORECASE)


def test_each_service_gets_the_secrets_it_needs() -> None:
    assert {name: set(service.get("secrets", [])) for name, service in SERVICES.items()} == SECRETS
    assert COMPOSE["secrets"].keys() == set().union(*SECRETS.values())
    assert all([*secret] == ["file"] for secret in COMPOSE["secrets"].values())


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_is_in_an_environment(name: str) -> None:
    environment: dict[str, str] = SERVICES[name]["environment"]
    files = {variable: value for variable, value in environment.items() if variable.endswith("_FILE")}
    assert [variable for variable in environment.keys() - files.keys() if IS_SECRET.search(variable)] == []
    assert [
        value for value in environment.values() if re.search(r"\$\{[^}]*(PASSWORD|TOKEN|WEBHOOK|SMTP)", value)
    ] == []
    assert {value.removeprefix("/run/secrets/") for value in files.values()} == SECRETS[name]


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_a_setting(name: str) -> None:
    given = {key for key in SERVICES[name]["environment"] if key.startswith("IOT_")}
    fields = {f"IOT_{field.upper()}": get_args(info.annotation) for field, info in Settings.model_fields.items()}
    secret_files = {f"{variable}_FILE" for variable, types in fields.items() if SecretStr in types}
    assert given <= fields.keys() | secret_files


def test_networks_connect_only_services_that_need_each_other() -> None:
    assert {name: set(service["networks"]) for name, service in SERVICES.items()} == NETWORKS
    assert COMPOSE["networks"]["storage"] == {"internal": True}


def test_the_code_server_has_no_port() -> None:
    command = SERVICES["code"]["command"]
    assert tuple(command[:3]) == CODE_SERVER
    assert command[command.index("-s") + 1] == "/run/iot/code.sock" and not {"-p", "-h"} & {*command}
    holders = {name for name, service in SERVICES.items() if "code:/run/iot" in service.get("volumes", [])}
    assert holders == {"code", "webserver", "daemon"}
    [origin] = yaml.safe_load((DEPLOY / "workspace.yaml").read_text())["load_from"]
    assert origin["grpc_server"] == {"socket": "/run/iot/code.sock", "location_name": "iot_platform"}
    assert not any("4000" in text.read_text() for text in [*DEPLOY.iterdir(), ROOT / "docker-compose.yml"])


def test_the_health_check_queries_the_code_server_which_is_restarted_when_it_ends() -> None:
    code = SERVICES["code"]
    socket = code["command"][code["command"].index("-s") + 1]
    assert code["healthcheck"]["test"] == ["CMD", "python", "-m", "iot_platform.services.code_health", socket]
    assert code["restart"] == "unless-stopped"


def test_a_home_and_compose_differ_only_in_storage_and_concurrency() -> None:
    home, production = yaml.safe_load(INSTANCE_CONFIG), yaml.safe_load((DEPLOY / "dagster.yaml").read_text())
    for storage in ("storage", "local_artifact_storage", "compute_logs"):
        del production[storage]
    # A schedule that gives up waiting for ClickHouse must still be evaluated then: once a minute.
    assert home["scheduler"]["config"]["max_tick_retries"] > RETRY_FOR.total_seconds() / 60
    for config in (home, production):
        runs, pools = config["concurrency"]["runs"], config["concurrency"]["pools"]
        limits = {limit["key"]: limit["limit"] for limit in runs["tag_concurrency_limits"]}
        assert limits.keys() == {"dagster/backfill", NIGHTLY}
        # Bulk work leaves a run, and a place in the pool, to everything else.
        assert sum(limits.values()) < min(runs["max_concurrent_runs"], pools["default_limit"])
        del config["concurrency"]
    assert home == production


def test_ports_are_bound_to_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert sorted(ports) == ["127.0.0.1:3000:3000", "127.0.0.1:3001:3001", "127.0.0.1:8123:8123"]


def test_browsers_reach_our_servers_only_by_trusted_names() -> None:
    assert SERVICES["webserver"]["command"][:3] == ["python", "-m", "iot_platform.services.webserver"]
    for name in ("webserver", "dashboard"):
        assert SERVICES[name]["environment"]["IOT_TRUSTED_HOSTS"] == "${IOT_TRUSTED_HOSTS:-}"


def test_the_entrypoint_passes_on_the_password_of_the_storage(tmp_path: Path) -> None:
    variable = yaml.safe_load((DEPLOY / "dagster.yaml").read_text())["storage"]["postgres"]["postgres_db"]["password"]
    (tmp_path / "password").write_text("very secret\n")
    command = [str(DEPLOY / "entrypoint.sh"), "sh", "-c", f'printf "%s|%s" "${variable["env"]}" "$1"', "sh", "a b"]
    env = {"PATH": os.environ["PATH"], "DAGSTER_POSTGRES_PASSWORD_FILE": str(tmp_path / "password")}
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout == "very secret|a b"
    (tmp_path / "password").unlink()
    assert subprocess.run(command, env=env, capture_output=True, check=False).returncode != 0


def test_the_image_has_no_secret_and_safe_import_paths() -> None:
    assert "secrets" in (ROOT / ".dockerignore").read_text().split()
    assert "PYTHONSAFEPATH=1" in (DEPLOY / "Dockerfile").read_text()
