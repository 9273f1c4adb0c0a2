"""The page of a comparison, as by ``medbench compare --html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.leaderboards.compare import Difference
from medbench.leaderboards.compare_page import write_comparison
from medbench.records.figures import Figure, case_figures
from medbench.records.reading import EVIDENCE, Run
from medbench.running.report import cases_of


def comparison(
    path: Path,
    runs: Sequence[Run],
    differences: Sequence[Difference],
    legend: Sequence[str],
    data: Path | None = None,
) -> Path:
    """Write the page; it shows images where data and predictions of all runs are here.

    Args:
        path: of the page.
        runs: two or more, of the same cases.
        differences: of the runs.
        legend: what the tests say and what they cannot.
        data: folder of the data; found as for a report if not given.

    Raises:
        MedbenchError: ``data.missing`` or ``report.other_data`` where ``data`` is given and not theirs.
    """
    challenge = load_challenge(runs[0].record.challenge.name)
    cases = {}
    if all((run.folder / "predictions").is_dir() and run.folder.parent.name != EVIDENCE for run in runs):
        try:
            cases = {case.id: case for case in cases_of(runs[0], challenge, data, SilentProgress())}
        except MedbenchError:
            if data is not None:
                raise

    def illustrate(run: Run, names: Sequence[str]) -> list[Figure]:
        rows = [run.rows[name] for name in names]
        return case_figures(challenge, cases, rows, run.folder / "predictions", {})

    write_comparison(path, runs, differences, legend, illustrate if cases else None)
    return path
