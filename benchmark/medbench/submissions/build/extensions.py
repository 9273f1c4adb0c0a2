"""Plug-ins of a submission: files travel in the container, what cannot travel is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from medbench.challenges import challenge_factory
from medbench.models import model_entry
from medbench.models.registry import factory_of
from medbench.submissions.findings import Finding, error

_TRAVELS = ("medbench.", "medbench_plugin_")
_DECLARED = "medbench.challenges.declared"
_LOCAL = {
    "file": "is an exported network",
    "docker": "is a program of its own",
    "command": "is a program of its own",
}


def lint_extensions(model: str, challenge: str) -> Iterator[Finding]:
    """A finding for a model or challenge that the container would not hold: of a package, or declared."""
    reasons = {
        f"model {model}": _LOCAL.get(model_entry(model).local, "") or _package(factory_of(model)),
        f"challenge {challenge}": _package(challenge_factory(challenge)),
    }
    for what, reason in reasons.items():
        if reason:
            yield error(
                "submission.plugin",
                f"The {what} {reason}, which the container would not hold.",
                "Give it as a file with --plugin, whose source travels.",
            )


def _package(factory: Any) -> str:
    """Why the source of a factory does not travel; empty where it does."""
    module = _module(factory)
    if module.startswith(_DECLARED):
        return "is declared in medbench.toml"
    return (
        "" if module.startswith(_TRAVELS) else f"comes from the installed package {module.partition('.')[0]}"
    )


def _module(factory: Any) -> str:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory.partition(":")[0] if isinstance(factory, str) else str(factory.__module__)
