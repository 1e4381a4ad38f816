"""``iot-platform alerts``: show current problems, test the alert channels."""

from __future__ import annotations

import datetime as dt
import os
import socket
import sys
from dataclasses import asdict

import click

from iot_platform.alerts.channel import HOW_TO_CONFIGURE, channels
from iot_platform.alerts.message import Message
from iot_platform.cli.output import echo_json, say
from iot_platform.errors import DeliveryError, PlatformError
from iot_platform.settings import Settings


@click.group()
def alerts() -> None:
    """Show current problems, and send a test alert.

    Dagster's sensor `alerts_sensor` sends the alerts. No alerts are sent until a channel is configured.
    """


@alerts.command()
def test() -> None:
    """Send a test message through every configured channel. Exit code 1 if a channel failed."""
    configured = channels(Settings())
    if not configured:
        raise PlatformError(HOW_TO_CONFIGURE)
    now = dt.datetime.now(dt.UTC)
    name = f"test-{now:%Y%m%dT%H%M%S%f}"
    text = f"A test message from {socket.gethostname()}, sent at {now:%Y-%m-%d %H:%M:%S} UTC. Nothing is wrong."
    message = Message(id=name, incident=name, subject="Test message", text=text)
    failed = False
    for channel, receiver in configured.items():
        try:
            receiver.send(message)
            say(f"{channel}: sent")
        except DeliveryError as error:
            failed = True
            say(f"{channel}: {error}")
    sys.exit(failed)


@alerts.command()
@click.option("--json", "as_json", is_flag=True, help="Print the problems as one line of JSON.")
def show(as_json: bool) -> None:
    """Show the current problems, from Dagster's storage (DAGSTER_HOME; default: the one in IOT_HOME)."""
    # Imported here, because the definitions take long to import.
    from dagster import DagsterInstance

    from iot_platform.definitions import defs
    from iot_platform.defs.problems.context import ProblemContext
    from iot_platform.defs.problems.current import current_problems
    from iot_platform.services.instance import dagster_home

    settings = Settings()
    home = os.environ.get("DAGSTER_HOME") or str(dagster_home(settings))
    with DagsterInstance.from_config(home) as instance:
        context = ProblemContext(instance, defs.get_repository_def(), settings)
        problems = current_problems(context, [], dt.datetime.now(dt.UTC))
    if as_json:
        echo_json([asdict(problem) for problem in problems])
        return
    for problem in problems:
        say(f"{problem.title}. {problem.cause}. {problem.detail}\n  {problem.link}")
    if not problems:
        say("Nothing is wrong.")
