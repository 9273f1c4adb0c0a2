"""Plug-ins of a submission: files travel in the container, what cannot travel is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from medbench.challenges import REGISTRY, challenge_factory
from medbench.core.project import current_project
from medbench.models import model_entry
from medbench.models.registry import factory_of
from medbench.submissions.findings import Finding, error

_TRAVELS = ("medbench.", "medbench_plugin_")


def lint_extensions(model: str, challenge: str) -> Iterator[Finding]:
    """A finding for a model or challenge of an installed package, which the container would not hold."""
    origins = (("model", model, factory_of(model)), ("challenge", challenge, challenge_factory(challenge)))
    if challenge not in REGISTRY and challenge in current_project().data:
        yield error(
            "submission.declared",
            f"{challenge} is declared in medbench.toml, which the container would not hold.",
            "Write it as a challenge in a file for --plugin (docs/extending.md), whose source travels.",
        )
    entry = model_entry(model)
    if entry.local in ("file", "docker", "command"):
        yield error(
            "submission.local",
            f"{model} is an own file or program, which the container would not hold.",
            "Submit a Python class (-m my_net.py:MyNet), whose source travels, with --weights.",
        )
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
