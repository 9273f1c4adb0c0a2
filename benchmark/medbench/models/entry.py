"""Model cards: what is known of a model, without importing torch."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CARDS = Path(__file__).parent / "cards"


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A model's card.

    Attributes:
        name: what the command line calls it.
        title: what tables call it.
        factory: ``"module:callable"``; called with ``in_channels``, ``num_classes`` and the options.
        tasks: what it does.
        family: models that share a card file.
        recipe_family: whose training recipes apply.
        paper: citation with its arXiv number.
        code: the authors' repository at a commit.
        code_license: licence of that code.
        channel_order: ``RGB`` or ``BGR`` input.
        image_size: published side of the square input in pixels.
        scale: 8-bit values are divided by this.
        mean: subtracted afterwards, one a channel.
        std: divided by afterwards, one a channel.
        size_rule: which input sizes work, in words.
        published_parameters: the paper's number, if it gives one.
        published_gflops: the paper's number, if it gives one.
        counted_parameters: counted here, with the default options, 3 channels in and 3 classes out.
        checkpoint_data: what the authors' released weights were trained on.
        official_keys: ``"module:callable"`` from the authors' state dictionary to ours.
        options: option -> default value.
        fixed_options: options that this variant sets.
        notes: what is ours where the paper is silent.
    """

    name: str
    title: str
    factory: str
    tasks: tuple[str, ...]
    family: str
    recipe_family: str = "generic"
    paper: str = ""
    code: str = ""
    code_license: str = ""
    channel_order: str = "RGB"
    image_size: int = 256
    scale: float = 255.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    size_rule: str = "any"
    published_parameters: int | None = None
    published_gflops: float | None = None
    counted_parameters: int | None = None
    checkpoint_data: str = ""
    official_keys: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    fixed_options: dict[str, Any] = field(default_factory=dict)
    notes: str = ""


def read_card(path: Path) -> dict[str, ModelEntry]:
    """Entries of one card file: the family's facts, and those that each variant changes."""
    with open(path, "rb") as stream:
        card = tomllib.load(stream)
    variants = card.pop("variants")
    entries = {}
    for name, changes in variants.items():
        facts = {"name": name, "family": path.stem, "recipe_family": path.stem, **card, **changes}
        for key in ("tasks", "mean", "std"):
            if key in facts:
                facts[key] = tuple(facts[key])
        entries[name] = ModelEntry(**facts)
    return entries
