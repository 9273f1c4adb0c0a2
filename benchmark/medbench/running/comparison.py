"""The page of a comparison, as by ``medbench compare --html``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges import load_challenge
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.text import counted
from medbench.leaderboards.compare import Difference
from medbench.leaderboards.compare_page import write_comparison
from medbench.records.figures import Figure, case_figures
from medbench.records.reading import Run
from medbench.running.report import cases_of


def comparison(
    path: Path,
    runs: Sequence[Run],
    differences: Sequence[Difference],
    legend: Sequence[str],
    data: Path | None = None,
    predictions: Sequence[Path] = (),
) -> Path:
    """Write the page; it shows images where data and predictions of all runs are here.

    Args:
        path: of the page.
        runs: two or more, of the same cases.
        differences: of the runs.
        legend: what the tests say and what they cannot.
        data: folder of the data; found as for a report if not given.
        predictions: folder of each run's predictions; those in the run folders if not given.

    Raises:
        MedbenchError: ``compare.predictions`` for too few folders, ``predictions.missing``; ``data.missing``
            or ``report.other_data`` where ``data`` is given and not theirs.
    """
    challenge = load_challenge(runs[0].record.challenge.name)
    if predictions and len(predictions) != len(runs):
        raise MedbenchError(
            "compare.predictions",
            f"{counted(len(predictions), 'folder')} of predictions for {counted(len(runs), 'run')}.",
            "Give --prediction-folder once for each run, in their order.",
        )
    absent = next((folder for folder in predictions if not folder.is_dir()), None)
    if absent is not None:
        raise MedbenchError(
            "predictions.missing", f"{absent}: there is no such folder.", "Check --prediction-folder."
        )
    folders = {
        run.title: folder
        for run, folder in zip(runs, predictions or [run.folder / "predictions" for run in runs], strict=True)
    }
    cases = {}
    if all(folder.is_dir() for folder in folders.values()):
        try:
            cases = {case.id: case for case in cases_of(runs[0], challenge, data, SilentProgress())}
        except MedbenchError:
            if data is not None:
                raise

    def illustrate(run: Run, names: Sequence[str]) -> list[Figure]:
        rows = [run.rows[name] for name in names]
        return case_figures(challenge, cases, rows, folders[run.title], {})

    write_comparison(path, runs, differences, legend, illustrate if cases else None)
    return path
