"""Tasks: the kinds of answers that challenges demand and models offer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry

Form = Literal["image", "volume", "slide", "sequence"]
"""Form of a case for a model: 2-D images, a 3-D volume, a whole slide, a sequence of feature vectors."""


@dataclass(frozen=True, slots=True)
class Task:
    """One kind of answer.

    Attributes:
        name: ``label_map``, ``image_classes`` …
        title: plural for people, as in "label maps".
        answer: the answer for one case in words: type, shape, units.
        decode: ``"module:function"``, or a function, from a network's output for a batch of images and their
            :class:`medbench.inference.decoding.ImageGeometry` to an array or list with one answer an image.
            Empty where predictors make the answers without it.
    """

    name: str
    title: str
    answer: str
    decode: str | Callable[..., Any] = ""


TASKS: Registry[Task] = Registry(
    "task",
    {name: f"medbench.core.task:{name.upper()}" for name in (
        "label_map", "image_classes", "image_labels", "boxes", "frame_scores", "landmarks"
    )},
)  # fmt: skip

LABEL_MAP = Task(
    "label_map",
    "label maps",
    "class indices, unsigned 8 bit: (images, height, width), (depth, height, width) of a volume, or a stored "
    "mask of a slide at its working level",
    "medbench.inference.decoding:label_maps",
)
IMAGE_CLASSES = Task(
    "image_classes",
    "image classes",
    "probabilities (images, classes), float32, each row with sum 1",
    "medbench.inference.decoding:image_classes",
)
IMAGE_LABELS = Task(
    "image_labels",
    "image labels",
    "probabilities (images, labels), float32, of each label by itself",
    "medbench.inference.decoding:image_labels",
)
BOXES = Task(
    "boxes",
    "bounding boxes",
    "one medbench.core.sample.Boxes an image, corners in pixels of the image",
    "medbench.inference.decoding:boxes",
)
FRAME_SCORES = Task("frame_scores", "frame scores", "one number a frame of the sequence, float32 (frames,)")
LANDMARKS = Task(
    "landmarks",
    "landmarks",
    "points (images, landmarks, 2), float32: x and y in pixels of the image",
    "medbench.inference.decoding:landmarks",
)


def register_task(task: Task) -> Task:
    """Register a task under its name; challenges may then demand the task and models offer it.

    Raises:
        MedbenchError: ``task.class`` for what is no :class:`Task`, ``task.clash`` when the name is taken by
            another task.
    """
    if not isinstance(task, Task):
        raise MedbenchError(
            "task.class",
            f"What is registered as a task is {type(task).__name__}, not a Task.",
            "Register medbench.core.task.Task(name, title, answer, decode).",
        )
    TASKS.add(task.name, task)
    return task


def titles(names: Iterable[str]) -> str:
    """Titles of tasks, joined for a sentence.

    >>> titles(["label_map", "boxes"])
    'label maps and bounding boxes'
    """
    texts = [TASKS.get(name).title for name in names]
    return " and ".join(texts) if len(texts) < 3 else f"{', '.join(texts[:-1])} and {texts[-1]}"


def check_answers(demands: Iterable[str], answers: Mapping[str, object]) -> None:
    """Refuse a prediction that lacks what the case demands or carries more.

    Raises:
        MedbenchError: ``prediction.task`` naming the tasks.
    """
    due = frozenset(demands)
    if due != answers.keys():
        raise MedbenchError(
            "prediction.task",
            f"The model answered {titles(sorted(answers)) or 'nothing'}, expected {titles(sorted(due))}.",
            "A predictor answers exactly the tasks in sample.demands.",
        )
