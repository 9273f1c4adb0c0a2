"""A challenge of nothing but images: for prediction where no challenge is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.declared.challenge import declared_challenge
from medbench.challenges.declared.declaration import Declaration, SplitRule

BARE = "images"


def bare_challenge(
    folder: Path,
    classes: Sequence[str],
    *,
    task: str = "label_map",
    modalities: Sequence[str] = (),
    values: tuple[float, float] | None = None,
) -> Challenge:
    """Images of a folder, whose label maps hold class indices.

    Args:
        folder: the images.
        classes: names of the classes, the background of label maps first.
        task: ``label_map`` or ``image_classes``.
        modalities: of volumes; empty for images.
        values: black and white of images with more than 8 bits; ``None`` refuses such images.
    """
    unique = {
        (name if name not in classes[:index] else f"{name}_{index}"): index
        for index, name in enumerate(classes)
    }
    declaration = Declaration(
        name=BARE,
        path=folder / "medbench.toml",
        root=folder,
        title="images without a challenge",
        task="classification" if task == "image_classes" else "segmentation",
        layout="folders",
        images="{case}.*",
        masks="{case}.mask.*",
        labels=unique,
        modalities=tuple(modalities),
        spacing="file" if modalities else "pixel",
        values=values,
        splits=SplitRule("given", ("test",)),
    )
    return declared_challenge(declaration)
