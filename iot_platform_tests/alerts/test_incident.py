"""When alerts are sent: one message per outage, new problems, and one all-clear."""

from __future__ import annotations

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from iot_platform.alerts.incident import MAX_PROBLEMS, REMIND_AFTER, Incident, Pace, next_step
from iot_platform.alerts.message import MAX_GROUPS, MAX_LINES, Message, duration, grouped
from iot_platform.alerts.outbox import AlertState
from iot_platform.alerts.problem import Problem, one_line

START = dt.datetime(2026, 1, 5, 10, tzinfo=dt.UTC)
TICK = dt.timedelta(seconds=30)
PACE = Pace(settle=dt.timedelta(seconds=20), clear=dt.timedelta(seconds=90), repeat=dt.timedelta(hours=1))


def problem(key: str, since: dt.datetime = START, *, retrying: bool = False, cause: str = "away") -> Problem:
    return Problem(
        key=key,
        kind="run",
        title=f"{key} failed",
        cause=cause,
        owner="team:data-platform",
        partition="",
        detail="",
        link="http://127.0.0.1:3000/runs/1",
        since=since,
        retrying=retrying,
        run_id=key,
    )


def looks(*seen: str, incident: Incident | None = None, every: dt.timedelta = TICK) -> tuple[Incident, list[str]]:
    """A look each ``every``: words are problems, with ``~`` those being retried; the subjects of what was sent."""
    incident, sent = incident or Incident(), []
    for position, keys in enumerate(seen):
        problems = [problem(key.lstrip("~"), retrying=key.startswith("~")) for key in keys.split()]
        incident, message = next_step(incident, problems, START + position * every, PACE)
        sent += [message.subject] if message else []
    return incident, sent


def test_an_outage_is_one_message_and_one_when_it_is_over() -> None:
    incident, sent = looks("a", "a b", "a b c", "b c", "c", "", "", "", "", "")
    assert sent == ["2 problems: away", "All clear after 2 min"]
    assert incident == Incident()


def test_a_problem_that_is_over_at_once_is_not_reported() -> None:
    assert looks("a", "", "b", "", "", "", "")[1] == []


def test_a_retry_is_reported_only_if_it_fails() -> None:
    assert looks("~a", "~a", "~a", "")[1] == []
    assert looks("~a", "a", "~a", "~a", "a")[1] == ["1 problem: a failed"]


def test_a_problem_that_is_being_retried_is_not_over() -> None:
    assert looks("a", "a", *["~a"] * 10, "a", "a")[1] == ["1 problem: a failed"]


def test_a_problem_that_comes_and_goes_is_one_incident() -> None:
    assert looks("a", "a", *["", "a"] * 20)[1] == ["1 problem: a failed"]


def test_new_problems_are_reported_hourly_and_all_problems_daily() -> None:
    hour = dt.timedelta(hours=1)
    _, sent = looks("a", "a", "a b", "a b", "a b", every=hour)
    assert sent == ["1 problem: a failed", "1 new problem, 2 open: b failed"]
    _, sent = looks("a", *["a"] * 26, every=hour)
    assert sent == ["1 problem: a failed", "1 problem open after 25 h: a failed"]


def test_a_repeated_failure_is_reported_since_it_began() -> None:
    incident = Incident()
    for n in range(4_000):
        now = START + TICK * n
        incident, message = next_step(incident, [problem("a", now)], now, PACE)
    assert message is None
    incident, message = next_step(incident, [problem("a", now)], now + REMIND_AFTER, PACE)
    assert message and "since 2026-01-05 10:00 UTC" in message.plain_text()


def test_a_problem_that_comes_back_later_is_new() -> None:
    back = ["a b"] * 2 + ["b"] * 130 + ["a b"] * 2
    assert looks(*back)[1] == ["2 problems: away", "1 new problem, 2 open: a failed"]


def test_the_state_is_bounded_and_survives_being_stored() -> None:
    problems = [problem(f"run/all_layers_job/{n}" * 5, cause=f"cause {chr(97 + n % 26)}" * 40) for n in range(3_000)]
    incident, _ = next_step(Incident(), problems, START, PACE)
    incident, message = next_step(incident, problems, START + TICK, PACE)
    assert message and len(incident.problems) == MAX_PROBLEMS
    stored = AlertState(incident=incident).model_dump_json()
    assert len(stored) < 100_000 and len(message.model_dump_json()) < 30_000
    assert AlertState.model_validate_json(stored).incident == incident
    assert sum(len(group.lines) for group in message.groups) <= MAX_LINES
    assert len(message.groups) == MAX_GROUPS + 1 and message.groups[-1].cause == "Other causes"


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[dt.datetime, list[Problem]]]:
    """Looks at irregular times at problems that come, are retried, and go."""
    history, now = [], START
    for _ in range(draw(st.integers(1, 40))):
        now += dt.timedelta(seconds=draw(st.sampled_from([5, 30, 31, 60, 600, 3600, 90_000])))
        keys = draw(st.dictionaries(st.sampled_from("abcd"), st.booleans(), max_size=4))
        history.append((now, [problem(key, now, retrying=retrying) for key, retrying in keys.items()]))
    return history


def replay(history: list[tuple[dt.datetime, list[Problem]]]) -> list[tuple[dt.datetime, Incident, Message | None]]:
    incident, steps = Incident(), []
    for now, problems in history:
        incident, message = next_step(incident, problems, now, PACE)
        steps.append((now, incident, message))
    return steps


@settings(max_examples=60)
@given(histories())
def test_messages_open_and_close_in_turn_and_keep_their_pace(history: list[tuple[dt.datetime, list[Problem]]]) -> None:
    is_open, last = False, START
    ids = set()
    for now, incident, message in replay(history):
        if message is None:
            assert is_open == (incident.opened is not None)
            continue
        assert message.id not in ids
        ids.add(message.id)
        if message.subject.startswith("All clear"):
            assert is_open
            is_open = False
            continue
        assert not is_open or now - last >= min(PACE.repeat, REMIND_AFTER)
        assert message.groups
        is_open, last = True, now


@settings(max_examples=60)
@given(histories())
def test_every_lasting_problem_is_reported(history: list[tuple[dt.datetime, list[Problem]]]) -> None:
    failing_since: dict[str, dt.datetime] = {}
    last_message = START - REMIND_AFTER
    for (now, problems), (_, incident, message) in zip(history, replay(history), strict=True):
        failing = {found.key for found in problems if not found.retrying}
        failing_since = {key: failing_since.get(key, now) for key in failing}
        if message and message.groups:
            last_message = now
        for key, since in failing_since.items():
            if now - since >= PACE.settle and now - last_message >= PACE.repeat:
                assert incident.problems[key].reported


@settings(max_examples=60)
@given(histories())
def test_all_clear_comes_exactly_when_nothing_was_wrong_for_a_while(
    history: list[tuple[dt.datetime, list[Problem]]],
) -> None:
    quiet_since: dt.datetime | None = None
    was_open = False
    # At the end nothing is wrong any more.
    end = history[-1][0]
    history = history + [(end + TICK * n, []) for n in range(1, 6)]
    for (now, problems), (_, incident, message) in zip(history, replay(history), strict=True):
        failing = any(not found.retrying for found in problems)
        quiet_since = None if failing else quiet_since or now
        is_clear = bool(message and message.subject.startswith("All clear"))
        if is_clear:
            assert was_open and quiet_since is not None and now - quiet_since >= PACE.clear
        was_open = incident.opened is not None
    assert not was_open


def test_problems_of_one_cause_are_grouped() -> None:
    away = "OperationalError: 127.0.0.1:{} does not answer after {} s"
    problems = [problem(f"p{n}", START + TICK * n, cause=away.format(8000 + n, n)) for n in range(30)]
    first, second = grouped([*problems, problem("check", cause="l3: red")])
    assert (first.count, len(first.lines), first.cause) == (30, 10, away.format(8000, 0))
    assert (second.count, second.cause) == (1, "l3: red")
    assert first.lines[0].title == "p0 failed"
    assert first.lines[0].detail == "(team:data-platform, since 2026-01-05 10:00 UTC)"


def test_ids_and_counts_do_not_change_the_cause() -> None:
    first = "l2_power: run 4f1d2a9c-0b7e-4a52-9d7c-aaaaaaaaaaaa at db:8123 took 4s, 7 of 1,000 rows on 2026-01-02"
    second = "l2_power: run de3837d2-93ed-449f-a999-c82eaf85c3e3 at db:9 took 15s, 12 of 3,456 rows on 2026-01-13"
    assert problem("a", cause=first).group == problem("b", cause=second).group
    assert problem("a", cause="l2_power: red").group != problem("a", cause="l3_power: red").group


def test_durations() -> None:
    minute = dt.timedelta(minutes=1)
    assert [duration(minute * n) for n in (0, 14, 119, 121, 60 * 47, 60 * 72)] == [
        "1 min",
        "14 min",
        "119 min",
        "2 h",
        "47 h",
        "3 days",
    ]


def test_logins_in_urls_are_removed() -> None:
    text = one_line("cannot open\n http://iot:verysecret@db:8123/x?a=b@c and smtp://u:p@h " + "x" * 500)
    assert text.startswith("cannot open http://db:8123/x?a=b@c and smtp://h x") and len(text) == 300
