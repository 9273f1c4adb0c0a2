"""Refusals of files, as values with code, facts and hint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError

COPY_AGAIN = "Copy the file again from its source."


class Reject(Exception):
    """The exception of parsers and decoders, which know bytes but no path.

    Attributes:
        code: stable dotted identifier.
        facts: what is wrong with the bytes, as the end of a sentence that begins with the file's name.
        hint: what to do about it.
    """

    def __init__(self, code: str, facts: str, hint: str = COPY_AGAIN) -> None:
        super().__init__(facts)
        self.code = code
        self.facts = facts
        self.hint = hint


def corrupt(facts: str) -> Reject:
    """The exception for damaged bytes."""
    return Reject("file.corrupt", facts)


@dataclass(frozen=True, slots=True)
class Refusal:
    """The refusal of a file.

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
        """The error for the user; with ``root`` it names the whole path."""
        name = self.path if root is None else root / self.path
        return MedbenchError(self.code, f"{name}: {self.facts}.", self.hint)


def refusal_of(reject: Reject, path: str, unreadable: str) -> Refusal:
    """The refusal of the file at ``path``; ``unreadable`` is the phrase for a damaged file."""
    is_corrupt = reject.code == "file.corrupt"
    facts = f"{unreadable} ({reject.facts})" if is_corrupt else reject.facts
    return Refusal(reject.code, path, facts, reject.hint)
