"""Results that several viewers share: the same question on the same data is asked once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Answers(Generic[T]):
    """The newest answers by question. A question that is being asked is waited for; an error is not kept."""

    def __init__(self, size: int, timeout_s: float) -> None:
        """``size``: answers that are kept; ``timeout_s``: longest wait for the answer that another thread asks for."""
        self._size = size
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._answers: OrderedDict[Hashable, Future[T]] = OrderedDict()

    def get(self, question: Hashable, ask: Callable[[], T]) -> T:
        """The answer to ``question``, from ``ask`` when it is not known. Raises what ``ask`` raises."""
        with self._lock:
            known = self._answers.get(question)
            mine: Future[T] = Future()
            if known is None:
                self._answers[question] = mine
                if len(self._answers) > self._size:
                    self._answers.popitem(last=False)
            else:
                self._answers.move_to_end(question)
        if known is not None:
            return known.result(self._timeout_s)
        try:
            mine.set_result(ask())
        except BaseException as error:
            # Those who wait for it get the error; the next one asks again.
            with self._lock:
                if self._answers.get(question) is mine:
                    del self._answers[question]
            mine.set_exception(error)
            raise
        return mine.result()
