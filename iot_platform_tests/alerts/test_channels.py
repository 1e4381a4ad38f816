"""Channels: over real sockets, within the receivers' limits, each message once, and no secret in any error."""

from __future__ import annotations

import datetime as dt
import logging
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from click.testing import CliRunner
from pydantic import SecretStr

from iot_platform.alerts import outbox as outbox_module
from iot_platform.alerts.channel import channels
from iot_platform.alerts.incident import Pace
from iot_platform.alerts.mail import Mailbox, read_smtp_url
from iot_platform.alerts.message import Group, Line, Message
from iot_platform.alerts.outbox import MAX_WAITING, AlertState, Waiting, deliver, send_due
from iot_platform.alerts.problem import Problem
from iot_platform.alerts.webhook import Webhook, payload
from iot_platform.cli import cli
from iot_platform.errors import DeliveryError, PlatformError
from iot_platform.services.process import free_port
from iot_platform.settings import Settings
from iot_platform_tests.alerts.receivers import HOST, PATH, Mails, Receiver, receiving, serving

START, HOUR = dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC), dt.timedelta(hours=1)
LINE = Line(title="l2 <of> a&b failed", detail="(team:data-platform)", link="http://127.0.0.1:3000/runs/1")
MESSAGE = Message(
    id="1-0",
    incident="1",
    subject="1 problem: ClickHouse is <away> & busy",
    text="1 problem.",
    groups=(Group(cause="ClickHouse is <away>", count=3, lines=(LINE,)),),
)


def problem(key: str) -> Problem:
    return Problem(key, "run", f"{key} failed", "away", "", "", "", "http://127.0.0.1:3000/runs/1", START)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture
def mails() -> Mails:
    return Mails()


@pytest.fixture
def plain(mails: Mails) -> Iterator[Controller]:
    """A mail server without encryption."""
    with serving(Controller(mails, hostname=HOST, port=free_port(0, HOST))) as controller:
        yield controller


@pytest.fixture
def encrypted(mails: Mails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Controller]:
    """A mail server with STARTTLS that wants a login, and whose certificate is trusted."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data == LoginPassword(b"ops", b"very/secret"), handled=False)

    controller = Controller(
        mails, hostname=HOST, port=free_port(0, HOST), tls_context=context, require_starttls=True, authenticator=login
    )
    with serving(controller):
        yield controller


def test_slack_gets_text_and_blocks(receiver: Receiver) -> None:
    Webhook(SecretStr(receiver.url)).send(MESSAGE)
    (got,) = receiver.got
    assert got["text"] == "1 problem: ClickHouse is &lt;away&gt; &amp; busy"
    assert [block["type"] for block in got["blocks"]] == ["header", "section", "section"]
    assert got["blocks"][0]["text"]["text"] == MESSAGE.subject
    assert got["blocks"][2]["text"]["text"] == (
        "*ClickHouse is &lt;away&gt; (3 problems, 2 of them not shown)*\n"
        "• <http://127.0.0.1:3000/runs/1|l2 &lt;of&gt; a&amp;b failed> (team:data-platform)"
    )


def test_a_long_message_stays_within_the_limits_of_slack() -> None:
    line = Line(title="&" * 300, detail="<" * 400, link="http://127.0.0.1/" + "x" * 200)
    groups = tuple(Group(cause="&" * 300, count=9, lines=(line,) * 4) for _ in range(12))
    blocks = payload(MESSAGE.model_copy(update={"groups": groups, "subject": "x" * 500}))["blocks"]
    assert len(blocks) == 50
    assert len(blocks[0]["text"]["text"]) == 150
    assert all(len(block["text"]["text"]) <= 3000 for block in blocks)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_webhook_that_refuses_is_named_without_its_path(receiver: Receiver, status: int) -> None:
    receiver.answers = [status]
    with pytest.raises(DeliveryError, match=f"127.0.0.1 refused the message: {status} answer {status}") as caught:
        Webhook(SecretStr(receiver.url)).send(MESSAGE)
    assert "verysecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"http://127.0.0.1:9{PATH}", f"https://127.0.0.1:9{PATH}", f"http://nobody:x@[::1]:9{PATH}"]
)
def test_an_unreachable_webhook_is_named_without_its_path(url: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryError, match="does not answer") as caught:
        Webhook(SecretStr(url)).send(MESSAGE)
    assert "verysecret" not in str(caught.value) + caplog.text
    assert caught.value.__suppress_context__


def test_a_working_webhook_is_not_logged(receiver: Receiver, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Webhook(SecretStr(receiver.url)).send(MESSAGE)
    assert "verysecret" not in caplog.text


@pytest.mark.parametrize("url", ["verysecret", "ftp://verysecret/x", "http:///verysecret", "http://[verysecret"])
def test_an_invalid_url_is_refused_without_showing_it(url: str) -> None:
    for read in (Webhook, read_smtp_url):
        with pytest.raises(PlatformError) as caught:
            read(SecretStr(url))
        assert "verysecret" not in str(caught.value) and "IOT_ALERT_" in str(caught.value)


def test_mail(plain: Controller, mails: Mails) -> None:
    server = read_smtp_url(SecretStr(f"smtp://127.0.0.1:{plain.port}"))
    Mailbox(server, "iot@example.com", "ops@example.com").send(MESSAGE)
    (mail,) = mails.got
    assert (mail["From"], mail["To"]) == ("iot@example.com", "ops@example.com")
    assert mail["Subject"] == "[iot_platform] 1 problem: ClickHouse is <away> & busy"
    assert (mail["Message-ID"], mail["References"]) == ("<1-0@iot-platform>", "<1@iot-platform>")
    assert mail.get_content().splitlines() == [
        "1 problem.",
        "",
        "ClickHouse is <away> (3 problems, 2 of them not shown)",
        "- l2 <of> a&b failed. (team:data-platform)",
        "  http://127.0.0.1:3000/runs/1",
    ]


def test_mail_goes_by_starttls_with_a_login(encrypted: Controller, mails: Mails) -> None:
    url = f"smtp://ops:very%2Fsecret@localhost:{encrypted.port}"
    Mailbox(read_smtp_url(SecretStr(url)), "iot@example.com", "ops@example.com").send(MESSAGE)
    assert mails.encrypted == [True]
    wrong = read_smtp_url(SecretStr(url.replace("very", "not")))
    with pytest.raises(DeliveryError, match=r"localhost:\d+ did not accept the message to ops@example.com") as caught:
        Mailbox(wrong, "iot@example.com", "ops@example.com").send(MESSAGE)
    assert "secret" not in str(caught.value) and "secret" not in repr(wrong)


def test_a_certificate_of_somebody_else_is_refused(encrypted: Controller, mails: Mails) -> None:
    server = read_smtp_url(SecretStr(f"smtp://ops:very%2Fsecret@127.0.0.1:{encrypted.port}"))
    with pytest.raises(DeliveryError, match="certificate verify failed"):
        Mailbox(server, "iot@example.com", "ops@example.com").send(MESSAGE)
    assert mails.got == []


def test_a_password_is_not_sent_unencrypted(plain: Controller) -> None:
    server = read_smtp_url(SecretStr(f"smtp://ops:verysecret@127.0.0.1:{plain.port}"))
    with pytest.raises(DeliveryError, match="does not offer STARTTLS"):
        Mailbox(server, "iot@example.com", "ops@example.com").send(MESSAGE)


def settings(receiver: Receiver, plain: Controller) -> Settings:
    return Settings(
        alert_webhook_url=SecretStr(receiver.url),
        alert_smtp_url=SecretStr(f"smtp://127.0.0.1:{plain.port}"),
        alert_email_from="iot@example.com",
        alert_email_to=("a@example.com", "b@example.com"),
    )


def test_each_channel_gets_each_message_once_and_in_order(receiver: Receiver, plain: Controller, mails: Mails) -> None:
    found = channels(settings(receiver, plain))
    assert list(found) == ["webhook", "mail to a@example.com", "mail to b@example.com"]
    second = MESSAGE.model_copy(update={"id": "1-1", "subject": "All clear"})
    waiting = tuple(Waiting(message=message, channels=tuple(found)) for message in (MESSAGE, second))
    receiver.answers, mails.busy = [503], {"b@example.com"}
    waiting, errors = deliver(waiting, found)
    assert [item.channels for item in waiting] == [("webhook", "mail to b@example.com")] * 2
    assert len(errors) == 2 and "503" in errors[0] and "451" in errors[1]
    assert [(mail["To"], mail["Message-ID"]) for mail in mails.got] == [
        ("a@example.com", "<1-0@iot-platform>"),
        ("a@example.com", "<1-1@iot-platform>"),
    ]
    mails.busy.clear()
    waiting, errors = deliver(waiting, found)
    assert (waiting, errors) == ((), [])
    assert [got["text"] for got in receiver.got] == ["1 problem: ClickHouse is &lt;away&gt; &amp; busy", "All clear"]
    assert [mail["Message-ID"] for mail in mails.got if mail["To"] == "b@example.com"] == [
        "<1-0@iot-platform>",
        "<1-1@iot-platform>",
    ]


def test_messages_wait_when_there_is_no_time_left(
    receiver: Receiver, plain: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "SEND_FOR_S", -1.0)
    found = channels(settings(receiver, plain))
    waiting = (Waiting(message=MESSAGE, channels=tuple(found)),)
    assert deliver(waiting, found) == (waiting, [])
    # A channel that was taken out of the settings gets nothing and holds nothing up.
    assert deliver(waiting, {}) == ((), [])


def test_a_failing_channel_does_not_stop_the_others(receiver: Receiver, plain: Controller, mails: Mails) -> None:
    found = channels(settings(receiver, plain))
    mails.busy = {"a@example.com"}
    state, pace = AlertState(), Pace(settle=0 * HOUR, clear=HOUR, repeat=HOUR)
    for n in range(2 * MAX_WAITING):
        state, errors = send_due(state, [problem(f"p{n}") for n in range(n)], found, START + n * HOUR, pace)
    assert len(state.waiting) == MAX_WAITING
    assert {item.channels for item in state.waiting} == {("mail to a@example.com",)}
    assert len(receiver.got) == len(mails.got) == 2 * MAX_WAITING - 1
    assert len(errors) == 2 and "dropped the message '1 new problem" in errors[1]


def test_an_incomplete_configuration_is_an_error_and_an_empty_one_is_not() -> None:
    assert channels(Settings()) == {}
    nothing = SecretStr("")
    assert channels(Settings(alert_webhook_url=nothing, alert_smtp_url=nothing, alert_email_from="")) == {}
    with pytest.raises(PlatformError, match="IOT_ALERT_EMAIL_FROM and IOT_ALERT_EMAIL_TO is not set"):
        channels(Settings(alert_smtp_url=SecretStr("smtp://localhost")))


def test_the_command_tries_every_channel(
    receiver: Receiver, plain: Controller, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IOT_ALERT_WEBHOOK_URL", receiver.url)
    monkeypatch.setenv("IOT_ALERT_SMTP_URL", f"smtp://127.0.0.1:{plain.port}")
    monkeypatch.setenv("IOT_ALERT_EMAIL_FROM", "iot@example.com")
    monkeypatch.setenv("IOT_ALERT_EMAIL_TO", "a@example.com, b@example.com")
    result = CliRunner().invoke(cli, ["alerts", "test"])
    assert result.exit_code == 0
    assert result.output == "webhook: sent\nmail to a@example.com: sent\nmail to b@example.com: sent\n"
    assert receiver.got[0]["text"] == "Test message" and len(mails.got) == 2
    receiver.answers = [404]
    result = CliRunner().invoke(cli, ["alerts", "test"])
    assert result.exit_code == 1
    assert "refused the message: 404" in result.output and "verysecret" not in result.output
    assert result.output.endswith("mail to a@example.com: sent\nmail to b@example.com: sent\n")


def test_the_command_says_how_to_configure() -> None:
    result = CliRunner().invoke(cli, ["alerts", "test"])
    assert isinstance(result.exception, PlatformError) and "IOT_ALERT_WEBHOOK_URL" in str(result.exception)
