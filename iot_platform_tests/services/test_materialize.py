"""A run of the demo that does not end is stopped and reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from iot_platform.errors import PlatformError
from iot_platform.services import materialize


def test_a_run_that_takes_too_long_is_an_error_that_names_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materialize, "RUN_TIMEOUT_S", 0.1)
    log = tmp_path / "materialize.log"
    with pytest.raises(PlatformError, match=f"refresh_metadata_job did not end within 0.1 s .* Log: {log}"):
        materialize.refresh_metadata({**os.environ, "DAGSTER_HOME": str(tmp_path)}, log)
