"""Which statuses a run has after its end, and which before it."""

from __future__ import annotations

import dagster as dg

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
# Waiting, starting, running or being cancelled.
NOT_ENDED = [status for status in dg.DagsterRunStatus if status not in ENDED]
