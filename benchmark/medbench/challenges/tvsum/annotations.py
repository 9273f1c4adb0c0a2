"""TVSum's ratings: ``ydata-tvsum50.mat`` (MATLAB 7.3) or ``ydata-tvsum50-anno.tsv``."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.video_summaries.annotations import RawVideo, equal_rows
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.hdf5_groups import opened
from medbench.io.tables import plain_text

MATLAB, TABLE = "ydata-tvsum50.mat", "ydata-tvsum50-anno.tsv"
_FOLDERS = (".", "matlab", "data", "tvsum", "ydata-tvsum50-v1_1/matlab", "ydata-tvsum50-v1_1/data")
_GROUP = "tvsum50"


class TVSumFiles:
    """Importance of every frame, 1 to 5, by annotator."""

    def locate(self, root: Path) -> Path | None:
        """The MATLAB file, else the table."""
        candidates = (root / folder / name for name in (MATLAB, TABLE) for folder in _FOLDERS)
        return next((path for path in candidates if path.is_file()), None)

    def file_of(self, place: Path, name: str) -> Path:
        """One file holds all videos."""
        return place

    def names(self, place: Path) -> Sequence[str]:
        """YouTube ids in the order of the file.

        Raises:
            MedbenchError: ``annotation.layout`` for a file that is none of TVSum's.
        """
        if place.suffix == ".tsv":
            return list(_lines(place, place.stat().st_mtime_ns))
        with opened(place) as file:
            return _titles(place, file)

    def read(self, place: Path, name: str) -> RawVideo:
        """Ratings ``(users, frames)`` of one video.

        Raises:
            MedbenchError: ``annotation.layout``, ``annotation.length`` or ``annotation.not_finite`` naming
                the annotator.
        """
        where = f"{place}: {name}"
        if place.suffix == ".tsv":
            rows = [_numbers(where, text) for text in _lines(place, place.stat().st_mtime_ns).get(name, [])]
            return RawVideo(name, equal_rows(where, rows), has_ratings=True)
        with opened(place) as file:
            number = _titles(place, file).index(name)
            values = np.asarray(file[file[f"{_GROUP}/user_anno"][number, 0]])
            frames = int(np.asarray(file[file[f"{_GROUP}/nframes"][number, 0]]).reshape(-1)[0])
        if values.ndim != 2 or frames not in values.shape:
            raise MedbenchError(
                "annotation.length",
                f"{where}: ratings have the shape {values.shape}, the video has {counted(frames, 'frame')}.",
                "Copy the file again.",
            )
        return RawVideo(
            name, equal_rows(where, list(values if values.shape[1] == frames else values.T)), has_ratings=True
        )


def _titles(place: Path, file: Any) -> list[str]:
    if f"{_GROUP}/video" not in file or f"{_GROUP}/user_anno" not in file:
        raise MedbenchError(
            "annotation.layout",
            f"{place}: has no {_GROUP}/video and {_GROUP}/user_anno.",
            f"Use {MATLAB} as released.",
        )
    references = file[f"{_GROUP}/video"][:, 0]
    return [
        "".join(chr(int(letter)) for letter in np.asarray(file[place]).reshape(-1)) for place in references
    ]


@functools.lru_cache(maxsize=2)
def _lines(place: Path, stamp: int) -> dict[str, list[str]]:
    """Video -> its ratings as text, one entry an annotator."""
    videos: dict[str, list[str]] = {}
    for number, line in enumerate(plain_text(place).splitlines(), 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) < 3:
            raise MedbenchError(
                "annotation.layout",
                f"{place}, line {number}: has {counted(len(cells), 'cell')}, not video, category, ratings.",
                f"Use {TABLE} as released.",
            )
        videos.setdefault(cells[0], []).append(cells[2])
    return videos


def _numbers(where: str, text: str) -> npt.NDArray[np.float64]:
    try:
        return np.array(text.split(","), np.float64)
    except ValueError as error:
        raise MedbenchError(
            "annotation.not_finite", f"{where}: a rating is no number ({error}).", "Copy the file again."
        ) from error
