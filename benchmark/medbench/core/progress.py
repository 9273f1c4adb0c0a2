"""Progress of long work: the command line draws a bar, a script leaves it out."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """A receiver of progress, one piece of work at a time."""

    def start(self, title: str, total: int) -> None:
        """Begin a piece of work of ``total`` steps."""
        ...

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Count steps as done; ``note`` is the latest figure, such as a loss."""
        ...

    def finish(self) -> None:
        """End the work."""
        ...

    def start_part(self, title: str, total: int, position: int = 0) -> None:
        """Begin a part of one step, or resume it after ``position`` of its ``total`` steps."""
        ...

    def advance_part(self, steps: int = 1) -> None:
        """Count steps of the part as done."""
        ...

    def finish_part(self) -> None:
        """End the part."""
        ...

    def say(self, line: str) -> None:
        """Print one line of text."""
        ...


class SilentProgress:
    """A receiver that shows nothing."""

    def start(self, title: str, total: int) -> None:
        """Ignore."""

    def advance(self, steps: int = 1, note: str = "") -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""

    def start_part(self, title: str, total: int, position: int = 0) -> None:
        """Ignore."""

    def advance_part(self, steps: int = 1) -> None:
        """Ignore."""

    def finish_part(self) -> None:
        """Ignore."""

    def say(self, line: str) -> None:
        """Ignore."""
