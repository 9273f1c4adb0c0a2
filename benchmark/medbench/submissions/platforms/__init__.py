"""Platforms: one file each, with its interface, its rules, its limits and the steps of an upload.

Third parties add theirs through the entry-point group ``medbench.platforms``.
"""

from __future__ import annotations

import inspect
from fnmatch import fnmatch

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry
from medbench.submissions.platforms.base import Platform

_HERE = "medbench.submissions.platforms"
REGISTRY: Registry[type[Platform]] = Registry(
    "platform",
    {
        "grand-challenge": f"{_HERE}.grand_challenge:GrandChallenge",
        "codalab": f"{_HERE}.codalab:Codalab",
        "codabench-iugc2025": f"{_HERE}.iugc2025:IUGC2025Codabench",
        "hc18": f"{_HERE}.hc18:HC18Table",
        "kpis-patch": f"{_HERE}.kpis:KPIsPatch",
        "kpis-slide": f"{_HERE}.kpis:KPIsSlide",
        "brats-docker": f"{_HERE}.brats:BraTSDocker",
        "brats-mlcube": f"{_HERE}.brats:BraTSMLCube",
        "medperf": f"{_HERE}.brats:MedPerf",
        "synapse-docker": f"{_HERE}.brats:SynapseDocker",
    },
)


def register_platform(name: str, platform: type[Platform]) -> type[Platform]:
    """Register a platform under its name.

    An installed package registers by an entry point of the group ``medbench.platforms``, with the platform's
    name and the class as object, and is imported on first use.

    Raises:
        MedbenchError: ``platform.class`` for what is no :class:`Platform` or calls itself otherwise,
            ``platform.clash`` when the name is taken.
    """
    _checked(name, platform)
    REGISTRY.add(name, platform)
    return platform


def _checked(name: str, platform: type[Platform]) -> type[Platform]:
    if not (isinstance(platform, type) and issubclass(platform, Platform)):
        raise MedbenchError(
            "platform.class",
            f"What is registered as platform '{name}' is no subclass of Platform.",
            "Derive it from medbench.submissions.platforms.base.Platform.",
        )
    if platform.name != name:
        raise MedbenchError(
            "platform.class",
            f"The platform registered as '{name}' calls itself '{platform.name}'.",
            "Give both the same name.",
        )
    if inspect.isabstract(platform):
        lacking = ", ".join(sorted(platform.__abstractmethods__))
        raise MedbenchError(
            "platform.class",
            f"The platform '{name}' lacks {lacking}.",
            "medbench.submissions.platforms.base.Platform says what each method does.",
        )
    return platform


def list_platforms(pattern: str = "*") -> list[str]:
    """Names of the platforms that match a shell-style pattern."""
    return REGISTRY.names(pattern)


def load_platform(name: str) -> Platform:
    """The platform of that name.

    Raises:
        MedbenchError: ``platform.unknown`` with the nearest names.
    """
    return _checked(name, REGISTRY.get(name))()


def platform_for(challenge: str) -> str:
    """The platform on which a challenge is or was run.

    Raises:
        MedbenchError: ``platform.undecided`` when none names the challenge.
    """
    for name in list_platforms():
        if any(fnmatch(challenge, pattern) for pattern in load_platform(name).challenges):
            return name
    raise MedbenchError(
        "platform.undecided",
        f"No platform is known for {challenge}.",
        f"Choose one with --platform: {', '.join(list_platforms())}.",
    )
