"""Files of CVC-ClinicDB: frames, masks, video sequences, and the splits.

Frames of one sequence are near duplicates. Papers split frame by frame, so that nearly every test frame has a
neighbour in the training set; the splits ``leaking_*`` repeat this. The splits ``train``, ``val`` and
``test`` keep sequences whole; develop on these.

The original TIFF files hold three colours but are tagged grey; masks have some grey values below 127 at their
borders, which are background.
"""

from __future__ import annotations

import functools
import os
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medbench.challenges.release import Release, SplitFacts
from medbench.io import raster

FRAMES = range(1, 613)
SPLITS = Path(__file__).parent / "splits.toml"
FRAME_SIZE = (288, 384)
MASK_THRESHOLD = 127
"""Grey values of masks above it are polyp."""
LAYOUTS = (
    ("Original", "Ground Truth"),
    ("PNG/Original", "PNG/Ground Truth"),
    ("TIF/Original", "TIF/Ground Truth"),
    ("images", "masks"),
    ("png/images", "png/masks"),
)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame with the path of its mask, which may be missing.

    Attributes:
        id: its number.
        image: path of the frame.
        mask: path of its mask.
        group: its video sequence.
    """

    id: str
    image: Path
    mask: Path
    group: str


@functools.cache
def _table() -> dict[str, Any]:
    with open(SPLITS, "rb") as stream:
        return tomllib.load(stream)


def sequence_of(frame: int) -> int:
    """The video sequence, 1 to 29, that a frame, 1 to 612, comes from.

    >>> [sequence_of(frame) for frame in (1, 25, 26, 612)]
    [1, 1, 2, 29]
    """
    return sum(first <= frame for first in _table()["first_frames"])


@functools.cache
def split_frames(split: str) -> tuple[int, ...]:
    """The frames of a split of the complete release, in order.

    >>> [len(split_frames(split)) for split in ("train", "val", "test", "leaking_train", "leaking_test")]
    [386, 81, 145, 440, 61]
    """
    entry = _table()[split]
    if "sequences" in entry:
        return tuple(frame for frame in FRAMES if sequence_of(frame) in entry["sequences"])
    if "frames" in entry:
        return tuple(entry["frames"])
    if "parts" in entry:
        return tuple(frame for part in entry["parts"] for frame in split_frames(part))
    others = {*split_frames("leaking_test"), *split_frames("leaking_val")}
    return tuple(frame for frame in FRAMES if frame not in others)


def parts_of(split: str) -> tuple[str, ...]:
    """The folds that a cross-validation consists of; none for other splits."""
    return tuple(_table()[split].get("parts", ()))


class CVCFrames(Release):
    """Splits and sample of CVC-ClinicDB."""

    splits: Sequence[str] = ("train", "val", "test", "leaking_train", "leaking_val", "leaking_test")
    data_hint = (
        "Expected Original/ and 'Ground Truth'/ (or PNG/…, TIF/…, images/ and masks/) with the frames "
        "1 to 612, from polyp.grand-challenge.org."
    )
    sample_writer = "medbench.challenges.families.cvc_frames.sample:write_sample"
    sample_version = "1"

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, size and hash of a split of the complete release."""
        entry = _table()[split]
        return SplitFacts(entry["rule"], entry["cases"], entry["names_sha256"])

    def training_split_of(self, split: str) -> str:
        """The training split of the same scheme."""
        return "leaking_train" if split.startswith("leaking_") else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """Whether the splits are of different schemes, by sequence and frame by frame."""
        return training_split.startswith("leaking_") != split.startswith("leaking_")

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """The splits by sequence, and those frame by frame."""
        return self.splits[:3], self.splits[3:6]

    def frames(self, root: Path) -> list[Frame]:
        """Frames with their masks, in the first layout that the folder has.

        Raises:
            MedbenchError: ``data.layout_unknown``.
        """
        for frames, masks in LAYOUTS:
            if (root / frames).is_dir():
                return list(_frames(root / frames, root / masks))
        raise self.layout_error(root, (f"{frames}/" for frames, _ in LAYOUTS))


def _frames(frames: Path, masks: Path) -> Iterator[Frame]:
    """Frames with their masks, in the order of their numbers; other files are ignored."""
    paths = {
        int(path.stem): path
        for path in sorted(frames.iterdir())
        if path.suffix.lower() in raster.SUFFIXES and path.stem.isdecimal() and int(path.stem) in FRAMES
    }
    for frame, path in sorted(paths.items()):
        names = [masks / f"{frame}{suffix}" for suffix in raster.SUFFIXES]
        mask = next((name for name in names if os.path.lexists(name)), masks / f"{frame}{path.suffix}")
        yield Frame(str(frame), path, mask, f"sequence {sequence_of(frame)}")
