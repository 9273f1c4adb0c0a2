"""A prediction on disk: ``<video>.npz`` with ``scores`` of sampled frames, ``summary`` of all, or both.

``scores`` is ``(steps,)``, real numbers; ``summary`` is ``(frames,)``, 0 and 1. Where the summary is
missing, the official one is made of the scores; where the scores are missing, nothing can be correlated.
Several rows, ``(rows, …)``, are several answers whose mean counts; ``annotator`` then says, row by row, whose
answer it is (from 0), and that annotator is left out of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.layout import Timeline
from medbench.core.errors import MedbenchError
from medbench.core.text import agreeing, counted
from medbench.io.gate.expected import Expected
from medbench.io.hdf5 import read_arrays, write_arrays
from medbench.metrics.tasks.summaries import as_summary, check_length

SUFFIX = ".npz"
MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One summary of a video, with the scores that led to it.

    Attributes:
        summary: ``(frames,)``.
        scores: ``(steps,)``; ``None`` where only a summary was handed in.
        annotator: whose it is, from 0; ``None`` for nobody's.
    """

    summary: npt.NDArray[np.bool_]
    scores: npt.NDArray[np.float64] | None = None
    annotator: int | None = None


def write_answer(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> Path:
    """Write the arrays of an answer, atomically; equal arrays give equal bytes."""
    write_arrays(path, arrays)
    return path


def read_answers(path: Path, timeline: Timeline) -> list[Answer]:
    """Answers of a file, one or several.

    Raises:
        MedbenchError: ``prediction.empty`` without scores and summary, ``summary.not_binary``,
            ``summary.length``, ``scores.length``, ``scores.not_finite``, ``annotator.count``.
    """
    scores, summaries, annotators = (_array(path, name) for name in ("scores", "summary", "annotator"))
    if scores is None and summaries is None:
        raise MedbenchError(
            "prediction.empty",
            f"{path}: holds neither 'scores' nor 'summary'.",
            "Give scores of the sampled frames, or 0 and 1 for every frame.",
        )
    score_rows = (
        None if scores is None else [_checked_scores(path, row, timeline) for row in np.atleast_2d(scores)]
    )
    if summaries is None:
        assert score_rows is not None
        rows = [timeline.summary(row.astype(np.float32)) for row in score_rows]
    else:
        rows = [_checked_summary(path, row, timeline) for row in np.atleast_2d(summaries)]
    owners = _owners(path, annotators, len(rows))
    if score_rows is not None and len(score_rows) != len(rows):
        raise MedbenchError(
            "scores.length",
            f"{path}: holds {counted(len(score_rows), 'row')} of scores and {len(rows)} of summaries.",
            "Give as many of both.",
        )
    return [
        Answer(row, None if score_rows is None else score_rows[place], owners[place])
        for place, row in enumerate(rows)
    ]


def _array(path: Path, name: str) -> npt.NDArray[Any] | None:
    try:
        return read_arrays(path, name, expected=Expected("prediction", memory_bytes=MOST_BYTES))[name]
    except MedbenchError as error:
        if error.code == "data.array_missing":
            return None
        raise


def _checked_scores(path: Path, row: npt.NDArray[Any], timeline: Timeline) -> npt.NDArray[np.float64]:
    if row.dtype.kind not in "biuf" or row.shape != timeline.picks.shape:
        raise MedbenchError(
            "scores.length",
            f"{path}: holds scores of shape {row.shape}, the video has {len(timeline.picks)} sampled frames.",
            "Give one number a sampled frame.",
        )
    if not np.isfinite(row).all():
        raise MedbenchError("scores.not_finite", f"{path}: holds NaN or infinity as scores.", "Give numbers.")
    return row.astype(np.float64)


def _checked_summary(path: Path, row: npt.NDArray[Any], timeline: Timeline) -> npt.NDArray[np.bool_]:
    if row.ndim != 1 or row.dtype.kind not in "biuf":
        raise MedbenchError(
            "summary.length", f"{path}: holds a summary of shape {row.shape}.", "Give one 0 or 1 a frame."
        )
    check_length(timeline.n_frames, len(row), f"{path}: the summary")
    summary = np.zeros(timeline.n_frames, np.bool_)
    length = min(len(row), len(summary))
    summary[:length] = as_summary(row, f"{path}: the summary")[:length]
    return summary


def _owners(path: Path, annotators: npt.NDArray[Any] | None, rows: int) -> list[int | None]:
    if annotators is None:
        return [None] * rows
    numbers = annotators.reshape(-1)
    if len(numbers) != rows or numbers.dtype.kind not in "iu":
        summaries = agreeing(rows, "summary", "summaries")
        raise MedbenchError(
            "annotator.count",
            f"{path}: names {counted(len(numbers), 'annotator')} for {rows} {summaries}.",
            "Give the index of one annotator a row, from 0.",
        )
    return [int(number) for number in numbers]
