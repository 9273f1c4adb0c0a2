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
    """Data in ``folder``, else where a project declares them, else in ``MEDBENCH_DATA``, else the sample.

    Raises:
        MedbenchError: ``data.missing`` when ``folder`` is not there, ``sample.damaged`` for a sample that
            was thinned or edited.
    """
    if folder is not None:
        if not folder.is_dir():
            reason = "is a file, not a folder" if folder.exists() else "there is no such folder"
            raise MedbenchError("data.missing", f"{folder}: {reason}.", challenge.release.data_hint)
        return Data(folder, "sample" if is_sample(folder) else "real")
    if challenge.release.folder is not None:
        return resolve_data(challenge, challenge.release.folder, progress)
    default_folder = data_folder(challenge.release.data_set)
    if default_folder is not None:
        return resolve_data(challenge, default_folder, progress)
    root = os.environ.get("MEDBENCH_DATA")
    if root:
        progress.say(
            f"{root} has no folder {challenge.release.data_set}: the synthetic sample takes its place."
        )
    return Data(sample_folder(challenge, progress), "sample")


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
