"""SumMe's annotations: ``GT/<video>.mat`` with ``user_score`` (frames, users), above 0 where chosen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medbench.challenges.families.video_summaries.annotations import RawVideo
from medbench.challenges.families.video_summaries.layout import check_annotators
from medbench.core.errors import MedbenchError
from medbench.core.text import counted
from medbench.io.gate.admission import entrance
from medbench.io.gate.listing import visible_paths

_FOLDERS = ("GT", "summe/GT", "SumMe/GT")


class SumMeFiles:
    """Which frames every annotator chose."""

    def locate(self, root: Path) -> Path | None:
        """The folder ``GT``."""
        places = (root / folder for folder in _FOLDERS)
        return next((place for place in places if visible_paths(place, "*.mat")), None)

    def file_of(self, place: Path, name: str) -> Path:
        """One file a video."""
        return place / f"{name}.mat"

    def names(self, place: Path) -> Sequence[str]:
        """Names of the files, as the released features are ordered: by capital and small letters apart."""
        return sorted(path.stem for path in visible_paths(place, "*.mat"))

    def read(self, place: Path, name: str) -> RawVideo:
        """Frames that every annotator chose, ``(users, frames)``.

        Raises:
            MedbenchError: ``file.corrupt``, ``annotation.layout``, ``annotation.length``,
                ``annotation.not_finite`` naming the annotator.
        """
        from scipy.io import loadmat

        path = self.file_of(place, name)
        try:
            with entrance(path, "table") as file:
                arrays = loadmat(io.BytesIO(file.content), variable_names=["user_score", "nFrames"])
        except MedbenchError:
            raise
        except Exception as error:
            raise MedbenchError(
                "file.corrupt",
                f"{path}: not a readable MATLAB file ({type(error).__name__}).",
                "Copy it again from its source.",
            ) from error
        if "user_score" not in arrays or arrays["user_score"].ndim != 2:
            raise MedbenchError(
                "annotation.layout", f"{path}: has no user_score (frames, users).", "Use the release."
            )
        values = np.asarray(arrays["user_score"], np.float64).T
        frames = int(arrays["nFrames"].reshape(-1)[0]) if "nFrames" in arrays else values.shape[1]
        if values.shape[1] != frames:
            raise MedbenchError(
                "annotation.length",
                f"{path}: user_score has {counted(values.shape[1], 'frame')}, nFrames says {frames}.",
                "Copy the file again.",
            )
        check_annotators(str(path), values)
        return RawVideo(name, values, has_ratings=False)
