"""Errors of the command line's parser in the form of all others: one line and a hint."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medbench.core.errors import MedbenchError

_NO_COMMAND = re.compile(r"No such command '([\w./:+-]+)'")
_PARSER = "Value error, "
"""What the parser puts before a message of its own."""
_NAMES = ["-m", "-c"]
"""Options of the model and the challenge, whose names are given without them."""
_EXCESS = re.compile(r"unexpected extra argument(?:\(s\)|s)? \(([^)]*)\)")


def asks_for_help(error: BaseException) -> bool:
    """Whether a parser's error is the help of a command that was given no words."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_error(error: Any, words: Sequence[str]) -> MedbenchError:
    """The error for words that the parser refuses.

    Args:
        error: of the parser: an option out of its range or of another kind, one that is missing or unknown.
        words: of the command line.
    """
    context = getattr(error, "ctx", None)
    hint = f"See '{context.command_path} --help'." if context is not None else "See 'medbench --help'."
    before_verbs = _before_verbs(error, context)
    if before_verbs:
        return _error("option.unknown", error.message, before_verbs)
    possible = sorted(getattr(error, "possibilities", None) or ())
    if possible:
        return _error("option.unknown", error.message, f"Did you mean {' or '.join(possible)}?")
    parameter = getattr(error, "param", None)
    option_value = None if parameter is None else _given(parameter, words)
    if option_value is None:
        return _error("option.usage", error.format_message(), _advice(error, context, words) or hint)
    name, value = option_value
    return _error("option.value", f"{name} {value}: {_expected(parameter, str(error.message))}", hint)


def _before_verbs(error: Any, context: Any) -> str:
    """Where an option of the program stands, given behind a verb that does not have it; else empty."""
    name = getattr(error, "option_name", None)
    if name is None or context is None or context.parent is None:
        return ""
    program = context.find_root()
    if name not in (spelling for parameter in program.command.params for spelling in parameter.opts):
        return ""
    verb = context.command_path.removeprefix(f"{program.command_path} ")
    return f"It stands before the verb: {program.command_path} {name} … {verb} …"


def _advice(error: Any, context: Any, words: Sequence[str]) -> str:
    """What was probably meant by a name in place of a command, or by names without any option."""
    if context is None:
        return ""
    name = _NO_COMMAND.match(error.message)
    if name and "Did you mean" not in error.message and "show" in getattr(context.command, "commands", {}):
        return f"For one of them: {context.command_path} show {name[1]}"
    excess = _EXCESS.search(error.message)
    values = excess[1].split() if excess is not None else []
    spellings = [name for parameter in context.command.params for name in parameter.opts]
    options = [name for name in spellings if name in _NAMES]
    if not 0 < len(values) <= len(options) or options[0] != "-m" or any(word[:1] == "-" for word in words):
        return ""
    pairs = zip(options, values, strict=False)
    return f"Values follow their options: {context.command_path} {' '.join(map(' '.join, pairs))}"


def _error(code: str, message: str, hint: str) -> MedbenchError:
    text = " ".join(message.split())
    return MedbenchError(code, text if text.endswith((".", "?", "!")) else f"{text}.", hint)


def _given(parameter: Any, words: Sequence[str]) -> tuple[str, str] | None:
    """The long spelling of an option and the last value that it was given, if any."""
    spellings = [*parameter.opts, *parameter.secondary_opts]
    values = []
    for place, word in enumerate(words):
        option, equals, value = word.partition("=")
        if option in spellings and option.startswith("-"):
            values += [value] if equals else list(words[place + 1 : place + 2])
    return (max(spellings, key=len), values[-1]) if values else None


def _expected(parameter: Any, message: str) -> str:
    """The value that an option expects: its range, or its kind by the parser's message."""
    kind, message = "whole number" if "integer" in message else "number", message.removeprefix(_PARSER)
    low, high = _bound(parameter, "min"), _bound(parameter, "max")
    if low is None and high is None:
        known_kind = any(word in message for word in ("integer", "number", "float"))
        return f"expected a {kind}" if known_kind else message
    if low is not None and high is not None:
        return f"expected a {kind} from {low:g} to {high:g}"
    return (
        f"expected a {kind} of {low:g} or more" if high is None else f"expected a {kind} of {high:g} or less"
    )


def _bound(parameter: Any, name: str) -> float | None:
    """A bound of an option, which versions of the parser keep at two places."""
    own = getattr(parameter, name, None)
    bound = own if own is not None else getattr(getattr(parameter, "type", None), name, None)
    return None if bound is None else float(bound)
