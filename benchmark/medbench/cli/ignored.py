"""Refusal of options of the command line that would have no effect."""

from __future__ import annotations

from collections.abc import Sequence

import typer


def stated(context: typer.Context, name: str) -> bool:
    """Whether the command line itself gives an option, by the name of its parameter."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def refuse_ignored(
    context: typer.Context, names: Sequence[str], reason: str, hint: str = "Leave it out."
) -> None:
    """Refuse the first of some options that the command line gives.

    Args:
        context: of the command.
        names: of the options' parameters.
        reason: why they have no effect, as the end of a sentence.
        hint: what to do about it.

    Raises:
        MedbenchError: ``option.ignored`` with the option as it is written.
    """
    from medbench.core.errors import MedbenchError

    for name in names:
        if stated(context, name):
            raise MedbenchError("option.ignored", f"{_spelt(context, name)} has no effect {reason}.", hint)


def _spelt(context: typer.Context, name: str) -> str:
    """The long spelling of an option."""
    own = next(parameter for parameter in context.command.params if parameter.name == name)
    return max(own.opts, key=len)
