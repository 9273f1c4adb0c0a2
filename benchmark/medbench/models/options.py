"""Errors for model options that do not go together."""

from __future__ import annotations

from collections.abc import Iterable

from medbench.core.errors import MedbenchError


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
