"""One image of a video's summary: scores, annotators, shots, what was chosen, and F by annotator."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.answers import Answer
from medbench.challenges.families.video_summaries.layout import Annotations, Timeline
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.text import counted
from medbench.metrics.tasks.summaries import f_measures

WIDTH, MARGIN, CURVE, STRIP, GAP, THUMBNAIL = 1280, 12, 200, 26, 8, 90
REFERENCE_RGB, PREDICTION_RGB = (230, 159, 0), (86, 180, 233)
_LINE_RGB, _INK_RGB, _PAPER_RGB = (205, 205, 205), (40, 40, 40), (255, 255, 255)
_SUFFIXES = (".mp4", ".avi", ".webm", ".mkv", ".mov", ".mpg")
_FOLDERS = ("videos", "video", ".")

Canvas = npt.NDArray[np.uint8]


def illustrate(
    case: Case, timeline: Timeline, annotations: Annotations, answer: Answer, names: Sequence[str] = ()
) -> Sequence[Illustration]:
    """The scores' curve over the annotators' mean, shot boundaries, chosen shots as a strip, F by annotator.

    Args:
        case: the video; thumbnails of the chosen shots are shown where its file lies beside the data.
        timeline: its frames and shots.
        annotations: the annotators' summaries and scores.
        answer: what was predicted.
        names: what the video's file may be called.
    """
    thumbnails = _thumbnails(case, timeline, answer, names)
    rows = len(annotations.summaries)
    height = (
        2 * MARGIN + CURVE + 2 * (STRIP + GAP) + rows * 5 + GAP + 110 + (THUMBNAIL + GAP if thumbnails else 0)
    )
    canvas = np.full((height, WIDTH, 3), _PAPER_RGB, np.uint8)
    top = MARGIN
    if thumbnails:
        _paste(canvas, thumbnails, top)
        top += THUMBNAIL + GAP
    _shots(canvas, timeline, top, top + CURVE + 2 * STRIP + GAP)
    if answer.scores is not None:
        _curve(canvas, timeline, answer.scores, top, PREDICTION_RGB)
    _curve(canvas, timeline, annotations.scores, top, REFERENCE_RGB)
    top += CURVE + GAP
    _strip(canvas, answer.summary, top, STRIP, PREDICTION_RGB)
    top += STRIP + GAP
    for row in annotations.summaries:
        _strip(canvas, row, top, 4, REFERENCE_RGB)
        top += 5
    values = f_measures(annotations.summaries, answer.summary)
    _bars(canvas, values, top + GAP, 80)
    nothing = np.zeros(canvas.shape[:2], np.uint8)
    caption = (
        "Above: scores (blue) over the annotators' mean (orange), each from its least to its greatest, "
        f"grey lines between the {counted(len(timeline.change_points), 'shot')}. "
        f"Strips: chosen frames ({answer.summary.mean():.1%} of the video), then each annotator's. "
        f"Below: F against each of {counted(rows, 'annotator')}, largest {values.max():.3f}, "
        f"mean {values.mean():.3f}."
    )
    return [Illustration(canvas, nothing, nothing, "overview", caption)]


def _across(frames: npt.NDArray[Any] | float, n_frames: int) -> Any:
    return MARGIN + np.asarray(frames) * (WIDTH - 2 * MARGIN) / n_frames


def _shots(canvas: Canvas, timeline: Timeline, top: int, bottom: int) -> None:
    for start in timeline.change_points[1:, 0]:
        column = round(float(_across(float(start), timeline.n_frames)))
        canvas[top:bottom, column] = _LINE_RGB


def _curve(
    canvas: Canvas,
    timeline: Timeline,
    scores: npt.NDArray[np.float64],
    top: int,
    colour: tuple[int, int, int],
) -> None:
    import cv2

    spread = np.ptp(scores)
    level = (scores - scores.min()) / spread if spread > 0 else np.full(len(scores), 0.5)
    points = np.stack(
        [_across(timeline.picks.astype(float), timeline.n_frames), top + CURVE - 4 - level * (CURVE - 8)],
        axis=1,
    )
    cv2.polylines(canvas, [np.rint(points).astype(np.int32)], False, colour, 2, cv2.LINE_AA)


def _strip(
    canvas: Canvas, summary: npt.NDArray[np.bool_], top: int, height: int, colour: tuple[int, int, int]
) -> None:
    columns = np.minimum(
        (np.arange(WIDTH - 2 * MARGIN) + 0.5) * len(summary) / (WIDTH - 2 * MARGIN), len(summary) - 1
    ).astype(int)
    line = np.where(summary[columns, None], colour, (238, 238, 238)).astype(np.uint8)
    canvas[top : top + height, MARGIN : WIDTH - MARGIN] = line


def _bars(canvas: Canvas, values: npt.NDArray[np.float64], top: int, height: int) -> None:
    import cv2

    width = min(48, (WIDTH - 2 * MARGIN) // len(values))
    for place, value in enumerate(values):
        left = MARGIN + place * width
        bar = round(float(value) * (height - 14))
        canvas[top + height - bar : top + height, left : left + width - 6] = PREDICTION_RGB
        canvas[top + height : top + height + 1, left : left + width - 6] = _INK_RGB
        place_of = (left, top + height - bar - 3)
        cv2.putText(
            canvas, f"{value:.2f}", place_of, cv2.FONT_HERSHEY_SIMPLEX, 0.34, _INK_RGB, 1, cv2.LINE_AA
        )
        label = (left, top + height + 13)
        cv2.putText(canvas, str(place + 1), label, cv2.FONT_HERSHEY_SIMPLEX, 0.34, _INK_RGB, 1, cv2.LINE_AA)


def _thumbnails(case: Case, timeline: Timeline, answer: Answer, names: Sequence[str]) -> list[Canvas]:
    """Frames from the middle of chosen shots, where the video is there and its decoder too."""
    root = Path(case.facts["root"])
    paths = (
        root / folder / f"{name}{suffix}" for folder in _FOLDERS for name in names for suffix in _SUFFIXES
    )
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return []
    middles = timeline.change_points.mean(axis=1).astype(int)
    middle_frames = [int(frame) for frame in middles if answer.summary[frame]]
    frames = middle_frames[:: max(1, len(middle_frames) // 8)][:8]
    try:
        from medbench.io.video_stream import frames_at

        return [_thumbnail(frame) for frame in frames_at(path, frames)]
    except (ImportError, MedbenchError):
        return []


def _thumbnail(frame: npt.NDArray[np.uint8]) -> Canvas:
    from medbench.io.raster import resize_image

    width = round(frame.shape[1] * THUMBNAIL / frame.shape[0])
    return np.asarray(resize_image(frame, THUMBNAIL, width), np.uint8)


def _paste(canvas: Canvas, thumbnails: Sequence[Canvas], top: int) -> None:
    left = MARGIN
    for image in thumbnails:
        width = min(image.shape[1], WIDTH - MARGIN - left)
        if width <= 0:
            return
        canvas[top : top + THUMBNAIL, left : left + width] = image[:, :width]
        left += width + 4
