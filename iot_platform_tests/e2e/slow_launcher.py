"""Dagster's run launcher on a machine that is too busy: each launch takes a while."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext
from dagster._serdes import ConfigurableClassData


class SlowRunLauncher(DefaultRunLauncher):
    """Waits ``seconds`` before each launch."""

    def __init__(self, seconds: int, inst_data: ConfigurableClassData | None = None) -> None:
        self._seconds = seconds
        super().__init__(inst_data=inst_data)

    @classmethod
    def config_type(cls) -> dict[str, dg.Field]:
        """The fields in dagster.yaml."""
        return {"seconds": dg.Field(int)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> SlowRunLauncher:
        """The launcher of an instance."""
        return cls(config_value["seconds"], inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Wait, then launch."""
        time.sleep(self._seconds)
        super().launch_run(context)
