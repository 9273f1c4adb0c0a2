"""What models may see of a case, and how their answers are written and found."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medbench.challenges.card import Card
from medbench.core.case import Case
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction
from medbench.core.task import Form


def size_text(shape: Sequence[int]) -> str:
    """``height×width``."""
    return "×".join(map(str, shape))


@dataclass(frozen=True, slots=True)
class Inputs:
    """What models of one form see and learn from.

    Attributes:
        read: what such a model sees of a case: a :class:`Sample`, :class:`VolumeSample` or
            :class:`SequenceSample`; raises :class:`MedbenchError` naming the file that cannot be read.
        examples: what such a model learns from, :class:`TrainingImage` and its like: called with the data
            folder, the split and a folder for decoded images; raises as ``Release.cases``. Files are opened
            by the examples' ``load`` only.
    """

    read: Callable[[Case], Any]
    examples: Callable[[Path, str, Path], Sequence[Any]]


class Exchange(abc.ABC):
    """What models may see of a case, and how their answers are written and found.

    Attributes:
        inputs: form (``image``, ``volume``, ``slide``, ``sequence``) -> what models of that form see. The
            forms that stand here are those that the challenge serves, the challenge's own form first.
        inputs_with_reference: the same for models whose card says that they see the reference of the very
            cases that they predict; empty where the challenge shows it to none.
        reference_answers: rows that tables show beside models, never ranked: name -> writes the prediction
            of a case into a folder and returns its path.
        several_answers: whether a prediction may hold the answers of several networks, of which the mean
            counts.
        patch_position: top-left corner (row, column) of a case's image within its group's slide, in pixels,
            where cases are patches that overlap; ``None`` where nothing can be stitched.
    """

    inputs: Mapping[Form, Inputs]
    inputs_with_reference: Mapping[Form, Inputs] = MappingProxyType({})
    reference_answers: Mapping[str, Callable[[Case, Path], Path]] = MappingProxyType({})
    several_answers: bool = False
    patch_position: Callable[[Case], tuple[int, int]] | None = None

    def __init__(self, card: Card) -> None:
        self.card = card

    @abc.abstractmethod
    def prediction_name(self, case: Case) -> str:
        """Where :meth:`write` puts the case's prediction, relative to the folder."""

    @abc.abstractmethod
    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the prediction in the challenge's format, atomically; the path written."""

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The case's prediction in ``folder``: at its own place, or by its file name alone.

        Args:
            case: the case.
            folder: predictions, ours or foreign.
            rename: ``(old, new)`` text to replace in the file name, for foreign naming schemes.
        """
        name = Path(self.prediction_name(case))
        if rename is not None:
            name = name.with_name(name.name.replace(*rename))
        for candidate in (folder / name, folder / name.name):
            if candidate.is_file():
                return candidate
        return None

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """What a report shows of a case and its prediction; nothing where no image tells more than numbers.

        Raises:
            MedbenchError: when a file cannot be read.
        """
        return []
