"""The synthetic sample of CVC-ClinicDB, in the layout and file formats of the release.

Frames have the numbers of the release, so that its table of sequences and its splits apply. Frames are TIFF
files of three samples a pixel tagged as grey, and a quarter of the masks has grey values below 127 at the
border, as in the release.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.families.cvc_frames.files import FRAMES, sequence_of, split_frames
from medbench.challenges.simulators.colonoscopy import Sequence

SEED = 2015
PER_SEQUENCE = {"train": 3, "val": 2, "test": 4}


def drawn_frames() -> dict[int, list[int]]:
    """Sequence -> frames of the sample, of which those of the leaking test split are taken first."""
    leaking = set(split_frames("leaking_test"))
    numbers: dict[int, list[int]] = {}
    for split, count in PER_SEQUENCE.items():
        for sequence in sorted({sequence_of(frame) for frame in split_frames(split)}):
            frames = [frame for frame in FRAMES if sequence_of(frame) == sequence]
            first = [frame for frame in frames if frame in leaking][:1]
            rest = [frame for frame in frames if frame not in first]
            positions = np.linspace(0, len(rest) - 1, count - len(first)).round().astype(int)
            numbers[sequence] = sorted([*first, *(rest[index] for index in positions)])
    return numbers


def write_sample(
    root: Path, frames: Mapping[int, list[int]] | None = None, size: tuple[int, int] = (288, 384)
) -> None:
    """Draw the frames into ``Original`` and ``Ground Truth``; each depends on its own number only.

    Args:
        root: folder that gets the two.
        frames: sequence -> frame numbers; :func:`drawn_frames` if not given.
        size: height and width of the frames in pixels.
    """
    for folder in ("Original", "Ground Truth"):
        (root / folder).mkdir(parents=True, exist_ok=True)

    def draw(entry: tuple[int, list[int]]) -> None:
        sequence, numbers = entry
        scene = Sequence(np.random.default_rng([SEED, sequence]), *size)
        of_sequence = [frame for frame in FRAMES if sequence_of(frame) == sequence]
        for number in numbers:
            rng = np.random.default_rng([SEED, sequence, number])
            moment = of_sequence.index(number) / max(1, len(of_sequence) - 1)
            frame = scene.frame(rng, moment)
            _write(root / "Original" / f"{number}.tif", frame.image)
            mask = frame.mask * np.uint8(255)
            _write(root / "Ground Truth" / f"{number}.tif", _smeared(mask) if number % 4 == 1 else mask)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, (drawn_frames() if frames is None else frames).items()))


def _smeared(mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The mask with grey values below 127 along the outside of its border."""
    import cv2

    around = cv2.dilate(mask, np.ones((3, 3), np.uint8)) - mask
    return np.where(
        around > 0, np.uint8(12) + (np.indices(mask.shape).sum(axis=0) % 90).astype(np.uint8), mask
    )


def _write(path: Path, image: npt.NDArray[np.uint8]) -> None:
    import tifffile

    tifffile.imwrite(
        path, image, photometric="minisblack", planarconfig="contig" if image.ndim == 3 else None,
        software=False, metadata=None,
    )  # fmt: skip
