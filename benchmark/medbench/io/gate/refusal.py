"""Why a foreign file does not enter a score, as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError

COPY_AGAIN = "Copy the file again from its source."


class Reject(Exception):
    """What a parser or decoder says of bytes that it cannot take; it knows no path.

    Attributes:
        code: stable dotted identifier.
        facts: what is wrong with the bytes, without the file's name.
        hint: what to do about it.
    """

    def __init__(self, code: str, facts: str, hint: str = COPY_AGAIN) -> None:
        super().__init__(facts)
        self.code = code
        self.facts = facts
        self.hint = hint


def corrupt(facts: str) -> Reject:
    """The rejection of a damaged file."""
    return Reject("file.corrupt", facts)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A foreign file that does not enter.

    Attributes:
        code: stable dotted identifier, e.g. ``file.corrupt``.
        path: the file, relative to its root.
        facts: what is wrong, as the end of a sentence that begins with the file's name.
        hint: what to do about it.
    """

    code: str
    path: str
    facts: str
    hint: str

    def error(self, root: Path | None = None) -> MedbenchError:
        """The error that a person reads; with ``root``, it names the whole path."""
        name = self.path if root is None else root / self.path
        return MedbenchError(self.code, f"{name}: {self.facts}.", self.hint)


def refusal_of(reject: Reject, path: str, unreadable: str) -> Refusal:
    """What a rejection means for the file at ``path``; a damaged one is ``unreadable`` (a phrase)."""
    damaged = reject.code == "file.corrupt"
    facts = f"{unreadable} ({reject.facts})" if damaged else reject.facts
    return Refusal(reject.code, path, facts, reject.hint)
