"""The contract of a challenge's training examples."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.guard import describe
from medbench.core.sample import TrainingBoxes, TrainingImage

SIDE = 48
"""Side in pixels at which an image is loaded."""


def example_problems(challenge: Challenge, root: Path, cache: Path) -> Iterator[str]:
    """Problems of the examples of the training split, by form; an exchange may have none.

    Args:
        challenge: the challenge.
        root: a folder of its data.
        cache: an empty folder for decoded images.
    """
    split = challenge.release.training_split
    for form, inputs in challenge.exchange.inputs.items():
        try:
            examples = inputs.examples(root, split, cache)
        except MedbenchError:
            continue  # a folder of test cases alone
        except Exception as error:  # noqa: BLE001 - any other kind is what is looked for
            yield f"training examples of form {form}: {describe(error)}"
            continue
        ids = [one.id for one in examples]
        yield from (f"two training examples are named '{name}'" for name in {*ids} if ids.count(name) > 1)
        yield from (f"{one.id}: a training example without a group" for one in examples if not one.group)
        if examples and isinstance(examples[0], TrainingImage | TrainingBoxes):
            try:
                yield from _image_problems(challenge, examples[0])
            except Exception as error:  # noqa: BLE001 - any kind is a problem of the example
                yield f"{examples[0].id}: a training example that cannot be loaded: {describe(error)}"


def _image_problems(challenge: Challenge, example: Any) -> Iterator[str]:
    if isinstance(example, TrainingBoxes):
        image = example.load(SIDE)
        if image.ndim != 3 or max(image.shape[:2]) != SIDE:
            yield f"{example.id}: loaded at {SIDE}, its longer side has shape {image.shape}"
        return
    image, labels = example.load(SIDE)
    if image.shape != (SIDE, SIDE, 3):
        yield f"{example.id}: loaded at {SIDE}, the image has shape {image.shape}, not {(SIDE, SIDE, 3)}"
    if (labels is not None) != example.labelled:
        answer = "none" if labels is None else "labels"
        yield f"{example.id}: labelled is {example.labelled}, but load gives {answer}"
    classes = len(challenge.card.labels)
    if labels is not None and (labels.shape != (SIDE, SIDE) or labels.dtype != np.uint8):
        yield f"{example.id}: labels have shape {labels.shape} and type {labels.dtype}"
    elif labels is not None and labels.max(initial=0) >= classes:
        yield f"{example.id}: labels hold {labels.max()}, expected indices below {classes}, not file values"
