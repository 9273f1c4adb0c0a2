"""Challenges: one file each, with its layout, labels, official scoring, declared rules and sample."""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.core.registry import Registry

REGISTRY: Registry[type[Challenge]] = Registry(
    "challenge",
    {
        "iugc2024": "medbench.challenges.iugc2024:IUGC2024",
    },
)


def list_challenges(pattern: str = "*") -> list[str]:
    """Names of the challenges that match a shell-style pattern."""
    return REGISTRY.names(pattern)


def load_challenge(name: str) -> Challenge:
    """The challenge of that name.

    Raises:
        MedbenchError: ``challenge.unknown`` with the nearest names.
    """
    return REGISTRY.get(name)()
