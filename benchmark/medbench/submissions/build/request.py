"""Requests for build contexts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """The request for a build context.

    Attributes:
        file: the submission's TOML.
        data: folder of the release; the synthetic sample if not given.
        split: split to predict; the platform's, else the challenge's default if not given.
        output: folder of builds.
        train: fit weights to the synthetic sample where ``auto`` finds none.
        registry: where the image is pushed, in place of the submission file's.
        stamp: a label's text, for platforms that refuse an image they have; without it the same context gives
            the same image.
    """

    file: Path
    data: Path | None = None
    split: str | None = None
    output: Path = Path("build")
    train: bool = False
    registry: str = ""
    stamp: str = ""
