"""The contract of a platform."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator

from medbench.core.errors import MedbenchError
from medbench.submissions.platforms import load_platform
from medbench.submissions.platforms.base import Platform
from medbench.testing.contract import require

ABSTRACT = ("serve", "stage", "examine", "steps")


def check_platform(platform: str | Platform) -> None:
    """Check a platform against the contract that ours keep in the suite.

    Its facts are complete and name their source; mounts are absolute, distinct and say what is writable; the
    template of a new submission is TOML; the parts that a rehearsal calls are there.

    Args:
        platform: a platform, or the name of a registered one.

    Raises:
        ContractError: listing what is broken.
        MedbenchError: ``platform.unknown``.
    """
    subject = load_platform(platform) if isinstance(platform, str) else platform
    require(f"platform {subject.name}", _problems(subject))


def _problems(platform: Platform) -> Iterator[str]:
    for fact in ("name", "title", "source"):
        if not str(getattr(platform, fact, "")).strip():
            yield f"it has no {fact}"
    paths = [mount.path for mount in platform.mounts]
    yield from (f"mount {path} is not absolute" for path in paths if not path.startswith("/"))
    yield from (f"two mounts are at {path}" for path in set(paths) if paths.count(path) > 1)
    outputs = [mount for mount in platform.mounts if mount.role == "output"]
    if platform.delivers == "image" and not outputs:
        yield "no mount takes the output"
    yield from (f"output {mount.path} is not writable" for mount in outputs if not mount.writable)
    if platform.delivers != "image" and not platform.bundle_files:
        yield f"it delivers a {platform.delivers} and names no file of it"
    for name in ABSTRACT:
        if getattr(getattr(type(platform), name), "__isabstractmethod__", False):
            yield f"'{name}' is not there"
    if not inspect.getdoc(type(platform)):
        yield "the class says in no word what it is"
    for challenge in platform.challenges:
        yield from _template_problems(platform, challenge)


def _template_problems(platform: Platform, pattern: str) -> Iterator[str]:
    from medbench.challenges import list_challenges, load_challenge

    for name in list_challenges(pattern)[:1]:
        try:
            tomllib.loads(platform.template(load_challenge(name)))
        except tomllib.TOMLDecodeError as error:
            yield f"the template for {name} is no TOML: {error}"
        except MedbenchError as error:
            yield f"the template for {name} fails: {error.message}"
