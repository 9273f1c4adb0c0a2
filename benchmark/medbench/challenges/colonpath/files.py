"""Files of ColonPath, of MedFMC 2023: patches of colon slides with or without tumour, and the splits.

Two ways of splitting:

* ``train``, ``val``, ``test``: 70, 10 and 20 % of all patches by a hash of the case, so that patches of one
  patient stay together.
* ``official_train``, ``official_val``: the organisers' two public sets.

Names: ``<case>-<further numbers>_<time>-lv1-<place>.png``; the first two numbers of a name are the case.
Names that begin with the time have no case, and go by what stands before ``-lv1``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from medbench.challenges.families.image_classes.files import ClassedImage, ImageClassRelease
from medbench.challenges.release import SplitFacts
from medbench.core.errors import MedbenchError
from medbench.core.seeds import hashed_part
from medbench.io.gate.listing import visible_paths
from medbench.io.tables import read_lines

PARTS = {"train": 5654, "val": 4355}
FOLDERS = ("images", "image")
SHARES = (("test", 0.20), ("val", 0.30), ("train", 1.0))
_RULE = (
    "by case: the first 32 bits of the SHA-256 of '42/<case>' as a share of their range, below 0.20 test, "
    "below 0.30 val, else train; of both public sets"
)


def case_of(name: str) -> str:
    """The case that a patch's name says, or the slide where it says none.

    >>> case_of("2019-08974-1-5-5_2019-05-28 23_17_50-lv1-33952-9759-6526-5268p0018")
    '2019-08974'
    >>> case_of("2019-05-28 23_17_50-lv1-33952-9759-6526-5268p0018")
    '2019-05-28 23_17_50'
    """
    slide = name.partition("_")[0]
    if " " in slide:
        return name.partition("-lv1")[0]
    return "-".join(slide.split("-")[:2])


def hashed_split(case: str) -> str:
    """Which of ``train``, ``val`` and ``test`` a case belongs to."""
    return hashed_part(f"42/{case}", SHARES)


class ColonPathRelease(ImageClassRelease):
    """Files of ColonPath."""

    splits = ("train", "val", "test", "official_train", "official_val")
    data_hint = (
        "Expected MedFMC_train/colon/images/ with colon_train.csv and MedFMC_val/colon/images/ with "
        "colon_val.csv (img_id, tumor), from medfm2023.grand-challenge.org."
    )
    sample_writer = "medbench.challenges.colonpath.sample:write_sample"
    sample_version = "1"
    image_size = (1024, 1024)

    def split_facts(self, split: str) -> SplitFacts:
        """The rule, and the size of the organisers' own sets."""
        scheme, _, part = split.rpartition("_")
        return SplitFacts("the organisers' own sets", PARTS[part]) if scheme else SplitFacts(_RULE)

    def completeness(self, root: Path, split: str) -> tuple[int, int] | None:
        """For splits by hash, patches of both public sets."""
        if "_" in split:
            return super().completeness(root, split)
        return len(self.images(root)), sum(PARTS.values())

    def training_split_of(self, split: str) -> str:
        """The training split of the same scheme."""
        return "official_train" if split.startswith("official_") else "train"

    def overlap(self, training_split: str, split: str) -> bool:
        """Both schemes are drawn from the same patches."""
        return self.training_split_of(split) != self.training_split_of(training_split)

    def disjoint_splits(self) -> Sequence[Sequence[str]]:
        """By hash, and the organisers'."""
        return self.splits[:3], self.splits[3:]

    def images(self, root: Path) -> list[ClassedImage]:
        """Every patch of the two public sets."""
        images = [image for part in PARTS for image in _images_of_part(root, part)]
        if not images:
            raise self.layout_error(root, ("MedFMC_train/colon/images/", "MedFMC_val/colon/images/"))
        return images

    def images_of(self, images: Sequence[ClassedImage], split: str) -> list[ClassedImage]:
        """Patches of the split."""
        scheme, _, part = split.rpartition("_")
        if scheme:
            return [image for image in images if image.part == part]
        return [image for image in images if hashed_split(image.group) == split]


def _images_of_part(root: Path, part: str) -> Iterator[ClassedImage]:
    base = root / f"MedFMC_{part}" / "colon"
    folder = next((base / name for name in FOLDERS if (base / name).is_dir()), None)
    if folder is None:
        return
    name = f"colon_{part}.csv"
    table = next(
        (place / name for place in (base, base.parent, root) if (place / name).is_file()), base / name
    )
    classes = read_classes(table)
    for path in visible_paths(folder, "*.png"):
        image_class, fault = classes.get(path.stem, (None, f"{table}: has no row of {path.name}."))
        yield ClassedImage(path.stem, path, table, image_class, case_of(path.stem), part, fault)


def read_classes(path: Path) -> dict[str, tuple[int | None, str]]:
    """Patch -> 0 or 1 for a tumour, and why there is neither.

    Raises:
        MedbenchError: ``file.unreadable``, or ``data.column_missing``.
    """
    lines = read_lines(path)
    header = lines[0][1] if lines else []
    for column in ("img_id", "tumor"):
        if column not in header:
            raise MedbenchError(
                "data.column_missing", f"{path}: has no column '{column}'.", "Use the file as released."
            )
    key, value = header.index("img_id"), header.index("tumor")
    classes: dict[str, tuple[int | None, str]] = {}
    for line, cells in lines[1:]:
        name = cells[key].removesuffix(".png") if len(cells) > key else ""
        cell = cells[value] if len(cells) > value else ""
        if name in classes:
            classes[name] = (None, f"{path}, line {line}: {name} is there twice.")
        elif cell in ("0", "1", "0.0", "1.0"):
            classes[name] = (int(float(cell)), "")
        else:
            classes[name] = (None, f"{path}, line {line}: '{cell}' is neither 0 nor 1.")
    return classes
