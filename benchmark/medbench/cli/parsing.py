"""Parsing of values of command-line options."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.files import read_toml
from medbench.core.folders import at_home, unreplaced, with_tilde
from medbench.core.registry import unknown_name

_HOME = re.compile(r"(-\w|--[\w-]+=(?:[\w.]+=)?|[\w.]+=)((?:~[\w.-]*|\$HOME|\$\{HOME\})(?:/.*)?)", re.DOTALL)
"""What stands before a path in a word, and a path in a home folder."""
_VARIABLE = re.compile(
    r"(?:-\w|--[\w-]+=(?:[\w.]+=)?|[\w.]+=)?(?P<path>(?P<name>\$(?:\w+|\{\w+\}))/.*)", re.DOTALL
)
"""A word with a path that begins with a variable."""


def parse_settings(pairs: Sequence[str], example: str = "--set n_win=8") -> dict[str, Any]:
    """Settings from ``name=value`` pairs, with values as JSON where they parse, else as text.

    Args:
        pairs: words of the command line.
        example: of the option that they follow, for the hint.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise MedbenchError("option.malformed", f"'{pair}' is not name=value.", f"For example {example}.")
        if name.strip() in settings:
            raise MedbenchError(
                "option.malformed", f"{name.strip()} is given twice.", "Give each setting once."
            )
        try:
            settings[name.strip()] = json.loads(value)
        except json.JSONDecodeError:
            settings[name.strip()] = value
    return settings


def parse_devices(text: str) -> int | str:
    """Number of devices, or the text as it is, such as ``auto``.

    >>> parse_devices("2"), parse_devices("auto")
    (2, 'auto')
    """
    return int(text) if text.isdigit() else text


def parse_rename(text: str | None) -> tuple[str, str] | None:
    """The two texts of ``OLD=NEW``.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    if text is None:
        return None
    old, equals, new = text.partition("=")
    if not equals or not old:
        raise MedbenchError(
            "option.malformed", f"'{text}' is not OLD=NEW.", "For example --rename label_=out_."
        )
    return old, new


def parse_numbers(text: str, option: str) -> tuple[float, ...]:
    """Numbers from comma-separated text.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise MedbenchError(
            "option.malformed", f"{option} '{text}' is no list of numbers.", "E.g. 1,2,3."
        ) from error


def parse_whole(text: str, option: str) -> list[int]:
    """Whole numbers from comma-separated text.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    numbers = parse_numbers(text, option)
    if not all(number.is_integer() for number in numbers):
        raise MedbenchError(
            "option.malformed", f"{option} '{text}' is no list of whole numbers.", "E.g. 1,2,3."
        )
    return [int(number) for number in numbers]


def parse_spacing(text: str | None) -> tuple[float, ...] | Literal["pixel"] | None:
    """Spacing from text: ``pixel``, mm along each array axis, or ``None``.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    if text is None or text == "pixel":
        return None if text is None else "pixel"
    return parse_numbers(text, "--spacing")


def parse_sampling(text: str) -> Literal["every_15th", "two_a_second"]:
    """A rule of sampling frames.

    Raises:
        MedbenchError: ``sampling.unknown``.
    """
    if text == "every_15th":
        return "every_15th"
    if text == "two_a_second":
        return "two_a_second"
    raise unknown_name("sampling", text, ("every_15th", "two_a_second"))


def with_home(argument: str) -> str:
    """A word of the command line with ``~`` or ``$HOME`` spelt out behind ``--option=``, ``-o``, ``name=``.

    >>> with_home("--cases=a~/b")
    '--cases=a~/b'
    """
    place = _HOME.fullmatch(argument)
    return argument if place is None else place[1] + os.path.expanduser(with_tilde(place[2]))


def as_a_shell_does(argument: str) -> str:
    """A word of the command line with ``~/`` or ``$HOME/`` at its beginning spelt out, without a shell.

    Raises:
        MedbenchError: ``path.variable`` for a path that begins with another variable.

    >>> as_a_shell_does("a~/b")
    'a~/b'
    """
    word = with_tilde(argument)
    if (variable := _VARIABLE.match(argument)) is not None and word == argument:
        raise unreplaced(variable["path"], variable["name"])
    return os.path.expanduser(word) if word == "~" or word.startswith("~/") else argument


def parse_labels(text: str | None) -> dict[str, int]:
    """Label values by name from ``polyp=255,tool=128``.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    labels = {}
    for part in (text or "").split(",") if text else ():
        name, equals, value = part.partition("=")
        if not equals or not name.strip() or not value.strip().isdecimal():
            raise MedbenchError(
                "option.malformed", f"'{part}' is not NAME=VALUE.", "For example --labels polyp=255,tool=128."
            )
        labels[name.strip()] = int(value)
    return labels


def parse_contract(text: str) -> dict[str, Any]:
    """An input contract: of a TOML file, or from ``size=256,mean=0:0:0``.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    path = at_home(text)
    if path.is_file():
        try:
            return read_toml(path)
        except ValueError as error:
            raise MedbenchError("option.malformed", f"{path}: is no TOML: {error}.", "Correct it.") from error
    contract: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            raise MedbenchError(
                "option.malformed",
                f"--contract '{text}' is neither a file nor NAME=VALUE,….",
                "For example --contract size=256,channels=3,mean=0.5:0.5:0.5.",
            )
        contract[name.strip()] = _contract_value(name.strip(), value.strip())
    return contract


def _contract_value(name: str, value: str) -> Any:
    try:
        if name in ("mean", "std"):
            return [float(one) for one in value.split(":")]
        return json.loads(value)
    except ValueError:
        return value


def parse_classes(text: str | None) -> int | list[str] | None:
    """Number or names of classes.

    >>> parse_classes("2"), parse_classes("background,polyp")
    (2, ['background', 'polyp'])
    """
    if text is None:
        return None
    return int(text) if text.isdecimal() else [name.strip() for name in text.split(",")]


def parse_values(text: str | None) -> tuple[float, float] | None:
    """The values of black and white from ``0,4095``.

    Raises:
        MedbenchError: ``option.malformed``.
    """
    if text is None:
        return None
    numbers = parse_numbers(text, "--values")
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise MedbenchError(
            "option.malformed", f"--values '{text}' is no least and greatest value.", "For example 0,4095."
        )
    return numbers[0], numbers[1]
