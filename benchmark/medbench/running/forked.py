"""A copy of this process that makes calls in their order: two pipes, and no thread between the two."""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import threading
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from medbench.core.guard import describe

MOST_AHEAD_BYTES = 16 << 10
"""Size of a call up to which it is sent before the last one has ended, where the pipe holds as much."""
_LENGTH_BYTES = 4
"""Length of a call, which stands before it in the pipe."""
_END = b""
"""Sent in place of a call, it ends the process."""


def spare_shared_objects() -> bool:
    """Leave the objects that copies will share out of the collector's rounds, which would copy their pages.

    Returns:
        Whether they were not left out before; then ``gc.unfreeze`` takes them in again.
    """
    if gc.get_freeze_count():
        return False
    gc.freeze()
    return True


class Forked:
    """A process that is forked from this one; one thread makes the calls and reads their results.

    Args:
        prepare: called in the process before anything else.
        initial: its arguments.
    """

    def __init__(self, prepare: Callable[..., None], initial: tuple[Any, ...]) -> None:
        calls, self._calls = multiprocessing.Pipe(duplex=False)
        self._replies, replies = multiprocessing.Pipe(duplex=False)
        self._most_ahead_bytes = min(MOST_AHEAD_BYTES, _pipe_bytes(self._calls) - _LENGTH_BYTES)
        self._due: deque[Reply] = deque()
        self._sending = threading.Lock()
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=_serve, args=(calls, replies, prepare, initial))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of sleeping threads, which a copy lacks
            self._process.start()
        for end in (calls, replies):
            end.close()
        atexit.register(self._process.kill)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **keywords: Any) -> Future[Any]:
        """Send a call; its result is read when it is asked for.

        Raises:
            BrokenProcessPool: where the process has ended.
        """
        reply = Reply(self)
        try:
            call = ForkingPickler.dumps((function, arguments, keywords))
        except Exception as error:  # noqa: BLE001 - belongs to whoever waits for the call
            reply.set_exception(error)
            return reply
        while self._due and len(call) > self._most_ahead_bytes:
            self._read()
        try:
            with self._sending:
                self._calls.send_bytes(call)
        except OSError as error:
            raise BrokenProcessPool("The process has ended.") from error
        self._due.append(reply)
        return reply

    def read_until(self, reply: Reply) -> None:
        """Read results, which come in the order of the calls, until the one of a call is there."""
        while not reply.done():
            self._read()

    def _read(self) -> None:
        try:
            answer = self._replies.recv_bytes()
        except (EOFError, OSError):
            while self._due:
                self._due.popleft().set_exception(BrokenProcessPool("The process ended in a call."))
            return
        reply = self._due.popleft()
        try:
            error, result = ForkingPickler.loads(answer)
        except Exception as unreadable:  # noqa: BLE001 - belongs to whoever waits for the call
            error, result = unreadable, None
        if error is None:
            reply.set_result(result)
        else:
            reply.set_exception(error)

    def close(self, wait: bool) -> None:
        """End the process after the calls that it was sent; it is waited for on request."""
        with self._sending:
            if not self._calls.closed:
                with contextlib.suppress(OSError):  # of a process that has ended
                    self._calls.send_bytes(_END)
                self._calls.close()
        if wait:
            self._process.join()
            atexit.unregister(self._process.kill)


def _pipe_bytes(end: Connection) -> int:
    """Bytes that a pipe of Linux holds: 64 KiB, or 8 where the user has many pipes (pipe(7))."""
    import fcntl

    return fcntl.fcntl(end, fcntl.F_GETPIPE_SZ)


class Reply(Future[Any]):
    """The result of a call in a forked process, read by the thread that asks for it."""

    def __init__(self, process: Forked) -> None:
        super().__init__()
        self._process = process

    def result(self, timeout: float | None = None) -> Any:
        """The call's result, or what it raised."""
        self._process.read_until(self)
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the call raised; ``None`` for nothing."""
        self._process.read_until(self)
        return super().exception(timeout)


def _serve(
    calls: Connection, replies: Connection, prepare: Callable[..., None], initial: tuple[Any, ...]
) -> None:
    gc.freeze()
    prepare(*initial)
    while True:
        try:
            call = calls.recv_bytes()
        except EOFError:
            return
        if call == _END:
            return
        replies.send_bytes(_answer(call))


def _answer(call: bytes) -> Any:
    """What a call raised and what it gave, ready to travel."""
    try:
        function, arguments, keywords = ForkingPickler.loads(call)
        result = function(*arguments, **keywords)
    except BaseException as error:  # noqa: BLE001 - belongs to whoever waits for the call
        return _failure(error)
    try:
        return ForkingPickler.dumps((None, result))
    except Exception as error:  # noqa: BLE001 - a result that cannot travel is the call's error
        return _failure(TypeError(f"its result cannot be sent: {error}"))


def _failure(error: BaseException) -> Any:
    """What a call raised, ready to travel; in words where its class cannot be made anew."""
    try:
        answer = ForkingPickler.dumps((error, None))
        ForkingPickler.loads(answer)
    except Exception:  # noqa: BLE001 - of whatever class the error is
        return ForkingPickler.dumps((RuntimeError(describe(error)), None))
    return answer
