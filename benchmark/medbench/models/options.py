"""Options that several models have, and errors for options that do not go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from medbench.core.errors import MedbenchError

ProgramForm = Literal["corrected", "published"]
"""``published`` computes what the authors' program does, ``corrected`` what their paper means."""
PROGRAM_FORMS: tuple[ProgramForm, ...] = ("corrected", "published")


def refuse_options(model: str, problems: Iterable[tuple[bool, str]]) -> None:
    """Raise an error for the first problem that applies.

    Args:
        model: model name.
        problems: for each whether it applies, and a clause that names the option and its fault.

    Raises:
        MedbenchError: ``model.option``.
    """
    for wrong, text in problems:
        if wrong:
            raise MedbenchError("model.option", f"{model}: {text}.", f"See 'medbench models show {model}'.")
