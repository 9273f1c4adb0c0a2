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

    What follows a piece that fails is left undone. As a context manager it ends with all other work done,
    also after an exception of the block.
    """

    def __init__(self) -> None:
        self._due: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._begun: deque[Future[None]] = deque()
        self._has_failed = False
        self._thread = ThreadPoolExecutor(1)

    def add(self, work: Callable[..., None], *arguments: Any) -> None:
        """Hand over a piece of work, which waits for :meth:`begin`."""
        self._due.append((work, arguments))

    def begin(self) -> None:
        """Let the thread do what it was given so far; an exception of earlier work is raised here."""
        self._submit()
        while self._begun and (len(self._begun) > MOST_WAITING or self._begun[0].done()):
            self._begun.popleft().result()

    def _submit(self) -> None:
        while self._due:
            self._begun.append(self._thread.submit(self._do, *self._due.popleft()))

    def _do(self, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self._has_failed:
            return
        try:
            work(*arguments)
        except BaseException:
            self._has_failed = True
            raise

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._submit()
        self._thread.shutdown()
        if error is None:
            for work in self._begun:
                work.result()
