"""Names of images in registries, and the commands that push images.

Source of the grammar: the reference format of the distribution project, which docker and podman enforce: a
host with an optional port, then components of lower-case letters, digits and single separators.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from medbench.submissions.description import Submission
from medbench.submissions.findings import Finding, error, warning
from medbench.submissions.platforms.base import SavedArchive

OWN = "medbench"
"""Before the names of images that are built here."""
SYNAPSE = "docker.synapse.org"
PLACEHOLDER = "REGISTRY"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}\.)*{_LABEL}(?::\d+)?")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
_LONGEST = 255
_NOT_LOWER = "'{}' may hold lower-case letters, digits and single . _ - between them only"
_EXAMPLE = "e.g. docker.synapse.org/syn123 or docker.io/USER in lower case"
_ADVICE = f"Set registry in the submission file, or give --registry, {_EXAMPLE}."


def lint_registry(registry: str, name: str, *, obligatory: bool) -> Iterator[Finding]:
    """Findings on the registry of an image.

    Args:
        registry: as the submission file or ``--registry`` gives it; empty: none.
        name: name of the image in the registry.
        obligatory: the platform pulls the image from a registry.
    """
    if not registry:
        if obligatory:
            text = "No registry is given: commands and files name an image that nobody can pull."
            yield warning("image.registry", text, _ADVICE)
        return
    reason = bad_registry(registry, name)
    if reason:
        yield error("image.registry", f"registry = {registry}: {reason}.", _ADVICE)


def bad_registry(registry: str, name: str) -> str:
    """Reason why engines refuse ``registry/name``; empty for a valid name.

    >>> bad_registry("docker.synapse.org/synPROJECT", "a")
    "'synPROJECT' may hold lower-case letters, digits and single . _ - between them only"
    >>> bad_registry("docker.io/somebody", "a")
    ''
    """
    if "://" in registry:
        return "an image name has no scheme"
    host, *components = registry.split("/")
    is_host = "." in host or ":" in host or host == "localhost"
    if is_host and not _HOST.fullmatch(host):
        return f"'{host}' is no name of a host"
    for component in [*([] if is_host else [host]), *components, *name.partition(":")[0].split("/")]:
        if not _COMPONENT.fullmatch(component):
            return _NOT_LOWER.format(component)
    if host == SYNAPSE and not (components and re.fullmatch(r"syn\d+", components[0])):
        return "Synapse's registry holds images by project, docker.synapse.org/syn and its number"
    if len(f"{registry}/{name}") > _LONGEST:
        return f"is longer than {_LONGEST} letters with the image's name"
    return ""


def bad_image(image: str) -> str:
    """Reason why engines refuse the name of an image; empty for a valid name.

    >>> bad_image("docker.io/me/a:1"), bad_image("python:3.11")
    ('', '')
    >>> bad_image("Me/a:1")
    "'Me' may hold lower-case letters, digits and single . _ - between them only"
    """
    registry, _, name = image.partition("@")[0].rpartition("/")
    component = name.partition(":")[0]
    if registry:
        return bad_registry(registry, name)
    return "" if _COMPONENT.fullmatch(component) else _NOT_LOWER.format(component)


def image_tag(name: str) -> str:
    """Name of an image as an engine builds it here and as its archive carries it.

    >>> image_tag("dssau-net-iugc2024").partition(":")[0]
    'medbench/dssau-net-iugc2024'
    """
    from medbench import __version__

    return f"{OWN}/{name}:{__version__}"


def pushed_image(submission: Submission) -> str:
    """Name of the image in its registry, or of the image here where no registry is given."""
    return f"{submission.registry}/{submission.name}:1" if submission.registry else image_tag(submission.name)


def pushing_steps(submission: Submission, archive: SavedArchive, name: str = "") -> Iterator[str]:
    """Commands that load the archive, name its image after the registry, and push it.

    Args:
        submission: the submission, with its registry.
        archive: the saved archive.
        name: name of the image in the registry, with its tag; empty: the submission's, tagged 1.
    """
    registry = submission.registry or PLACEHOLDER
    target = f"{registry}/{name or f'{submission.name}:1'}"
    host = registry.partition("/")[0]
    if not submission.registry:
        yield f"Choose where the image is pushed, and write it in place of {PLACEHOLDER}: {_EXAMPLE}."
    yield f"gunzip --stdout {archive.path} | docker load"
    yield f"docker tag {archive.image} {target}"
    if host == SYNAPSE:
        yield "With a personal access token of Synapse as the password:"
    yield f"docker login {host}" if "." in host else "docker login"
    yield f"docker push {target}"
