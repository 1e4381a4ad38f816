"""Which Host and Origin headers local servers accept."""

from __future__ import annotations

import socket

import pytest
from pydantic import ValidationError

from iot_platform.security.http_access import host_is_trusted, origin_is_trusted
from iot_platform.settings import Settings


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:3000", "127.0.0.1:1", "10.1.2.3", "[::1]:80", "[fe80::1]", "iot.example:8443"]
)
def test_addresses_localhost_and_trusted_names_are_accepted(host: str) -> None:
    assert host_is_trusted(host, ("iot.example",))


def test_the_name_of_the_machine_is_accepted() -> None:
    assert host_is_trusted(f"{socket.gethostname().upper()}:3000")


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "x.iot.example",
        "iot.example.evil.example",
        "127.0.0.1.nip.io",
        "localhost.evil.example",
        "evil.example@localhost",
        "localhost#.evil.example",
        "localhost/.evil.example",
        "localhost?.evil.example",
        "localhost, evil.example",
        "localhost\\.evil.example",
        "[::1].evil.example",
        "[abc",
        "::1",
        "localhost:x",
        "localhost ",
    ],
)
def test_other_hosts_are_refused(host: str) -> None:
    assert not host_is_trusted(host, ("iot.example",))


@pytest.mark.parametrize(
    ("origin", "host", "taken"),
    [
        (None, "localhost:3000", True),
        ("http://localhost:3000", "localhost:3000", True),
        ("https://iot.example", "IOT.example", True),
        ("http://localhost:3001", "localhost:3000", False),
        ("http://127.0.0.1:3000", "localhost:3000", False),
        ("null", "localhost:3000", False),
        ("null", "", False),
        ("", "", False),
        ("http://[x", "localhost", False),
        ("http://evil.example", "localhost:3000", False),
    ],
)
def test_only_the_origin_of_this_server_is_accepted(origin: str | None, host: str, taken: bool) -> None:
    assert origin_is_trusted(origin, host) is taken


def test_trusted_names_come_from_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_TRUSTED_HOSTS", "IoT.example, dashboard ,")
    assert Settings().trusted_hosts == ("iot.example", "dashboard")


@pytest.mark.parametrize("wrong", ["*", "https://iot.example", "iot.example:443", "*.example", "a b"])
def test_only_names_can_be_trusted(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("IOT_TRUSTED_HOSTS", wrong)
    with pytest.raises(ValidationError, match="host names only"):
        Settings()
