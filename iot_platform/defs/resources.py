"""ClickHouse as a Dagster resource."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import dagster as dg
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import Error
from pydantic import PrivateAttr

from iot_platform.clickhouse.retries import is_transient
from iot_platform.clickhouse.session import migrated_session
from iot_platform.errors import ServerError
from iot_platform.security.secret_values import hide_secrets_in_errors
from iot_platform.settings import Settings

# All steps that use ClickHouse share this pool. dagster.yaml limits how many run at the same time.
POOL = "clickhouse"
# In addition to the writer's retries, which take seconds. After a longer outage the next schedule repeats the work.
STEP_RETRIES, STEP_RETRY_PAUSE_S = 3, 10


class ClickHouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The ClickHouse server with all layers: IOT_CLICKHOUSE_URL, or the embedded server of the home.

    If the embedded server does not run, it is started until the end of the run. Nothing connects before the first use.
    The resource has no config on purpose: whoever may launch a run could send the login to another server.
    """

    _connection: ExitStack = PrivateAttr(default_factory=ExitStack)
    _client: Client | None = PrivateAttr(default=None)

    def settings(self) -> Settings:
        """The platform's settings."""
        return Settings()

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connection at the end of the run."""
        self._disconnect()

    @contextmanager
    def session(self, run: dg.DagsterRun, asset: str) -> Iterator[Client]:
        """A client for one use at a time. Its queries have run and asset in their log_comment.

        All uses of a run share one connection, because each new one takes 40 ms; after an error it is closed.
        After a transient error (ClickHouse is unreachable, busy, out of memory) Dagster retries the step a few times.
        Secrets are removed from the texts of all errors, because Dagster stores and shows them.
        """
        comment = {"dagster_run_id": run.run_id, "dagster_job": run.job_name, "asset": asset}
        with hide_secrets_in_errors():
            try:
                client = self._connected()
                client.set_client_setting("log_comment", json.dumps(comment, sort_keys=True))
                yield client
            except BaseException as error:
                self._disconnect()
                if not isinstance(error, Error | ServerError) or not is_transient(error):
                    raise
                raise dg.RetryRequested(max_retries=STEP_RETRIES, seconds_to_wait=STEP_RETRY_PAUSE_S) from error

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._connection.enter_context(migrated_session(self.settings()))
        return self._client

    def _disconnect(self) -> None:
        self._client = None
        self._connection.close()


class NoValues(dg.IOManager):
    """Assets exchange tables, not values. Dagster's default IO manager would write to any folder that a run names."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Raise: no asset returns a value."""
        raise NotImplementedError(f"{context.get_identifier()} returns a value, and nothing here stores one.")

    def load_input(self, context: dg.InputContext) -> object:
        """Raise: no asset takes a value."""
        raise NotImplementedError(f"{context.name} is a value, and nothing here stores one.")


@dg.io_manager(config_schema={})
def no_values(_: dg.InitResourceContext) -> dg.IOManager:
    """NoValues without config."""
    return NoValues()
