"""How long work reports its progress: the command line draws it, a script may ignore it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one task at a time."""

    def start(self, title: str, total: int) -> None:
        """A task begins."""
        ...

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Steps are done; ``note`` is the latest figure worth showing."""
        ...

    def finish(self) -> None:
        """The task ended."""
        ...

    def start_part(self, title: str, total: int, done: int = 0) -> None:
        """A long step of the task begins, or goes on after ``done`` of its own steps."""
        ...

    def advance_part(self, steps: int = 1) -> None:
        """Steps of the part are done."""
        ...

    def finish_part(self) -> None:
        """The part ended."""
        ...

    def say(self, line: str) -> None:
        """One line of plain information."""
        ...


class SilentProgress:
    """Reports nothing."""

    def start(self, title: str, total: int) -> None:
        """Ignore."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""

    def start_part(self, title: str, total: int, done: int = 0) -> None:
        """Ignore."""

    def advance_part(self, steps: int = 1) -> None:
        """Ignore."""

    def finish_part(self) -> None:
        """Ignore."""

    def say(self, line: str) -> None:
        """Ignore."""
