"""ClickHouse as a Dagster resource."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

import dagster as dg
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from pydantic import Field, SecretStr

from iot_platform.clickhouse.migrations import migrated_session
from iot_platform.clickhouse.retries import is_transient
from iot_platform.errors import ServerError
from iot_platform.settings import Settings

HTTP_PORT, HTTPS_PORT = 8123, 8443
# Everything that uses ClickHouse shares this pool; dagster.yaml says how many steps at once.
POOL = "clickhouse"
# Beyond the writer's own retries of seconds. Longer outages are for the run's next schedule, and for an alert.
STEP_RETRIES, STEP_RETRY_PAUSE_S = 3, 10


class ClickHouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse that holds all layers.

    Without configuration it is the platform's own: IOT_CLICKHOUSE_URL, or the embedded server of the home, which is
    started for the length of a use when it does not run. Nothing is connected before the first use.
    """

    host: str | None = Field(default=None, description="Host of the server; unset: the platform's settings decide.")
    port: int | None = Field(default=None, description="Port of its HTTP interface; default 8123, secure 8443.")
    user: str = Field(default="default", description="User name; used only with `host`.")
    password: str = Field(default="", description="Password; used only with `host`.")
    database: str | None = Field(default=None, description="Database of all layers; unset: IOT_CLICKHOUSE_DATABASE.")
    secure: bool = Field(default=False, description="HTTPS instead of HTTP; used only with `host`.")

    def settings(self) -> Settings:
        """The platform's settings with what is configured here put over them."""
        changes: dict[str, object] = {}
        if self.host:
            scheme, default_port = ("https", HTTPS_PORT) if self.secure else ("http", HTTP_PORT)
            login = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}"
            changes["clickhouse_url"] = SecretStr(f"{scheme}://{login}@{self.host}:{self.port or default_port}")
        if self.database:
            changes["clickhouse_database"] = self.database
        return Settings().model_copy(update=changes)

    @contextmanager
    def session(self, run: dg.DagsterRun, asset: str) -> Iterator[Client]:
        """A client of its own for one use, closed after it. Its queries carry run and asset in their log_comment.

        An error that may pass (ClickHouse is away, busy, out of memory) has Dagster try the step again, a few times.
        """
        comment = {"dagster_run_id": run.run_id, "dagster_job": run.job_name, "asset": asset}
        try:
            with migrated_session(self.settings(), comment=comment) as client:
                yield client
        except (Error, ServerError) as error:
            if not is_transient(error):
                raise
            raise dg.RetryRequested(max_retries=STEP_RETRIES, seconds_to_wait=STEP_RETRY_PAUSE_S) from error
