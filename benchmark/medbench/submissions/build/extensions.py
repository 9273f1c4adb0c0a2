"""Plug-ins of a submission: files travel in the container, what cannot travel is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from medbench.challenges import challenge_factory
from medbench.models.registry import factory_of
from medbench.submissions.findings import Finding, error

_TRAVELS = ("medbench.", "medbench_plugin_")


def lint_extensions(model: str, challenge: str) -> Iterator[Finding]:
    """A finding for a model or challenge of an installed package, which the container would not hold."""
    origins = (("model", model, factory_of(model)), ("challenge", challenge, challenge_factory(challenge)))
    for kind, name, factory in origins:
        module = _module(factory)
        if not module.startswith(_TRAVELS):
            yield error(
                "submission.plugin",
                f"The {kind} {name} comes from the installed package {module.partition('.')[0]}, which the "
                "container would not hold.",
                "Give it as a file with --plugin, whose source travels.",
            )


def _module(factory: Any) -> str:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory.partition(":")[0] if isinstance(factory, str) else str(factory.__module__)
