"""Which ClickHouse the platform talks to."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest
from pydantic import SecretStr

from iot_platform.clickhouse.embedded_server import running_server, stop_server
from iot_platform.clickhouse.endpoint import Endpoint, endpoint
from iot_platform.clickhouse_embedded.directory import ServerDirectory
from iot_platform.errors import ServerError
from iot_platform.settings import Settings


@pytest.mark.parametrize(
    ("url", "password", "expected"),
    [
        ("http://ch:1234", None, Endpoint("ch", 1234, "default", "", "iot", False)),
        ("https://me:p%40ss@ch.example.com", "other", Endpoint("ch.example.com", 8443, "me", "p@ss", "iot", True)),
        ("http://me@[::1]:8123/", "secret", Endpoint("::1", 8123, "me", "secret", "iot", False)),
    ],
)
def test_an_external_server_is_used_as_it_is(
    tmp_path: Path, url: str, password: str | None, expected: Endpoint
) -> None:
    secret = SecretStr(password) if password else None
    settings = Settings(home=tmp_path, clickhouse_url=SecretStr(url), clickhouse_password=secret)
    assert endpoint(settings) == expected
    with running_server(settings) as found:
        assert found == expected
    assert not ServerDirectory(settings.clickhouse_dir).path.exists()


@pytest.mark.parametrize("url", ["ch:8123", "tcp://ch:9000", "http://:8123", "http://u:sec%20ret@ch:port"])
def test_a_wrong_url_is_named_without_its_secrets(tmp_path: Path, url: str) -> None:
    with pytest.raises(ServerError, match="IOT_CLICKHOUSE_URL") as error:
        endpoint(Settings(home=tmp_path, clickhouse_url=SecretStr(url)))
    assert "sec" not in str(error.value)


def test_a_record_that_a_killed_server_left_behind_is_no_endpoint(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, clickhouse_url=None)
    settings.clickhouse_dir.mkdir()
    mine = psutil.Process()
    content = {"pid": mine.pid, "create_time": mine.create_time() - 99, "host": "127.0.0.1", "port": 1}
    (settings.clickhouse_dir / "server.json").write_text(json.dumps({**content, "started_at": "x"}))
    assert endpoint(settings) is None
    assert stop_server(settings) is None
