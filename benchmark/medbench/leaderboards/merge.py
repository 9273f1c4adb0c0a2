"""Boards of several machines joined into one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medbench.core.errors import MedbenchError
from medbench.core.seals import Line
from medbench.leaderboards.results import (
    RESULTS,
    changed_rows,
    check_against_runs,
    evidence_folder,
    keep_evidence,
    measured_challenges,
    read_lines_of_rows,
)
from medbench.profiling.records import PROFILES, add_profiles, read_profiles
from medbench.records.agreement import differing
from medbench.records.reading import RECORD

_RESULT = ("metrics", "counts", "manifest_sha256", "split", "data")
"""Entries that the key decides: the same run says the same on every machine."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Result of a merge for one challenge.

    Attributes:
        challenge: its name.
        new: number of new rows.
        old: number of rows that were there already.
        refusal: why nothing of this challenge was written; ``None`` where it was.
    """

    challenge: str
    new: int
    old: int
    refusal: MedbenchError | None = None


def merge(leaderboards: Path, others: Sequence[Path]) -> list[Merged]:
    """Add the rows of other leaderboards with their evidence, and their profiles; the pages are written anew.

    A row that is here already stays as it is. A challenge that cannot be merged leaves the others alone.

    Args:
        leaderboards: folder that gets the rows.
        others: folders of leaderboards of other machines.

    Raises:
        MedbenchError: ``leaderboard.empty`` for a folder without rows and profiles; where no challenge can be
            merged, ``challenge.unknown``, ``leaderboard.damaged``, ``leaderboard.disagrees`` or
            ``run.damaged`` for one that was edited, ``leaderboard.conflict`` where one key has two results.
    """
    for other in others:
        if not measured_challenges(other) and not (other / PROFILES).is_file():
            reason = "holds no results" if other.is_dir() else "there is no such folder"
            raise MedbenchError("leaderboard.empty", f"{other}: {reason}.", "Give a folder of leaderboards.")
    names = sorted({name for other in others for name in measured_challenges(other)})
    results = []
    for name in names:
        try:
            results.append(_merge_challenge(leaderboards, others, name))
        except MedbenchError as error:
            results.append(Merged(name, 0, 0, error))
    refusals = [one.refusal for one in results if one.refusal is not None]
    if refusals and len(refusals) == len(results):
        raise refusals[0]
    for other in others:
        if profiles := read_profiles(other):
            keys = {profile.key for profile in read_profiles(leaderboards)}
            add_profiles(leaderboards, [profile for profile in profiles if profile.key not in keys])
    return results


def _merge_challenge(leaderboards: Path, others: Sequence[Path], challenge: str) -> Merged:
    new = old = 0
    with changed_rows(leaderboards, challenge) as lines:
        copies = []
        for other in others:
            path = other / challenge / RESULTS
            for line in read_lines_of_rows(path):
                key = str(line.row["key"])
                if key in lines:
                    _refuse_conflict(path, line, lines[key])
                    old += 1
                    continue
                evidence = evidence_folder(other, challenge, key)
                if (evidence / RECORD).is_file():
                    check_against_runs(path, line, None)
                    copies.append((evidence, evidence_folder(leaderboards, challenge, key)))
                lines[key] = line
                new += 1
        for source, target in copies:
            keep_evidence(source, target)
    return Merged(challenge, new, old)


def _refuse_conflict(path: Path, line: Line, here: Line) -> None:
    """Refuse a row whose key has another result here.

    Raises:
        MedbenchError: ``leaderboard.conflict`` naming the cell.
    """
    theirs, own = ({name: row.get(name) for name in _RESULT} for row in (line.row, here.row))
    for cell, _, _ in differing(theirs, own):
        key = str(line.row["key"])[:8]
        raise MedbenchError(
            "leaderboard.conflict",
            f"{path}, line {line.number}: the row {key} differs in {cell} from the row here.",
            "Verify both leaderboards (medbench leaderboard verify), and take the wrong row out.",
        )
