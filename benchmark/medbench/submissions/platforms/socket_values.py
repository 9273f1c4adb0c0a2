"""Values of grand-challenge's output sockets: masks, classes, numbers, boxes and points of one prediction.

Sources of the JSON forms: the schemas of comic/grand-challenge.org@9957bfc (``Multiple 2D bounding boxes``,
``Multiple points``); places are in the physical coordinates of the image, x first, in mm.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.submissions.description import Interface, Socket
from medbench.submissions.findings import Finding, error
from medbench.submissions.platforms import socket_biometry as biometry

if TYPE_CHECKING:
    from medbench.challenges.base import Challenge

TOLERANCE = 1e-4
FLAG = 0.5
PLANE_MM = 0.5
"""Third coordinate of places in a plane, as in the platform's own examples."""
VERSION = {"major": 1, "minor": 0}


@dataclass(frozen=True, slots=True)
class Context:
    """Inputs of a socket's value.

    Attributes:
        challenge: names of classes and landmarks.
        answers: task -> answer to one image, without the axis of images.
        grid: geometry of the image.
        of: name of the class that a socket is about; empty for all.
    """

    challenge: Challenge
    answers: Mapping[str, Any]
    grid: Volume
    of: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes of whole images."""
        return self.challenge.card.image_classes

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Probabilities of the classes, ``(classes,)``."""
        return np.asarray(self.answers["image_classes"], np.float64)

    @property
    def labels(self) -> npt.NDArray[Any]:
        """The label map, ``(height, width)`` or ``(depth, height, width)``."""
        return np.asarray(self.answers["label_map"])

    def probability(self) -> float:
        """Probability of the class that the socket is about."""
        return float(self.probabilities[self.names.index(self.of)])

    def place(self, x: float, y: float) -> list[float]:
        """A place of the image in mm; (0, 0) is the centre of its first pixel."""
        spacing, origin = self.grid.spacing or (1.0, 1.0), self.grid.origin
        count = len(spacing)
        index = np.array([x, y, *[0.0] * (count - 2)])
        turn = np.reshape(self.grid.direction or np.eye(count).ravel(), (count, count))
        shift = np.zeros(count) if origin is None else np.array(origin[::-1])
        point = shift + turn @ (index * np.array(spacing[::-1]))
        return [float(point[0]), float(point[1]), float(point[2]) if count > 2 else PLANE_MM]


def _classes(context: Context) -> Any:
    return {name: float(value) for name, value in zip(context.names, context.probabilities, strict=True)}


def _class_index(context: Context) -> Any:
    return int(context.probabilities.argmax())


def _class_name(context: Context) -> Any:
    return context.names[_class_index(context)]


def _boxes(context: Context) -> Any:
    boxes, names = context.answers["boxes"], context.challenge.card.demands["boxes"]
    entries = []
    for corners, score, index in zip(boxes.corners, boxes.scores, boxes.classes, strict=True):
        left, top, right, bottom = (float(value) - 0.5 for value in corners)
        edges = [(left, top), (right, top), (right, bottom), (left, bottom)]
        entries.append(
            {
                "name": names[int(index)],
                "corners": [context.place(x, y) for x, y in edges],
                "probability": min(1.0, max(0.0, float(score))),
            }
        )
    return {"type": "Multiple 2D bounding boxes", "boxes": entries, "version": VERSION}


def _points(context: Context) -> Any:
    names = context.challenge.card.demands["landmarks"]
    points = [
        {"name": name, "point": context.place(float(x), float(y))}
        for name, (x, y) in zip(names, context.answers["landmarks"], strict=True)
    ]
    return {"type": "Multiple points", "points": points, "version": VERSION}


@dataclass(frozen=True, slots=True)
class Value:
    """A value that an output socket may hold.

    Attributes:
        kinds: kinds of sockets that may hold it, the first by default.
        tasks: tasks of which one must be demanded, the first that is demanded being used.
        make: the JSON value; ``None`` for an image of labels.
        of_class: whether it is about one class, named after a colon.
        names: task -> names that the challenge must demand, in their order; every name where it is not given.
    """

    kinds: tuple[str, ...]
    tasks: tuple[str, ...]
    make: Callable[[Context], Any] | None
    of_class: bool = False
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def task(self, challenge: Challenge) -> str | None:
        """The first of its tasks that a challenge demands with these names."""
        demands = challenge.card.demands
        fitting = (task for task in self.tasks if task in demands)
        return next((task for task in fitting if demands[task] == self.names.get(task, demands[task])), None)

    @property
    def needs(self) -> str:
        """Its tasks in words, with the names that they must have."""
        names = {task: f" of {', '.join(self.names[task])}" for task in self.names}
        return " and no ".join(f"{task}{names.get(task, '')}" for task in self.tasks)


VALUES: Mapping[str, Value] = MappingProxyType(
    {
        "label_map": Value(("image",), ("label_map",), None),
        "image_classes": Value(("json",), ("image_classes",), _classes),
        "class": Value(("string", "json"), ("image_classes",), _class_name),
        "class_index": Value(("integer", "json"), ("image_classes",), _class_index),
        "probability": Value(("float", "json"), ("image_classes",), Context.probability, True),
        "flag": Value(
            ("boolean", "json"), ("image_classes",), lambda context: context.probability() >= FLAG, True
        ),
        "boxes": Value(("bounding_boxes", "json"), ("boxes",), _boxes),
        "landmarks": Value(("points", "json"), ("landmarks",), _points),
        "angle_of_progression": Value(
            ("float", "json"),
            ("landmarks", "label_map"),
            lambda context: biometry.angle_of_progression(context.answers),
            names=biometry.ANGLE,
        ),
        "head_symphysis_distance": Value(
            ("float", "json"),
            ("label_map",),
            lambda context: biometry.head_symphysis_distance(context.labels),
            names=biometry.DISTANCE,
        ),
        "head_circumference": Value(
            ("float", "json"),
            ("label_map",),
            lambda context: biometry.head_circumference(context.labels, context.grid.spacing or (1.0, 1.0)),
            names=biometry.CIRCUMFERENCE,
        ),
    }
)
"""Name, as the ``answer`` of an output socket -> value. A float and a boolean socket must say which."""
_BY_KIND = {
    "image": "label_map",
    "json": "image_classes",
    "string": "class",
    "integer": "class_index",
    "bounding_boxes": "boxes",
    "points": "landmarks",
}


def answer_of(socket: Socket) -> tuple[str, str]:
    """Name of an output socket's value, and of the class that it is about."""
    name, _, of = (socket.answer or _BY_KIND.get(socket.kind, "")).partition(":")
    return name, of


def task_of(socket: Socket, challenge: Challenge) -> str:
    """The task whose answer an output socket holds."""
    task = VALUES[answer_of(socket)[0]].task(challenge)
    assert task is not None, "check_output has refused the socket"
    return task


def tasks_of(interface: Interface, challenge: Challenge) -> frozenset[str]:
    """Tasks whose answers an interface's outputs hold."""
    return frozenset(task_of(socket, challenge) for socket in interface.outputs)


def check_output(socket: Socket, challenge: Challenge) -> Iterator[Finding]:
    """Findings on an output socket whose value does not exist, does not fit its kind or is not demanded."""
    name, of = answer_of(socket)
    value = VALUES.get(name)
    if value is None:
        fitting = [value_name for value_name, each in VALUES.items() if socket.kind in each.kinds]
        yield error(
            "submission.answer",
            f"Output {socket.slug}: its value '{name}' is not known."
            if name
            else f"Output {socket.slug}: a socket of kind {socket.kind} must say what it holds.",
            f'Give answer = "…", of {", ".join(fitting)} (and the class after a colon).',
        )
        return
    if socket.kind not in value.kinds:
        kinds = " or ".join(value.kinds)
        yield error(
            "submission.answer",
            f"Output {socket.slug}: {name} is no value of a socket of kind {socket.kind}.",
            f"Its kind is {kinds}.",
        )
    if value.task(challenge) is None:
        yield error(
            "submission.answer",
            f"Output {socket.slug}: {challenge.title} has no {value.needs}.",
            f"It has {', '.join(challenge.card.demands)}.",
        )
    elif value.of_class and of not in challenge.card.image_classes:
        yield error(
            "submission.answer",
            f"Output {socket.slug}: there is no class '{of}'.",
            f"Write {name}: and one of {', '.join(challenge.card.image_classes)}.",
        )


def json_value(socket: Socket, context: Context) -> Any:
    """The JSON value of an output socket."""
    name, of = answer_of(socket)
    make = VALUES[name].make
    assert make is not None, "an image is no JSON value"
    return make(Context(context.challenge, context.answers, context.grid, of))


_CHECKS: Mapping[str, Callable[[Any], bool]] = {
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "bounding_boxes": lambda value: isinstance(value, dict) and isinstance(value.get("boxes"), list),
    "points": lambda value: isinstance(value, dict) and isinstance(value.get("points"), list),
    "json": lambda value: True,
}
KINDS = {
    "image": "Image",
    "file": "Text file",
    "json": "Anything",
    "float": "Float",
    "integer": "Integer",
    "string": "String",
    "boolean": "Bool",
    "bounding_boxes": "Multiple 2D bounding boxes",
    "points": "Multiple points",
}
"""Kind in a submission file -> the platform's name for it."""
EXAMPLES: Mapping[str, Any] = MappingProxyType(
    {
        "json": {},
        "float": 0.5,
        "integer": 1,
        "string": "text",
        "boolean": True,
        "bounding_boxes": {"type": KINDS["bounding_boxes"], "boxes": [], "version": VERSION},
        "points": {"type": KINDS["points"], "points": [], "version": VERSION},
    }
)
"""A value of each kind of JSON socket, for the inputs of a rehearsal."""


def is_json(socket: Socket) -> bool:
    """Whether a socket holds a JSON value."""
    return socket.kind in _CHECKS


def read_json_value(path: Path, socket: Socket) -> Any:
    """The value of a JSON input socket.

    Raises:
        MedbenchError: ``input.missing``, or ``input.json`` for what is no JSON or of another kind.
    """
    if not path.is_file():
        raise MedbenchError("input.missing", f"{path}: is missing.", f"Give the input {socket.slug}.")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as failure:
        raise MedbenchError(
            "input.json", f"{path}: is no JSON ({failure}).", f"Correct the input {socket.slug}."
        ) from failure
    if not _CHECKS[socket.kind](value):
        raise MedbenchError(
            "input.json",
            f"{path}: holds {json.dumps(value)[:60]}, which is no {KINDS[socket.kind]}.",
            f"Correct the input {socket.slug}.",
        )
    return value


def compare_values(due: Any, path: Path, socket: Socket, name: str) -> Iterator[Finding]:
    """Findings on a JSON output that is missing, of another kind, or not the value of ``medbench run``.

    Args:
        due: the value of ``medbench run``; ``...`` where the case has none to compare with.
        path: the file that the container wrote.
        socket: the output.
        name: name of the case, for the message.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except FileNotFoundError:
        yield error("output.missing", f"{name}: {socket.path} was not written.", "Write one value a case.")
        return
    except ValueError as failure:
        yield error("output.format", f"{name}: {socket.path} is no JSON ({failure}).", "Write null for NaN.")
        return
    if value is not None and not _CHECKS[socket.kind](value):
        yield error(
            "output.type",
            f"{name}: {socket.path} holds {json.dumps(value)[:60]}; its kind is {KINDS[socket.kind]}.",
            "Write a value of that kind.",
        )
    elif due is not ... and not _alike(due, value):
        yield error(
            "output.differs",
            f"{name}: {socket.path} holds {json.dumps(value)[:60]}, medbench run {json.dumps(due)[:60]}.",
            "The container reads, scales or resizes differently, or has other weights or versions.",
        )


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON value")


def _alike(due: Any, value: Any) -> bool:
    if isinstance(due, dict) and isinstance(value, dict):
        return due.keys() == value.keys() and all(_alike(due[key], value[key]) for key in due)
    if isinstance(due, list) and isinstance(value, list):
        return len(due) == len(value) and all(map(_alike, due, value))
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (due, value)]
    if all(numbers):
        return math.isclose(due, value, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(due == value)
