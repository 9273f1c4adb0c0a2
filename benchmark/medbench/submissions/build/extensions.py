"""Plug-ins of a submission: files travel in the container, what cannot travel is refused by name."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from medbench.challenges import challenge_factory, load_challenge
from medbench.models import model_entry
from medbench.models.registry import factory_of
from medbench.submissions.build.own_parts import is_declared
from medbench.submissions.findings import Finding, error
from medbench.submissions.platforms.base import Platform

_TRAVELS = ("medbench.", "medbench_plugin_")
_PROGRAM = "is a program of its own"


def lint_extensions(model: str, challenge: str, platform: Platform | None = None) -> Iterator[Finding]:
    """Findings on what the container would not hold, or a platform would not hand over.

    Args:
        model: of the submission; one of an installed package, and a program, do not travel.
        challenge: of the submission; one of an installed package does not travel.
        platform: of the submission, if it is known: one with the files of another challenge serves none.
    """
    program = _PROGRAM if model_entry(model).local in ("docker", "command") else ""
    reasons = {
        f"model {model}": program or _package(factory_of(model)),
        f"challenge {challenge}": _package(challenge_factory(challenge)),
    }
    for what, reason in reasons.items():
        if reason:
            yield error(
                "submission.plugin",
                f"The {what} {reason}, which the container would not hold.",
                "Give it as a file with --plugin, whose source travels.",
            )
    if platform is not None and not platform.reads(load_challenge(challenge)):
        yield other_files(platform, challenge)


def other_files(platform: Platform, challenge: str) -> Finding:
    """The finding on a platform that hands over files of other challenges than this one."""
    files = f"{platform.title} hands over files as of {', '.join(platform.challenges)}"
    if is_declared(challenge):
        return error(
            "submission.declared",
            f"{files}, and {challenge} is declared in medbench.toml.",
            "Choose --platform grand-challenge, which hands over single images and volumes.",
        )
    return error(
        "platform.other",
        f"{files}, not of {challenge}.",
        "'medbench submit platforms' lists which platform takes which challenge.",
    )


def _package(factory: Any) -> str:
    """Why the source of a factory does not travel; empty where it does."""
    module = _module(factory)
    return (
        "" if module.startswith(_TRAVELS) else f"comes from the installed package {module.partition('.')[0]}"
    )


def _module(factory: Any) -> str:
    while isinstance(factory, functools.partial):
        factory = factory.func
    return factory.partition(":")[0] if isinstance(factory, str) else str(factory.__module__)
