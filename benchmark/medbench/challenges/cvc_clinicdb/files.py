"""Files of CVC-ClinicDB: frames with their masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.cvc_frames.files import (
    FRAME_SIZE,
    MASK_THRESHOLD,
    CVCFrames,
    split_frames,
)
from medbench.challenges.families.image_masks.files import ImageMaskRelease, Pair


class CVCClinicDBRelease(CVCFrames, ImageMaskRelease):
    """Files of CVC-ClinicDB."""

    mask_threshold = MASK_THRESHOLD
    image_size = FRAME_SIZE

    def pairs(self, root: Path) -> list[Pair]:
        """Frames and masks, in the first layout that the folder has."""
        return [Pair(frame.id, frame.image, frame.mask, frame.group) for frame in self.frames(root)]

    def pairs_of(self, pairs: Sequence[Pair], split: str) -> list[Pair]:
        """Frames of the split."""
        names = {str(frame) for frame in split_frames(split)}
        return [pair for pair in pairs if pair.id in names]
