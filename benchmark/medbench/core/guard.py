"""Calls on one case: whatever they raise, the other cases are not lost."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from medbench.core.errors import MedbenchError
from medbench.core.text import first_line

FOREIGN = "case.failed"

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a call on a case gave nothing.

    Attributes:
        code: of a :class:`MedbenchError`; ``case.failed`` for any other exception.
        reason: one line for the record.
        hint: what to do about it; may be empty.
    """

    code: str
    reason: str
    hint: str = ""


def describe(error: BaseException) -> str:
    """An error as one line for a record: ours as they are, foreign ones with their type."""
    if isinstance(error, MedbenchError):
        return error.message
    return f"{type(error).__name__}: {first_line(error)}"


def guarded(case: str, call: Callable[[], T]) -> T | Failure:
    """Result of a call, or the :class:`Failure` that it ended with.

    A plug-in that ends its own process (``SystemExit``) and a panic of a library in Rust fail the case as
    well; only an interruption by the user goes through.

    Args:
        case: id of the case, for the log.
        call: on this case alone.

    >>> guarded("a", lambda: 1 // 0)
    Failure(code='case.failed', reason='ZeroDivisionError: integer division or modulo by zero', hint='')
    """
    try:
        return call()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        logger.debug("%s failed", case, exc_info=error)
        if isinstance(error, MedbenchError):
            return Failure(error.code, error.message, error.hint)
        return Failure(FOREIGN, describe(error))
