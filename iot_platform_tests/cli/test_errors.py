"""Commands end with a message, not with a traceback, when their home cannot be used."""

from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest

from iot_platform.cli import cli, main


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exit_:
        main(list(arguments))
    assert exit_.value.code == 1
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def umask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.umask", lambda mask: mask)


@pytest.mark.parametrize("path", ["file", "file/below"])
@pytest.mark.parametrize("command", [["status"], ["up"], ["demo"], ["db", "serve"]])
def test_a_home_that_is_no_directory(
    path: str,
    command: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("IOT_HOME", str(tmp_path / path))
    monkeypatch.setattr("iot_platform.services.signals.signal.signal", lambda *_: None)
    assert error_of(capsys, *command) == f"Error: {tmp_path / path}: Not a directory\n"


@pytest.mark.parametrize(
    "command", [["up", "--port"], ["up", "--dashboard-port"], ["demo", "--port"], ["dashboard", "--port"]]
)
@pytest.mark.parametrize("port", ["65536", "-1", "http"])
def test_a_port_that_does_not_exist(command: list[str], port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*command, port])
    assert exit_.value.code == 2
    assert f"Invalid value for '{command[-1]}'" in capsys.readouterr().err


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cli, "get_command", lambda *_: click.Command("full", callback=full))
    assert error_of(capsys, "full") == "Error: The disk of IOT_HOME: No space left on device\n"


def test_other_errors_of_the_system_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def reset() -> None:
        raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")

    monkeypatch.setattr(cli, "get_command", lambda *_: click.Command("reset", callback=reset))
    with pytest.raises(ConnectionResetError):
        main(["reset"])
