"""Failed checks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import dagster as dg

from iot_platform.alerts.problem import Problem, one_line
from iot_platform.defs.dagster_internals import COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
from iot_platform.defs.problems.context import ProblemContext, covered, days_of_tags, span
from iot_platform.defs.times import from_dagster

# Only the newest evaluations of a check are read: with hourly proofs, those of more than a week.
MAX_EVALUATIONS = 200


@dataclass(frozen=True)
class Evaluation:
    """One result of a check. The days of its run are read only when needed."""

    instance: dg.DagsterInstance
    result: dg.AssetCheckEvaluation
    run_id: str
    timestamp: float

    @property
    def has_failed(self) -> bool:
        """Whether the check failed, rather than warned."""
        return not self.result.passed and self.result.severity == dg.AssetCheckSeverity.ERROR

    @cached_property
    def days(self) -> frozenset[str] | None:
        """The days of its run; empty: all days; None: the run was deleted."""
        run = self.instance.get_run_by_id(self.run_id)
        return None if run is None else days_of_tags(run.tags)


Evaluations = Mapping[dg.AssetCheckKey, list[Evaluation]]


def evaluations(context: ProblemContext) -> Evaluations:
    """The newest evaluations of each check, the newest first."""
    found: dict[dg.AssetCheckKey, list[Evaluation]] = {}
    for key in context.graph.asset_check_keys:
        records = context.instance.event_log_storage.get_asset_check_execution_history(
            key, limit=MAX_EVALUATIONS, status=COMPLETED_ASSET_CHECK_EXECUTION_RECORD_STATUSES
        )
        found[key] = [
            Evaluation(context.instance, record.evaluation, record.run_id, record.event.timestamp)
            for record in records
            if record.evaluation and record.event
        ]
    return found


def check_problems(context: ProblemContext, found: Evaluations) -> list[Problem]:
    """Checks whose newest evaluation of a day has failed. Evaluations of other days do not count."""
    return [problem for key, of_check in found.items() for problem in _problems(context, key, of_check)]


def evaluated_since(of_check: Iterable[Evaluation], timestamp: float, days: frozenset[str]) -> bool:
    """Whether a check was evaluated for all of ``days`` (none: all) at or after a time."""
    return covered(days, [newer.days for newer in of_check if newer.timestamp >= timestamp and newer.days is not None])


def is_newest(of_check: Sequence[Evaluation], position: int) -> bool:
    """Whether an evaluation of a check is the newest one of one of its days. (False if its run was deleted.)"""
    days = of_check[position].days
    newer = [other.days for other in of_check[:position] if other.days is not None]
    return days is not None and not covered(days, newer)


def _problems(context: ProblemContext, key: dg.AssetCheckKey, of_check: list[Evaluation]) -> list[Problem]:
    return [
        _problem(context, key, evaluation)
        for position, evaluation in enumerate(of_check)
        if evaluation.has_failed and is_newest(of_check, position)
    ]


def _problem(context: ProblemContext, key: dg.AssetCheckKey, evaluation: Evaluation) -> Problem:
    partition = span(evaluation.days or ())
    asset = key.asset_key.to_user_string()
    return Problem(
        key=f"check/{asset}/{key.name}/{partition}",
        kind="check",
        title=f"Check {key.name} of {asset} has failed" + (f" for {partition}" if partition else ""),
        cause=f"{asset}: {key.name} has failed",
        owner=context.owners([key.asset_key]),
        partition=partition,
        detail=one_line(evaluation.result.description or ""),
        link=context.asset_link(key.asset_key, "checks"),
        since=from_dagster(evaluation.timestamp),
        run_id=evaluation.run_id,
    )
