"""Files of IUGC 2025: images, tables of landmarks and of angles, and the organisers' three sets.

Source: the listing of Zenodo record 17355570 (``Dataset.zip``). The columns of the tables of validation and
test could not be read: they are taken by the names of the training table, and a file without them is refused
by name.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from medbench.challenges.exchange import size_text
from medbench.challenges.iugc2025.table import NAME, Points, PointTable, read_points
from medbench.challenges.release import Release, SplitFacts
from medbench.challenges.stray import Finding, Role, findings_of
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.io import eight_bit, raster
from medbench.io.gate.listing import check_alone
from medbench.io.tables import Column, read_typed_table
from medbench.metrics.tasks.landmarks import angle_of_progression

SIDE = 512
PLACES = {
    "train": ("Training/Labeled cases", "label.csv", 300),
    "val": ("Validation", "landmarks_data.csv", 100),
    "test": ("Testing", "landmarks_data.csv", 501),
}
"""Split -> folder, table of landmarks and number of images in the release."""
ANGLES, ANGLE = "aop_results.csv", "AoP"
ANGLE_TOLERANCE = 1.0


class IUGC2025Release(Release):
    """Files of IUGC 2025."""

    data_hint = (
        "Unpack Dataset.zip of Zenodo record 17355570 (Dataset/Training, Dataset/Validation, "
        "Dataset/Testing)."
    )
    sample_writer = "medbench.challenges.iugc2025.sample:write_sample"
    sample_version = "1"
    splits = tuple(PLACES)

    def cases(self, root: Path, split: str) -> list[Case]:
        """The labelled images of a split in the order of their names."""
        self.check_split(split)
        folder, name, _ = PLACES[split]
        place = self._base(root) / folder
        path = place / name
        if not path.is_file():
            raise self.layout_error(root, [f"{folder}/{name}"])
        table = read_points(path)
        if not table.rows:
            raise MedbenchError("data.empty", f"{path}: names no image.", self.data_hint)
        return [_case(table, place, stem) for stem in sorted(table.rows)]

    def _base(self, root: Path) -> Path:
        base = root / "Dataset" if (root / "Dataset").is_dir() else root
        if not any((base / folder).is_dir() for folder, _, _ in PLACES.values()):
            raise self.layout_error(root, [folder for folder, _, _ in PLACES.values()])
        return base

    def split_facts(self, split: str) -> SplitFacts:
        """The organisers' sets; the release names neither patients nor videos."""
        return SplitFacts(
            "the organisers' own set; images are not grouped, as the release names no patients",
            PLACES[split][2],
        )

    def read_image(self, path: Path) -> npt.NDArray[np.uint8]:
        """An image of the release, ``(height, width, 3)``, 8 bit.

        Raises:
            MedbenchError: when the file is missing, damaged or not of 8 bits.
        """
        check_alone(path, raster.SUFFIXES)
        return eight_bit.read_as_rgb(path)

    @staticmethod
    def read_reference(case: Case) -> Points:
        """PS1, PS2 and FH1, ``(3, 2)``, x and y in pixels of the image.

        Raises:
            MedbenchError: as :func:`read_points` and :meth:`PointTable.points`.
        """
        return read_points(case.reference["landmarks"]).points(case.id)

    def shown_sha256(self, path: Path, role: Role) -> str | None:
        """Of images alone: landmarks of all images share one table."""
        return super().shown_sha256(path, role) if role == "image" else None

    def check_files(self, root: Path) -> list[Finding]:
        """Findings on counts, sizes, points outside their image, and angles that the points do not make."""
        findings: list[Finding] = []
        for split, (folder, _, whole) in PLACES.items():
            if not (self._base(root) / folder).is_dir():
                findings.append(Finding("note", f"{split}: there is no folder {folder}."))
                continue
            try:
                cases = self.cases(root, split)
                angles = self._angles(root, split)
            except MedbenchError as error:
                findings.append(Finding("error", error.message, error.hint))
                continue
            count = f"{split}: {len(cases)} of the release's {whole} images."
            findings.append(Finding("note" if len(cases) == whole else "warning", count))
            for case in cases:
                check = partial(self._check_case, case, angles.get(case.id))
                findings += findings_of(str(case.inputs["image"]), check)
        return findings

    def _angles(self, root: Path, split: str) -> dict[str, float]:
        path = self._base(root) / PLACES[split][0] / ANGLES
        if not path.is_file():
            return {}
        rows = read_typed_table(path, Column(NAME), Column(ANGLE, "float", 0, 360))
        return {Path(str(row[NAME])).stem: float(row[ANGLE]) for row in rows}

    def _check_case(self, case: Case, angle: float | None) -> Iterator[Finding]:
        try:
            shape = self.read_image(case.inputs["image"]).shape[:2]
            points = self.read_reference(case)
        except MedbenchError as error:
            yield Finding("error", error.message, error.hint)
            return
        if shape != (SIDE, SIDE):
            yield Finding("note", f"{case.inputs['image']}: is {size_text(shape)}, not {SIDE}×{SIDE}.")
        if (points < 0).any() or (points > np.array(shape[::-1]) - 1).any():
            yield Finding("warning", f"{case.id}: a landmark lies outside the image.")
        own = angle_of_progression(points)
        if own is None:
            yield Finding("error", f"{case.id}: two landmarks are equal, so there is no angle.")
        elif angle is not None and abs(own - angle) > ANGLE_TOLERANCE:
            yield Finding("warning", f"{case.id}: {ANGLES} says {angle:.2f}°, its landmarks make {own:.2f}°.")


def _case(table: PointTable, place: Path, stem: str) -> Case:
    name = table.names[stem]
    facts: dict[str, Any] = {"filename": name}
    return Case(stem, {"image": _image(place, name)}, {"landmarks": table.path}, facts=facts)


def _image(place: Path, name: str) -> Path:
    """The file of an image, beside its table or in a folder there."""
    own = Path(name).name
    if (place / own).is_file():
        return place / own
    return next(iter(sorted(place.glob(f"*/{glob.escape(own)}"))), place / own)
