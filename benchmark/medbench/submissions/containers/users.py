"""Users of containers in rehearsals, and owners of their output folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medbench.submissions.platforms.base import RunsAs

ORDINARY = 1000


@dataclass(frozen=True, slots=True)
class ContainerUser:
    """The user of a container, and the owner of the folders that it writes.

    Attributes:
        runs_as: user by the platform's rule.
        uid: user id of the platform's program.
        gid: group id of the platform's program.
        rootless: whether the engine is run by an ordinary user, whose ids are mapped in the container.
    """

    runs_as: RunsAs = "image"
    uid: int = ORDINARY
    gid: int = ORDINARY
    rootless: bool = False

    @property
    def name(self) -> str:
        """Description of the user for the report."""
        return {
            "image": "the image's user",
            "root": "root, into the caller's folder",
            "caller": f"the caller's user {self.uid}:{self.gid}",
        }[self.runs_as]

    def options(self) -> Iterator[str]:
        """Options of an engine's ``run``.

        Root keeps the capabilities that engines give by default: without them it could not write into
        another's folder, as the platforms' programs let it.
        """
        if self.runs_as != "root":
            yield from ("--cap-drop", "ALL")
        if self.runs_as == "caller":
            yield from ("--user", f"{self.uid}:{self.gid}")
            if self.rootless:
                yield "--userns=keep-id"

    def hand_over(self, folder: Path) -> None:
        """Set owner and mode of a folder as the platform does."""
        if self.runs_as == "image":
            folder.chmod(0o777)
            return
        folder.chmod(0o755)
        if os.getuid() == 0:
            os.chown(folder, self.uid, self.gid)


IMAGES_OWN = ContainerUser()


def container_user(runs_as: RunsAs, engine: str) -> ContainerUser:
    """The user of a container by the platform's rule; the caller is the current user, or 1000 for root."""
    uid, gid = (os.getuid(), os.getgid()) if os.getuid() else (ORDINARY, ORDINARY)
    return ContainerUser(runs_as, uid, gid, rootless=engine == "podman" and os.getuid() != 0)
