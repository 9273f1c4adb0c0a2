"""Data of a run: a folder of the release, or the challenge's synthetic sample."""

from __future__ import annotations

import os
from fnmatch import fnmatch
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.errors import MedbenchError
from medbench.core.folders import data_folder
from medbench.core.progress import Progress
from medbench.running.samples import is_sample, sample_folder


def resolve_data(challenge: Challenge, folder: Path | None, progress: Progress) -> Data:
    """Data in the folder of :func:`release_folder`, else the sample, which is drawn where it is not there.

    Raises:
        MedbenchError: as :func:`release_folder`; ``sample.damaged`` for a sample that was thinned or edited.
    """
    place = release_folder(challenge, folder)
    if place is not None:
        return Data(place, "sample" if is_sample(place) else "real")
    root = os.environ.get("MEDBENCH_DATA")
    if root:
        progress.say(
            f"{root} has no folder {challenge.release.data_set}: the synthetic sample takes its place."
        )
    return Data(sample_folder(challenge, progress), "sample")


def release_folder(challenge: Challenge, folder: Path | None) -> Path | None:
    """The folder that is given, else where a project declares it, else in ``MEDBENCH_DATA``, else ``None``.

    Raises:
        MedbenchError: ``data.missing`` when the folder that is given or declared is not there.
    """
    place = folder or challenge.release.folder or data_folder(challenge.release.data_set)
    if place is not None and not place.is_dir():
        reason = "is a file, not a folder" if place.exists() else "there is no such folder"
        raise MedbenchError("data.missing", f"{place}: {reason}.", challenge.release.data_hint)
    return place


def choose_cases(cases: list[Case], pattern: str) -> list[Case]:
    """Cases whose id matches a shell-style pattern.

    Raises:
        MedbenchError: ``case.none``.
    """
    matching = [case for case in cases if fnmatch(case.id, pattern)]
    if not matching:
        raise MedbenchError(
            "case.none", f"No case matches '{pattern}'.", f"Cases are named like {cases[0].id}."
        )
    return matching
