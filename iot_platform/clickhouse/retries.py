"""Retry after transient errors: a few times, with growing pauses."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from clickhouse_connect.driver.exceptions import Error, OperationalError

from iot_platform.clickhouse.client import TRANSIENT_CODES
from iot_platform.errors import ServerError

ATTEMPTS = 6
FIRST_PAUSE_S = 0.5

T = TypeVar("T")


def is_transient(error: Error | ServerError) -> bool:
    """Whether another attempt may succeed: the server is busy or starting, or did not answer at all."""
    if isinstance(error, ServerError):
        return isinstance(error.__cause__, Error) and is_transient(error.__cause__)
    return error.code in TRANSIENT_CODES or (error.code is None and isinstance(error, OperationalError))


def with_retries(action: Callable[[], T]) -> T:
    """Call ``action`` until it succeeds; raises its error if that is not transient, or after ATTEMPTS attempts."""
    for attempt in range(ATTEMPTS):
        try:
            return action()
        except Error as error:
            if attempt == ATTEMPTS - 1 or not is_transient(error):
                raise
        # Jitter: writers that failed together do not retry together.
        time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.0))
    raise AssertionError("unreachable")
