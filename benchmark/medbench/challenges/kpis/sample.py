"""The synthetic sample of KPIs 2024: slides, and the patches cut from them, in the released layout.

Patches are 2048 × 2048 at the working level and overlap by half; slides of all groups but NEP25 are twice as
fine. Whole slides are drawn for the test split alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from medbench.challenges.kpis.files import GROUPS
from medbench.challenges.simulators.pas_section import Section, draw_grain, enlarged
from medbench.core.files import atomic_path

SEED = 2024
ARCHIVES = {
    "train": "KPIs24 Training Data",
    "validation": "KPIs24 Validation Data",
    "test": "KPIs24 Testing Data",
}
PER_GROUP = {"train": 2, "validation": 1, "test": 2}
SIDE = 3072
PATCH = 2048
STRIP = 1024
QUALITY = 85
PREFIX = {"56Nx": "12", "DN": "11", "NEP25": "18", "normal": "normal_M"}


@dataclass(frozen=True, slots=True)
class Plan:
    """A slide of the sample, before it is drawn."""

    split: str
    group: str
    number: int

    @property
    def slide(self) -> str:
        """Name of the slide, of the release's form."""
        if self.group == "normal":
            return f"normal_M{self.number + 1}"
        return f"{PREFIX[self.group]}-{300 + self.number}"

    @property
    def factor(self) -> int:
        """Pixels of the scan per pixel of the working level, along each side."""
        return 1 if self.group == "NEP25" else 2


def plans() -> list[Plan]:
    """Slides of the sample: eight for training, four for validation, eight for test."""
    numbers = {"train": 0, "validation": 40, "test": 60}
    return [
        Plan(split, group, numbers[split] + index)
        for split, count in PER_GROUP.items()
        for group in GROUPS
        for index in range(count)
    ]


def write_sample(
    root: Path, slides: list[Plan] | None = None, *, side: int = SIDE, patch: int = PATCH
) -> None:
    """Draw every slide with its patches; each depends on the seed and its own number only.

    Args:
        root: folder that gets the three archives.
        slides: what to draw; :func:`plans` if not given.
        side: of the slides in pixels at the working level.
        patch: side of the patches in pixels.
    """
    from concurrent.futures import ThreadPoolExecutor

    def draw(plan: Plan) -> None:
        section = _section(plan, side, side)
        image, mask = section.strip(0, side)
        _write_patches(root, plan, image, mask, patch)
        if plan.split == "test":
            write_slide(root / ARCHIVES["test"] / "Task2_WSI_level", plan, section)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(draw, plans() if slides is None else slides))


def draw_sample(root: Path, slides: int | None = None, size: int | None = None) -> None:
    """Draw the patches of 20 slides and 8 whole test slides; or ``slides`` whole test slides alone.

    Args:
        root: folder that gets the archives.
        slides: number of whole slides to draw in place of the usual sample; 1 where a size alone is given.
        size: side of these slides in pixels at the scan level, 8192 if not given.
    """
    if slides is None and size is None:
        write_sample(root)
    else:
        write_slides(root, n_slides=slides or 1, size=size or 8192)


def write_slides(root: Path, *, n_slides: int, size: int) -> None:
    """Draw whole test slides alone, ``size`` pixels a side at the scan level.

    The groups take turns, NEP25 first: its working level is the scan itself, so one slide has all its pixels.
    """
    groups = sorted(GROUPS, key=lambda group: group != "NEP25")
    for number in range(n_slides):
        plan = Plan("test", groups[number % len(groups)], 60 + number)
        side = size // plan.factor
        write_slide(root / ARCHIVES["test"] / "Task2_WSI_level", plan, _section(plan, side, side))


def _section(plan: Plan, height: int, width: int) -> Section:
    seed = [SEED, sorted(ARCHIVES).index(plan.split), GROUPS.index(plan.group), plan.number]
    return Section(seed, plan.group, height, width)


def _write_patches(
    root: Path, plan: Plan, image: npt.NDArray[np.uint8], mask: npt.NDArray[np.uint8], side: int
) -> None:
    """Write the patches with tissue; each shares half with the next."""
    import cv2

    folder = root / ARCHIVES[plan.split] / "Task1_patch_level" / plan.split / plan.group / plan.slide
    corners = [
        (row, column)
        for row in range(0, image.shape[0] - side + 1, side // 2)
        for column in range(0, image.shape[1] - side + 1, side // 2)
    ]
    for number, (row, column) in enumerate(corners):
        window = slice(row, row + side), slice(column, column + side)
        stem = f"{plan.group}_{plan.slide}_{number}_{column}_{row}"
        contents = {"img": image[window][:, :, ::-1], "mask": mask[window] * 255}
        for kind, content in contents.items():
            success, jpeg = cv2.imencode(
                ".jpg", np.ascontiguousarray(content), [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            )
            assert success
            with atomic_path(folder / kind / f"{stem}_{kind}.jpg") as temporary:
                jpeg.tofile(temporary)


def write_slide(folder: Path, plan: Plan, section: Section) -> None:
    """Write ``<group>/<slide>_wsi.tiff`` (JPEG) and ``_mask.tiff`` (deflate) with their pyramids."""
    from medbench.io.pyramids import write_pyramid

    factor = plan.factor
    height, width = (side * factor for side in section.shape)
    grain = draw_grain(np.random.default_rng([SEED, plan.number]))

    def strips(of_mask: bool) -> Iterator[npt.NDArray[np.uint8]]:
        for start in range(0, section.shape[0], STRIP):
            stop = min(start + STRIP, section.shape[0])
            if of_mask:
                yield _smooth_mask(section, start, stop, factor)
            else:
                yield enlarged(section.strip(start, stop)[0], factor, grain, start * factor)

    target = folder / plan.group
    write_pyramid(target / f"{plan.slide}_wsi.tiff", strips(False), (height, width, 3), compression="jpeg")
    write_pyramid(target / f"{plan.slide}_mask.tiff", strips(True), (height, width), compression="deflate")


def _smooth_mask(section: Section, start: int, stop: int, factor: int) -> npt.NDArray[np.uint8]:
    """Rows of the mask at the scan level, 0 and 255, its outlines half a working pixel further in."""
    import cv2

    first, last = max(0, start - 2), min(section.shape[0], stop + 2)
    mask = section.strip(first, last)[1] * np.uint8(255)
    if factor == 1:
        return mask[start - first : stop - first]
    large = cv2.resize(mask, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    rows = large[(start - first) * factor : (stop - first) * factor]
    return np.where(rows > 200, np.uint8(255), np.uint8(0))
