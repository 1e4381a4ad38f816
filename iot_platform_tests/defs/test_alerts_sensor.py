"""What the alerts sensor sends: once per incident, whatever happens to ticks and channels."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator

import dagster as dg
import pytest

from iot_platform.defs.alerts import sensor as module
from iot_platform.defs.alerts.sensor import alerts_sensor
from iot_platform.errors import PlatformError
from iot_platform_tests.alerts.receivers import Receiver, receiving
from iot_platform_tests.defs.problems_location import DAY, LAST_DAY, NEXT_DAY, URL, defs, run


class Ticks:
    """Ticks of the sensor, 30 seconds apart, on the cursor that each has left."""

    def __init__(self, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.now = dt.datetime.now(dt.UTC)
        monkeypatch.setattr(module, "utc_now", lambda: self.now)

    def tick(self, times: int = 1) -> dg.SensorResult:
        result = None
        for _ in range(times):
            self.now += dt.timedelta(seconds=30)
            context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, definitions=defs)
            result = alerts_sensor(context)
            assert isinstance(result, dg.SensorResult)
            self.cursor = result.cursor
        assert isinstance(result, dg.SensorResult)
        return result


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiving() as found:
        monkeypatch.setenv("IOT_ALERT_WEBHOOK_URL", found.url)
        monkeypatch.setenv("IOT_DAGSTER_URL", URL)
        yield found


@pytest.fixture
def ticks(instance: dg.DagsterInstance, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Ticks:
    return Ticks(instance, monkeypatch)


def subjects(receiver: Receiver) -> list[str]:
    return [got["text"] for got in receiver.got]


def test_an_outage_is_one_alert_and_one_all_clear(ticks: Ticks, receiver: Receiver) -> None:
    ticks.tick()
    run(ticks.instance, DAY, "upper")
    ticks.tick()
    run(ticks.instance, DAY, "upper")
    run(ticks.instance, NEXT_DAY, "upper")
    ticks.tick()
    run(ticks.instance, LAST_DAY, "upper")
    ticks.tick(3)
    assert len(receiver.got) == 1
    for day in (DAY, NEXT_DAY, LAST_DAY):
        run(ticks.instance, day)
    ticks.tick(8)
    alert, all_clear = receiver.got
    # The zero-width space keeps chat programs from making a link of it.
    assert alert["text"].startswith("2 problems: ServerError: http:\u200b//db:8123 does not answer (run ")
    text = alert["blocks"][2]["text"]["text"]
    assert (
        f"|layers_job of {DAY} failed> Not done since: lower, upper, upper_is_right. (ops@\u200bexample.com, " in text
    )
    assert f"|layers_job of {NEXT_DAY} failed>" in text and "verysecret" not in json.dumps(receiver.got)
    assert all_clear["text"].startswith("All clear after ")
    assert all_clear["blocks"][1]["text"]["text"] == "2 reported problems solved."


def test_an_unreachable_webhook_loses_nothing_and_gets_nothing_twice(ticks: Ticks, receiver: Receiver) -> None:
    run(ticks.instance, DAY, "upper")
    receiver.answers = [503, 503]
    waiting = ticks.tick(3)
    assert receiver.got == []
    assert waiting.skip_reason and "refused the message: 503" in str(waiting.skip_reason.skip_message)
    assert "verysecret" not in f"{waiting.cursor}{waiting.skip_reason}"
    ticks.tick(4)
    assert len(receiver.got) == 1


def test_a_tick_that_was_killed_before_its_cursor_was_stored_sends_again(ticks: Ticks, receiver: Receiver) -> None:
    run(ticks.instance, DAY, "upper")
    ticks.tick()
    stored = ticks.cursor
    ticks.tick()
    ticks.cursor = stored
    ticks.tick(3)
    assert len(receiver.got) == 2 and receiver.got[0]["blocks"] == receiver.got[1]["blocks"]


def test_without_a_channel_it_says_how_to_configure_one(instance: dg.DagsterInstance) -> None:
    context = dg.build_sensor_context(instance=instance, definitions=defs)
    skipped = alerts_sensor(context)
    assert isinstance(skipped, dg.SkipReason) and "IOT_ALERT_WEBHOOK_URL" in str(skipped.skip_message)


def test_an_unreadable_cursor_is_an_error_with_a_remedy(ticks: Ticks) -> None:
    ticks.cursor = "2026-01-01"
    with pytest.raises(PlatformError, match="Reset the cursor"):
        ticks.tick()
