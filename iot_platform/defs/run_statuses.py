"""Which statuses a run has while it waits, before its end, and after it."""

from __future__ import annotations

import dagster as dg

ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
WAITING = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED]
# Waiting, starting, running or being cancelled.
NOT_ENDED = [status for status in dg.DagsterRunStatus if status not in ENDED]
