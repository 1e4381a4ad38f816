"""Fixtures of all tests: an embedded server for the whole session, databases, clients and a small platform in them.

Also the tiers (the markers are described in pyproject.toml): a test that uses the embedded server is marked ``engine``,
and one of SLOW ``slow``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import hypothesis
import pandas as pd
import pytest
from clickhouse_connect.driver.client import Client

from iot_platform.clickhouse.embedded_server import running_server
from iot_platform.clickhouse.endpoint import Endpoint
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.settings import Settings
from iot_platform_tests.databases import Blueprint, blueprint, client_of, fresh_database
from iot_platform_tests.leftovers import State, left_since
from iot_platform_tests.looker.lookml_readings import filled_marts, joined_readings

# How long an example takes says how busy the machine is, and nothing about the code.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")


TESTS = Path(__file__).parent
# Folders and files whose tests start a platform of their own, or prove days again and again.
SLOW = [
    "clickhouse/test_embedded_server.py",
    "clickhouse/test_schema_evolution.py",
    "clickhouse_embedded/test_protections.py",
    "clickhouse_embedded/test_serve.py",
    "cli/test_prove_command.py",
    "clients",
    "devices/test_crashes.py",
    "devices/test_crm.py",
    "devices/test_history.py",
    "e2e",
    "layers/test_late_readings.py",
    "layers/test_rebuild_live.py",
    "readings/test_fuzz_readings.py",
    "security/test_private_files.py",
    "security/test_safe_imports.py",
    "security/test_secrets_stay_out.py",
    "stateful",
    "ui",
]
SMOKE = "e2e/test_smoke.py"
# The longest first: the others fill the gaps at the end.
LONGEST = [
    SMOKE,
    "e2e/test_outage_rehearsal.py",
    "ui/test_dagster_ui.py",
    "layers/test_rebuild_live.py",
    "stateful/test_stateful.py",
    "devices/test_crashes.py",
    "e2e/test_crashes.py",
    "e2e/test_demo.py",
    "e2e",
    "ui",
]


def pytest_configure() -> None:
    """Refuse lists that name a file which has moved, and let tests and their processes be interrupted as usual."""
    # A shell starts background jobs with SIGINT ignored. Dagster would do with SIGTERM as with SIGINT, so that the
    # processes of later tests would ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if missing := [name for name in [*SLOW, *LONGEST] if not (TESTS / name).exists()]:
        raise pytest.UsageError(f"iot_platform_tests/conftest.py names what does not exist: {', '.join(missing)}")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without the slow tests, do not import their files either: that takes seconds in every worker."""
    without_slow = config.option.markexpr.startswith("not slow")
    return True if without_slow and collection_path.is_file() and _is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests, and put the longest first."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("engine")
        if _is_slow(item.path):
            item.add_marker("slow")
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    """The place of a test in LONGEST."""
    return next((n for n, name in enumerate(LONGEST) if item.path.is_relative_to(TESTS / name)), len(LONGEST))


def _is_slow(path: Path) -> bool:
    return path != TESTS / SMOKE and any(path.is_relative_to(TESTS / name) for name in SLOW)


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves something behind. (For databases and queries see ``fresh_database``.)

    Slow tests are left out: those of a file share a platform, and may replace its processes.
    """
    before = State.now()
    yield
    left = "" if request.node.get_closest_marker("slow") else left_since(before)
    assert not left, f"The test left {left}"


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of ``server``."""
    # The whole session shares this server: a port of its own, so that a developer's server is not in the way.
    return Settings(home=tmp_path_factory.mktemp("home"), clickhouse_url=None, clickhouse_port=0)


@pytest.fixture(scope="session")
def server(server_settings: Settings) -> Iterator[Endpoint]:
    """The embedded server of a temporary home."""
    with running_server(server_settings) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def migrated(server: Endpoint) -> Iterator[Blueprint]:
    """The migrated database that ``schema`` is a copy of."""
    with blueprint(server) as made:
        yield made


@pytest.fixture
def database(server: Endpoint) -> Iterator[str]:
    """The name of a fresh database, dropped afterwards."""
    with fresh_database(server) as name:
        yield name


@pytest.fixture
def client(server: Endpoint, database: str) -> Iterator[Client]:
    """A client in the fresh database."""
    with client_of(server, database) as connected:
        yield connected


@pytest.fixture
def server_log(server: Endpoint, server_settings: Settings) -> Path:
    """What the server wrote to its log."""
    return ServerDirectory(server_settings.clickhouse_dir).log


@pytest.fixture
def http(server: Endpoint, database: str) -> Iterator[httpx.Client]:
    """A raw HTTP client in the fresh database."""
    with httpx.Client(
        base_url=server.url,
        headers={"X-ClickHouse-User": server.username, "X-ClickHouse-Key": server.password},
        params={"database": database},
        timeout=60,
    ) as client:
        yield client


@pytest.fixture
def plain(http: httpx.Client) -> Iterator[httpx.Client]:
    """A client that names no database."""
    with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=60) as client:
        yield client


@pytest.fixture
def schema(client: Client, migrated: Blueprint) -> Client:
    """A client whose fresh database has the whole schema: the test may do with it what it likes."""
    migrated.copy_into(client)
    return client


@pytest.fixture
def platform(server: Endpoint, schema: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """Settings (by environment, as Dagster's processes get them) of a small platform in the fresh database."""
    login = f"{quote(server.username, safe='')}:{quote(server.password, safe='')}"
    environment = {
        "HOME": str(tmp_path / "home"),
        "CLICKHOUSE_URL": server.url.replace("://", f"://{login}@"),
        "CLICKHOUSE_DATABASE": str(schema.database),
        "SIMULATOR_ENABLED": "true",
        "SIMULATOR_DEVICES": "10",
        "SIMULATOR_INTERVAL_S": "900",
        "FIRST_DAY": "2026-01-01",
    }
    for name, value in environment.items():
        monkeypatch.setenv(f"IOT_{name}", value)
    return schema


@pytest.fixture(scope="module")
def readings() -> pd.DataFrame:
    """The readings behind ``marts``, with the metadata and the local time that pandas finds."""
    return joined_readings()


@pytest.fixture(scope="module")
def marts(server: Endpoint, migrated: Blueprint) -> Iterator[Client]:
    """A database with readings in four time zones."""
    with filled_marts(server, migrated) as client:
        yield client
