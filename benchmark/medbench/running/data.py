"""Which data a run uses: a real copy, or the challenge's synthetic sample; and its fingerprint."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from medbench.challenges.base import Challenge
from medbench.core.case import Case, Data
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json, write_json
from medbench.core.folders import cache_folder, data_folder
from medbench.core.progress import Progress


def resolve_data(challenge: Challenge, folder: Path | None, progress: Progress) -> Data:
    """The data in ``folder``, else in ``MEDBENCH_DATA/<data set>``, else the sample, drawn now if need be.

    Raises:
        MedbenchError: ``data.missing`` when ``folder`` is not there.
    """
    if folder is not None:
        if not folder.is_dir():
            raise MedbenchError(
                "data.missing", f"{folder}: there is no such folder.", challenge.release.data_hint
            )
        return Data(folder, "sample" if (folder / "medbench-sample.json").exists() else "real")
    configured = data_folder(challenge.release.data_set)
    if configured is not None:
        return resolve_data(challenge, configured, progress)
    return Data(sample_folder(challenge, progress), "sample")


def sample_folder(
    challenge: Challenge,
    progress: Progress,
    target: Path | None = None,
    options: Mapping[str, int] | None = None,
) -> Path:
    """The challenge's synthetic sample, complete; made in a temporary folder and renamed.

    Args:
        challenge: whose.
        progress: told where it goes.
        target: the folder; one in the user's cache if not given.
        options: of :attr:`Release.sample_options`, for a sample of another size.

    Raises:
        MedbenchError: ``data.target_exists`` when ``target`` is there and not this sample, or
            ``sample.option``.
    """
    version, settings = challenge.release.sample_version, dict(sorted((options or {}).items()))
    label = "".join(f"-{name}{value}" for name, value in settings.items())
    folder = target or cache_folder() / "samples" / f"{challenge.release.data_set}-{version}{label}"
    mark: dict[str, Any] = {"challenge": challenge.release.data_set, "sample_version": version}
    mark |= {"options": settings} if settings else {}
    mark["note"] = "synthetic, drawn by medbench"
    if (folder / "medbench-sample.json").exists() and read_json(folder / "medbench-sample.json") == mark:
        return folder
    if folder.exists() and any(folder.iterdir()):
        raise MedbenchError(
            "data.target_exists", f"{folder}: exists and is not this sample.", "Choose an empty folder."
        )
    progress.say(f"Drawing the synthetic sample of {challenge.title} into {folder} (once).")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".partial-"))
    try:
        challenge.release.draw_sample(temporary, settings)
        write_json(temporary / "medbench-sample.json", mark)
        temporary.chmod(0o755)
        if folder.exists():
            folder.rmdir()
        try:
            temporary.rename(folder)
        except OSError:
            if not (folder / "medbench-sample.json").exists():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


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
