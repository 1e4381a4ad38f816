"""The configuration of Dagster's instance in a home: written once, renewed only while nobody has changed it."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest

from iot_platform.services import instance
from iot_platform.services.instance import INSTANCE_CONFIG, dagster_home
from iot_platform.settings import Settings

EARLIER = "telemetry:\n  enabled: false\n"


def test_a_changed_configuration_is_kept_and_an_earlier_default_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dagster_home(Settings(home=tmp_path)) / "dagster.yaml"
    assert config.read_text() == INSTANCE_CONFIG
    config.write_text(EARLIER)
    dagster_home(Settings(home=tmp_path))
    assert config.read_text() == EARLIER
    monkeypatch.setattr(instance, "EARLIER_CONFIGS", {hashlib.sha256(EARLIER.encode()).hexdigest()})
    dagster_home(Settings(home=tmp_path))
    assert config.read_text() == INSTANCE_CONFIG


def test_a_full_disk_leaves_no_half_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_half(path: Path, text: str, **_: str) -> None:
        path.write_bytes(text[:100].encode())
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", write_half)
        with pytest.raises(OSError, match="No space left"):
            dagster_home(Settings(home=tmp_path))
    assert list((tmp_path / "dagster").iterdir()) == []
    assert (dagster_home(Settings(home=tmp_path)) / "dagster.yaml").read_text() == INSTANCE_CONFIG


def test_the_current_configuration_is_not_among_the_earlier_ones() -> None:
    assert hashlib.sha256(INSTANCE_CONFIG.encode()).hexdigest() not in instance.EARLIER_CONFIGS
