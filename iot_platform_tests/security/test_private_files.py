"""Only its user can read the state in a home, with any umask, and in a home from an older version."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_platform.errors import PlatformError
from iot_platform.security.private_files import private_directory, state_directory
from iot_platform.services import webserver
from iot_platform.services.process import Service
from iot_platform_tests.e2e.commands import environment, iot_platform
from iot_platform_tests.e2e.running import wait_until

READINGS = "timestamp,device_id,kWh\n2026-01-01T00:00:00Z,1,1.5\n2026-01-01T00:00:00Z,1,=cmd()\n"
OTHERS = 0o077


def open_to_others(home: Path) -> list[str]:
    """Directories and files of a home that other users have rights on."""
    found = [home, *home.rglob("*")]
    modes = {path: path.lstat().st_mode for path in found if not path.is_symlink()}
    return [f"{path} {stat.S_IMODE(mode):o}" for path, mode in modes.items() if mode & OTHERS]


@contextmanager
def parent_umask(umask: int) -> Iterator[None]:
    """Run a block with another umask."""
    before = os.umask(umask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("umask", [0o022, 0o000])
def test_files_of_commands_are_private(tmp_path: Path, umask: int) -> None:
    home = tmp_path / "home"
    env = environment(home, IOT_CLICKHOUSE_PORT="0", IOT_SIMULATOR_DEVICES="3", IOT_SIMULATOR_INTERVAL_S="1800")
    (tmp_path / "readings.csv").write_text(READINGS)
    iot_platform(env, "load", "readings", str(tmp_path / "readings.csv"), umask=umask)
    iot_platform(env, "ingest", "plant", stdin=READINGS, umask=umask)
    made = {"clickhouse", "rejects", "outbox"}
    # The demo takes long, so only with the umask that gives most rights.
    if not umask:
        iot_platform(env, "demo", "--days", "1", "--exit", umask=umask)
        made |= {"logs", "dagster"}
    assert made <= {path.name for path in home.iterdir()}
    assert open_to_others(home) == []


def test_an_existing_home_becomes_private(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in ("logs", "rejects", "dagster/storage/run", "outbox/plant"):
        (home / name).mkdir(parents=True)
        (home / name / "old").write_text("of an older version")
        (home / name / "old").chmod(0o644)
    for path in (home, *home.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    for name in ("logs", "rejects", "dagster", "outbox"):
        assert state_directory(home, name) == home / name
    assert open_to_others(home) == []
    assert (home / "dagster/storage/run/old").read_text() == "of an older version"


def test_a_directory_with_other_content_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    (tmp_path / "thesis.txt").chmod(0o644)
    tmp_path.chmod(0o755)
    state_directory(tmp_path, "logs")
    # The second time it has a directory of a home: it becomes private itself, and its other content keeps its rights.
    state_directory(tmp_path, "logs")
    assert stat.S_IMODE((tmp_path / "thesis.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


def test_a_shared_directory_stays_shared(tmp_path: Path) -> None:
    tmp_path.chmod(0o1777)
    state_directory(tmp_path, "logs")
    state_directory(tmp_path, "rejects")
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o1777
    tmp_path.chmod(0o700)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("x")
    (tmp_path / "outside").chmod(0o644)
    (tmp_path / "logs").mkdir(mode=0o755)
    (tmp_path / "logs").chmod(0o755)
    (tmp_path / "logs" / "link").symlink_to(tmp_path / "outside")
    private_directory(tmp_path / "logs")
    assert stat.S_IMODE((tmp_path / "outside").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "logs").stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() == 0, reason="Root may change the rights of any file.")
def test_a_directory_of_another_user_is_refused() -> None:
    with pytest.raises(PlatformError, match="belongs to another user"):
        private_directory(Path("/usr"))


def test_a_child_process_writes_private_files_with_any_umask_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "writes_a_file.py").write_text(f"open({str(tmp_path / 'written')!r}, 'w').close()")
    with parent_umask(0):
        service = Service("writer", ["writes_a_file"], {"PYTHONPATH": str(tmp_path)}, tmp_path / "log")
        try:
            wait_until((tmp_path / "written").exists, "the child has written its file")
        finally:
            service.stop()
    assert stat.S_IMODE((tmp_path / "written").stat().st_mode) == 0o600


def test_the_webserver_writes_private_files(monkeypatch: pytest.MonkeyPatch) -> None:
    class StartedError(Exception):
        """Raised when the webserver reads its settings."""

    def settings() -> None:
        raise StartedError

    monkeypatch.setattr(webserver, "Settings", settings)
    with parent_umask(0):
        with pytest.raises(StartedError):
            webserver.main(["--workspace", os.devnull], standalone_mode=False)
        assert os.umask(0) == OTHERS


def test_a_container_writes_private_files() -> None:
    entrypoint = Path(__file__).resolve().parents[2] / "deploy" / "entrypoint.sh"
    run_in_it = [str(entrypoint), "sh", "-c", "umask"]
    done = subprocess.run(run_in_it, umask=0, capture_output=True, text=True, check=True)
    assert int(done.stdout, base=8) == OTHERS
