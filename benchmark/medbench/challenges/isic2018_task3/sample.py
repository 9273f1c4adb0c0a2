"""The synthetic sample of ISIC 2018 task 3, in the organisers' folders and file formats.

Lesions are drawn by the simulator of dermoscopy and then given the colours and marks that a class is known
by; two images may show one lesion, as in the release.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from medbench.challenges.isic2018_task3.files import CODES, GROUPINGS, PARTS, hashed_split
from medbench.challenges.simulators.dermoscopy import draw_image
from medbench.challenges.simulators.textures import as_image, smooth_noise
from medbench.core.files import write_text

SEED = 20183
LESIONS = {"train": 6, "val": 1, "test": 3}
OFFICIAL_TEST = 1
HEIGHT, WIDTH = 225, 300
ENLARGED = 2
COLOURS = {
    "MEL": (0.16, 0.12, 0.14),
    "NV": (0.50, 0.33, 0.22),
    "BCC": (0.88, 0.62, 0.62),
    "AKIEC": (0.74, 0.36, 0.28),
    "BKL": (0.66, 0.56, 0.34),
    "DF": (0.62, 0.46, 0.42),
    "VASC": (0.48, 0.08, 0.22),
}


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """An image of the sample: its number, part of the release, index of its class, and lesion."""

    number: int
    part: str
    image_class: int
    lesion: str

    @property
    def name(self) -> str:
        """``ISIC_<seven digits>``."""
        return f"ISIC_{self.number:07}"


def drawn_images() -> Iterator[DrawnImage]:
    """Images of the sample, so many lesions of each class in every split by hash."""
    number = lesion = 0
    for index in range(len(CODES)):
        remaining = dict(LESIONS)
        while any(remaining.values()):
            name = f"HAM_{lesion:07}"
            lesion += 1
            if not remaining[hashed_split(name)]:
                continue
            remaining[hashed_split(name)] -= 1
            for _ in range(1 + lesion % 2):
                yield DrawnImage(number, "train", index, name)
                number += 1
    for index in range(len(CODES)):
        for _ in range(OFFICIAL_TEST):
            yield DrawnImage(number, "test", index, "")
            number += 1


def write_sample(root: Path) -> None:
    """Draw the images; each depends on its lesion and number only.

    Args:
        root: folder that gets the organisers' folders and tables.
    """
    images = list(drawn_images())
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda image: _write(root, image), images))
    for part in ("train", "test"):
        rows = [
            ",".join(
                [image.name, *("1.0" if index == image.image_class else "0.0" for index in range(len(CODES)))]
            )
            for image in images
            if image.part == part
        ]
        _write_table(root / f"ISIC2018_Task3_{PARTS[part][0]}_GroundTruth.csv", ["image", *CODES], rows)
    lesions = [f"{image.name},{image.lesion},histopathology" for image in images if image.lesion]
    _write_table(root / GROUPINGS, ["image", "lesion_id", "diagnosis_confirm_type"], lesions)


def _write_table(path: Path, header: list[str], rows: list[str]) -> None:
    write_text(path, "".join(f"{row}\n" for row in [",".join(header), *rows]))


def _write(root: Path, entry: DrawnImage) -> None:
    folder = root / f"ISIC2018_Task3_{PARTS[entry.part][0]}_Input"
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([SEED, entry.number])
    size = (WIDTH * ENLARGED, HEIGHT * ENLARGED)
    image = cv2.resize(draw_lesion(rng, CODES[entry.image_class]), size, interpolation=cv2.INTER_CUBIC)
    _, jpeg = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    jpeg.tofile(folder / f"{entry.name}.jpg")


def draw_lesion(rng: np.random.Generator, code: str) -> npt.NDArray[np.uint8]:
    """A lesion of a class, ``(225, 300, 3)``, 8 bit."""
    lesion = draw_image(rng, HEIGHT, WIDTH)
    colours = lesion.image.astype(np.float32) / 255
    cover = cv2.GaussianBlur(lesion.mask.astype(np.float32), (0, 0), 2.5)[..., None]
    brightness = colours.mean(axis=2, keepdims=True)
    tone = np.array(COLOURS[code], np.float32) * np.float32(rng.uniform(0.85, 1.15))
    own = tone * (0.6 + 0.4 * brightness / max(float(brightness[lesion.mask > 0].mean()), 0.05))
    spots: Mapping[str, tuple[float, tuple[float, float, float]]] = {
        "MEL": (7.0, (0.35, 0.40, 0.55)),
        "AKIEC": (2.5, (0.95, 0.85, 0.75)),
        "BKL": (3.5, (0.25, 0.18, 0.12)),
    }
    if code in spots:
        scale, colour = spots[code]
        spot = np.clip(smooth_noise(rng, (HEIGHT, WIDTH), scale) - 0.9, 0, 1)[..., None]
        own = own * (1 - spot) + np.array(colour, np.float32) * spot
    if code == "DF":
        middle = np.argwhere(lesion.mask > 0).mean(axis=0)
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        radius = np.sqrt(lesion.mask.sum() / np.pi)
        near = np.exp(-(((rows - middle[0]) ** 2 + (columns - middle[1]) ** 2) / (0.35 * radius) ** 2))[
            ..., None
        ]
        own = own * (1 - near) + np.float32(0.93) * near
    return as_image((colours * (1 - cover) + own * cover).astype(np.float32))
