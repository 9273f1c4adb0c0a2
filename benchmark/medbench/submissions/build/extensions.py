"""Plug-ins of a submission: files travel in the container, what cannot travel is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from medbench.challenges import REGISTRY
from medbench.models.registry import factory_of
from medbench.submissions.findings import Finding, error

_TRAVELS = ("medbench.", "medbench_plugin_")
_STAYS = {
    "medbench.challenges.declared": "is declared in medbench.toml",
    "medbench.models.local.exported": "is an exported network",
    "medbench.models.local.programs": "is a program of its own",
}


def lint_extensions(model: str, challenge: str) -> Iterator[Finding]:
    """A finding for a model or challenge that the container would not hold: of a package, or declared."""
    origins = (("model", model, factory_of(model)), ("challenge", challenge, REGISTRY.get(challenge)))
    for kind, name, factory in origins:
        module = _module(factory)
        reason = next((why for start, why in _STAYS.items() if module.startswith(start)), "")
        if not module.startswith(_TRAVELS):
            reason = f"comes from the installed package {module.partition('.')[0]}"
        if reason:
            yield error(
                "submission.plugin",
                f"The {kind} {name} {reason}, which the container would not hold.",
                "Give it as a file with --plugin, whose source travels.",
            )


def _module(factory: Any) -> str:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory.partition(":")[0] if isinstance(factory, str) else str(factory.__module__)
