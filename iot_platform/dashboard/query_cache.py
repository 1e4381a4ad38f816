"""A cache of query results: viewers who send the same query on the same data share one run of it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class QueryCache(Generic[T]):
    """The most recent results by key. A caller waits for a result that another thread computes; errors are not kept."""

    def __init__(self, size: int, timeout_s: float) -> None:
        """``size``: results that are kept; ``timeout_s``: longest wait for a result that another thread computes."""
        self._size = size
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._results: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result for ``key``, from ``compute`` when it is not cached. Raises what ``compute`` raises."""
        with self._lock:
            known = self._results.get(key)
            mine: Future[T] = Future()
            if known is None:
                self._results[key] = mine
                if len(self._results) > self._size:
                    self._results.popitem(last=False)
            else:
                self._results.move_to_end(key)
        if known is not None:
            return known.result(self._timeout_s)
        try:
            mine.set_result(compute())
        except BaseException as error:
            # Threads that wait for it get the error; the next caller tries again.
            with self._lock:
                if self._results.get(key) is mine:
                    del self._results[key]
            mine.set_exception(error)
            raise
        return mine.result()
