"""The options of a server: arguments, the environment, the record that others read, and the rules it shares."""

from __future__ import annotations

import json
import re
from pathlib import Path

import psutil
import pytest

from iot_platform.clickhouse_embedded import http_access
from iot_platform.clickhouse_embedded.__main__ import main
from iot_platform.clickhouse_embedded.command_line import as_arguments, read_arguments
from iot_platform.clickhouse_embedded.options import ServerOptions
from iot_platform.clickhouse_embedded.record import read_record
from iot_platform.security import http_access as platform_http_access


@pytest.mark.parametrize(
    "options",
    [
        ServerOptions(Path("/d")),
        ServerOptions(Path("/-odd name ü"), host="::1", port=0, any_port_if_taken=True, memory_bytes=10**9),
        ServerOptions(Path("/d"), trusted_hosts=("a.example", "b"), stop_when_unused=True),
    ],
)
def test_arguments_for_a_child_process_read_the_same(options: ServerOptions) -> None:
    assert read_arguments(as_arguments(options), {}) == options


def test_the_password_comes_from_the_environment_only() -> None:
    environment = {"CLICKHOUSE_EMBEDDED_PASSWORD": "secret", "OTHER": "stays"}
    options = read_arguments(["/d"], environment)
    assert options.password == "secret"
    assert environment == {"OTHER": "stays"}
    assert "secret" not in repr(options) + " ".join(as_arguments(options))


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ([], {}, "directory"),
        (["/d", "--port=65536"], {}, "a port is a number from 0 to 65535"),
        (["/d", "--port=x"], {}, "a port is a number from 0 to 65535"),
        (["/d", "--port=-1"], {}, "a port is a number from 0 to 65535"),
        (["/d", "--memory-bytes=-1"], {}, "the memory is a positive number of bytes"),
        (["/d", "--memory-bytes=4G"], {}, "the memory is a positive number of bytes"),
        # "$DIRECTORY" and "$ADDRESS" of a script in which they are not set.
        ([""], {}, "argument directory: is empty"),
        (["/d", "--host="], {}, "argument --host: is empty"),
        (["/d", "--password=x"], {}, "unrecognized arguments: --password"),
        (["/d"], {"CLICKHOUSE_EMBEDDED_PASSWORD": ""}, "CLICKHOUSE_EMBEDDED_PASSWORD is empty"),
        (["/d"], {"CLICKHOUSE_EMBEDDED_PASSWORD": "\udcff"}, "CLICKHOUSE_EMBEDDED_PASSWORD is not UTF-8"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], environment: dict[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        read_arguments(arguments, environment)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", ["file", "file/below", "/proc/nothing"])
def test_a_directory_that_cannot_be_used(
    path: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.umask", lambda mask: mask)
    (tmp_path / "file").touch()
    assert main([str(tmp_path / path), "--port=0"]) == 1
    output = capsys.readouterr()
    assert re.fullmatch(rf"Error: {tmp_path / path}\S*: (Not a|No such file or) directory\n", output.err)


def test_a_reused_process_id_is_not_the_server(tmp_path: Path) -> None:
    mine = psutil.Process()
    content = {"pid": mine.pid, "host": "::1", "port": 1, "started_at": "x"}
    record = tmp_path / "server.json"
    record.write_text(json.dumps({**content, "create_time": mine.create_time() - 99}))
    assert read_record(record) is None
    record.write_text(json.dumps({**content, "create_time": mine.create_time()}))
    found = read_record(record)
    assert found is not None and found.url == "http://[::1]:1"
    record.write_text('{"pid": 1')
    assert read_record(record) is None


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80", "named.example:1", "evil.example", "127.0.0.1.nip.io"]
    + ["", "[abc", "::1", "localhost:x", "localhost ", "evil.example@localhost", "x.named.example"],
)
@pytest.mark.parametrize("origin", [None, "http://localhost", "https://named.example:1", "null", "http://[x", ""])
def test_host_and_origin_are_checked_as_by_the_other_servers_of_the_platform(host: str, origin: str | None) -> None:
    names = ("named.example",)
    assert http_access.host_is_trusted(host, names) == platform_http_access.host_is_trusted(host, names)
    assert http_access.origin_is_trusted(origin, host) == platform_http_access.origin_is_trusted(origin, host)
