"""Images in folders named by their classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from medbench.challenges.families.image_classes.files import ClassedImage
from medbench.io.gate.listing import visible_paths

SUFFIXES = (".jpg", ".jpeg", ".png")


def images_in_folders(
    root: Path, folder: Path, names: Mapping[str, Sequence[str]], part: str = ""
) -> Iterator[ClassedImage]:
    """Every image below ``folder``, class by class, named by its path from ``root`` without suffix.

    Args:
        root: folder of the data.
        folder: what holds the folders of the classes.
        names: class -> names that its folder may have, in the order of the classes.
        part: part of the release that the folder is.
    """
    for index, folders in enumerate(names.values()):
        for name in folders:
            for path in visible_paths(folder / name, "*"):
                if path.suffix.lower() in SUFFIXES:
                    own = path.relative_to(root).with_suffix("").as_posix()
                    yield ClassedImage(own, path, path, index, part=part)
