"""Refusing options that do not go together, in one form for every model."""

from __future__ import annotations

from collections.abc import Iterable

from medbench.core.errors import MedbenchError


def refuse_options(model: str, problems: Iterable[tuple[bool, str]]) -> None:
    """Raise the first problem that is there.

    Args:
        model: name of the model.
        problems: for each whether it is there, and what is wrong as a clause.

    Raises:
        MedbenchError: ``model.option``.
    """
    for wrong, text in problems:
        if wrong:
            raise MedbenchError("model.option", f"{model}: {text}.", f"See 'medbench models show {model}'.")
