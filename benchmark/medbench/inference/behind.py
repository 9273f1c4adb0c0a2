"""Work in a thread of its own, in the order in which it is handed over."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

MOST_WAITING = 16
"""Pieces of work that have begun to wait for the thread, as where the disk is slow."""


class Behind:
    """A thread that does what it is given, one piece after another, from when it is told to begin.

    As a context manager it ends with all of the work done, also after an exception.
    """

    def __init__(self) -> None:
        self._due: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._begun: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1)

    def add(self, work: Callable[..., None], *arguments: Any) -> None:
        """Hand over a piece of work, which waits for :meth:`begin`."""
        self._due.append((work, arguments))

    def begin(self) -> None:
        """Let the thread do what it was given so far; an exception of earlier work is raised here."""
        while self._due:
            work, arguments = self._due.popleft()
            self._begun.append(self._thread.submit(work, *arguments))
        while len(self._begun) > MOST_WAITING:
            self._begun.popleft().result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.begin()
        finally:
            self._thread.shutdown()
        if error is None:
            for work in self._begun:
                work.result()
