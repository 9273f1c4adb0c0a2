"""Scoring of a phase of grand-challenge again, from the downloads of its page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import Progress
from medbench.running.data import resolve_data
from medbench.submissions.host.serving import collect_jobs


@dataclass(frozen=True, slots=True)
class Phase:
    """The predictions of a phase, with the names of the challenge.

    Attributes:
        folder: of the predictions, beside the list of jobs.
        notes: lines on cases that cannot be scored and on jobs that were left out.
    """

    folder: Path
    notes: tuple[str, ...]


def collect_phase(
    path: Path, challenge: str, data: Path | None, split: str | None, progress: Progress
) -> Phase:
    """The predictions of a phase, from ``predictions.json`` with the outputs in ``<pk>/output/…`` beside it.

    Args:
        path: the file.
        challenge: whose phase it was.
        data: its data, as for ``medbench evaluate``.
        split: the phase's cases; the challenge's default if not given.
        progress: told where the data are.

    Raises:
        MedbenchError: ``predictions.missing`` without the file, ``input.predictions`` for a list of jobs that
            cannot be read, ``host.names`` for cases that jobs cannot be told apart by, and as
            :func:`resolve_data`.
    """
    contest = load_challenge(challenge)
    if not path.is_file():
        raise MedbenchError(
            "predictions.missing", f"{path}: there is no such file.", "Check --predictions-json."
        )
    phase_split = split or contest.release.default_split
    contest.release.check_split(phase_split)
    cases = contest.cases(resolve_data(contest, data, progress).root, phase_split)
    folder = path.with_suffix(".predictions")
    shutil.rmtree(folder, ignore_errors=True)
    reasons, strays = collect_jobs(contest, cases, path, folder)
    return Phase(folder, tuple(_notes(reasons, strays)))


def _notes(reasons: dict[str, str], strays: list[str]) -> Iterator[str]:
    yield from (f"{case}: {reason}" for case, reason in reasons.items() if reason)
    yield from strays
