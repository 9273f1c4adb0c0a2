"""A simulator of frontal chest radiographs with one finding or none, and of the reports that tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.simulators.textures import Field, blob, grid, smooth_noise

Kind = Literal["none", "consolidation", "nodule", "effusion", "pneumothorax", "cardiomegaly"]
KINDS: tuple[Kind, ...] = ("none", "consolidation", "nodule", "effusion", "pneumothorax", "cardiomegaly")
SIDES = ("right", "left")
ZONES = ("upper", "mid", "lower")
SIZES = ("small", "moderate", "large")
LEAST_CHANGE = 0.08
"""Change of grey, of the whole range, from which a pixel belongs to a finding."""


@dataclass(frozen=True, slots=True)
class Chest:
    """What a radiograph shows.

    Attributes:
        kind: of the finding.
        side: of the patient: ``right`` is on the image's left.
        zone: of the lung.
        size: of the finding.
        device: whether a tube crosses the mediastinum.
    """

    kind: Kind
    side: str
    zone: str
    size: str
    device: bool


def draw_findings(rng: np.random.Generator, kind: Kind) -> Chest:
    """Place and size of a finding by lot."""
    side, zone, size = (str(rng.choice(names)) for names in (SIDES, ZONES, SIZES))
    return Chest(kind, side, zone, size, bool(rng.random() < 0.3))


def draw_chest(rng: np.random.Generator, chest: Chest, side: int = 128) -> npt.NDArray[np.uint8]:
    """A radiograph ``(side, side)``, 8 bit; as :func:`draw_with_area`."""
    return draw_with_area(rng, chest, side)[0]


def draw_with_area(
    rng: np.random.Generator, chest: Chest, side: int = 128
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
    """A radiograph ``(side, side)``, 8 bit, and where its finding is; an enlarged heart has no area.

    Args:
        rng: source of everything else that is random.
        chest: what it shows.
        side: in pixels.
    """
    shape = (side, side)
    rows, columns = grid(*shape)
    middle = side * rng.uniform(0.48, 0.52)
    body = 0.62 + 0.05 * smooth_noise(rng, shape, side / 6)
    image = np.asarray(body * (1 - 0.25 * np.abs(columns - middle) / side), np.float32)
    lungs = np.zeros(shape, np.float32)
    centres = {}
    for name, sign in zip(SIDES, (-1, 1), strict=True):
        centre = (side * rng.uniform(0.46, 0.5), middle + sign * side * rng.uniform(0.2, 0.23))
        reach = blob(rng, shape, centre, (side * 0.155, side * rng.uniform(0.3, 0.34)), 0.0, 0.03)
        lungs = np.maximum(lungs, np.clip((1 - reach) * 8, 0, 1))
        centres[name] = centre
    image = image - 0.42 * lungs
    ribs = 0.05 * np.sin((rows + 0.25 * np.abs(columns - middle)) * (2 * np.pi * 9 / side))
    image += np.asarray(ribs, np.float32) * lungs + 0.03 * smooth_noise(rng, shape, side / 40) * lungs
    image = _with_heart(rng, image, chest, middle)
    before = image
    image = _with_finding(rng, image, chest, centres[chest.side], lungs)
    area = np.abs(image - before) > LEAST_CHANGE
    if chest.device:
        x = int(middle + rng.normal(0, side * 0.012))
        cv2.line(image, (x, 0), (x, int(side * 0.4)), float(rng.uniform(0.85, 1.0)), max(1, side // 64))
    image = cv2.GaussianBlur(image, (0, 0), side / 200) * np.float32(rng.uniform(0.85, 1.15))
    noisy = image + rng.normal(0, rng.uniform(0.01, 0.03), shape)
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8), area


def _with_heart(rng: np.random.Generator, image: Field, chest: Chest, middle: float) -> Field:
    side = image.shape[0]
    width = {"small": 0.21, "moderate": 0.235, "large": 0.26}[chest.size]
    radius = side * (width if chest.kind == "cardiomegaly" else rng.uniform(0.13, 0.15))
    reach = blob(rng, (side, side), (side * 0.63, middle + side * 0.04), (radius, side * 0.15), 0.0, 0.02)
    return np.asarray(image + (0.66 - image) * np.clip((1 - reach) * 6, 0, 1), np.float32)


def _with_finding(
    rng: np.random.Generator, image: Field, chest: Chest, centre: tuple[float, float], lungs: Field
) -> Field:
    side = image.shape[0]
    rows, columns = grid(side, side)
    grade = SIZES.index(chest.size)
    row = centre[0] + side * {"upper": -0.18, "mid": 0.0, "lower": 0.17}[chest.zone]
    column = centre[1] + side * rng.normal(0, 0.02)
    own = lungs * np.asarray((columns < side / 2) == (chest.side == "right"), np.float32)
    if chest.kind == "consolidation":
        radius = side * (0.07 + 0.025 * grade)
        reach = blob(rng, (side, side), (row, column), (radius, radius * 0.9), 0.0, 0.35)
        return np.asarray(image + 0.38 * np.clip(1.4 - reach, 0, 1) * own, np.float32)
    if chest.kind == "nodule":
        radius = side * (0.022 + 0.012 * grade)
        reach = blob(rng, (side, side), (row, column), (radius, radius), 0.0, 0.03)
        return np.asarray(image + 0.5 * np.clip((1 - reach) * 5, 0, 1), np.float32)
    if chest.kind == "effusion":
        level = centre[0] + side * (0.22 - 0.07 * grade)
        meniscus = level - side * 0.06 * np.abs(columns - centre[1]) / (side * 0.15)
        return np.asarray(image + 0.42 * np.clip((rows - meniscus) / 3, 0, 1) * own, np.float32)
    if chest.kind == "pneumothorax":
        edge = centre[0] - side * (0.14 - 0.06 * grade)
        return np.asarray(image - 0.2 * np.clip((edge - rows) / 2, 0, 1) * own, np.float32)
    return image


_NORMAL = {
    "consolidation": ("the lungs are clear", "no focal consolidation is seen"),
    "effusion": ("there is no pleural effusion", "the costophrenic angles are sharp"),
    "pneumothorax": ("there is no pneumothorax", "no pneumothorax is seen"),
    "cardiomegaly": ("the heart size is normal", "the cardiac silhouette is within normal limits"),
}


def write_report(rng: np.random.Generator, chest: Chest) -> str:
    """A report in the sections of MIMIC-CXR whose words follow what the radiograph shows."""
    finding, summary = _told(rng, chest)
    others = [
        str(rng.choice(texts)) for kind, texts in _NORMAL.items() if kind != chest.kind and rng.random() < 0.6
    ]
    device = ["an endotracheal tube is in place"] if chest.device else []
    sentences = [*finding, *device, *others]
    order = rng.permutation(len(sentences))
    body = " ".join(f"{sentences[k].capitalize()}." for k in order) or "The lungs are clear."
    return (
        "                                 FINAL REPORT\n EXAMINATION:  CHEST (PA)\n\n"
        f" FINDINGS:  {body}\n\n IMPRESSION:  {summary.capitalize()}.\n"
    )


def _told(rng: np.random.Generator, chest: Chest) -> tuple[list[str], str]:
    """Sentences of the finding, and the impression."""
    side, zone, size = chest.side, chest.zone, chest.size
    place = f"the {side} {zone} lung"
    if chest.kind == "none":
        return [], str(rng.choice(("no acute cardiopulmonary process", "normal chest radiograph")))
    if chest.kind == "consolidation":
        word = str(rng.choice(("consolidation", "opacity", "airspace opacity")))
        return [f"there is a {size} {word} in {place}"], f"{side} {zone} lung consolidation"
    if chest.kind == "nodule":
        return [f"a {size} round nodule projects over {place}"], f"{size} nodule in {place}"
    if chest.kind == "effusion":
        word = str(rng.choice(("pleural effusion", "layering pleural effusion")))
        return [f"there is a {size} {side} {word}"], f"{size} {side} pleural effusion"
    if chest.kind == "pneumothorax":
        return [f"there is a {size} {side} apical pneumothorax"], f"{size} {side} pneumothorax"
    grade = {"small": "mildly", "moderate": "moderately", "large": "severely"}[size]
    return [f"the heart is {grade} enlarged"], f"{size} cardiomegaly"
