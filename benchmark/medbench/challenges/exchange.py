"""Exchanges: samples that models see of cases, and files of their predictions."""

from __future__ import annotations

import abc
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medbench.challenges.card import Card
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.overlay import Illustration
from medbench.core.sample import Prediction
from medbench.core.task import Form
from medbench.io.gate.listing import is_metadata, present
from medbench.io.gate.source import without_links


def size_text(shape: Sequence[int]) -> str:
    """``height×width``."""
    return "×".join(map(str, shape))


def only_file(folder: Path, suffix: str) -> Path | None:
    """The one file with a suffix in a folder of predictions; ``None`` where there is none or several.

    Raises:
        MedbenchError: ``file.link_outside`` where it is a link out of the folder.
    """
    files = [path for path in folder.glob(f"*{suffix}") if not is_metadata(path.name)]
    return without_links(files[0], folder) if len(files) == 1 else None


@dataclass(frozen=True, slots=True)
class Inputs:
    """Samples and training examples for models of one form.

    Attributes:
        read: the :class:`Sample`, :class:`VolumeSample` or :class:`SequenceSample` of a case; raises
            :class:`MedbenchError` naming the file that cannot be read.
        examples: training examples, :class:`TrainingImage` and its like: called with the data folder, the
            split and a folder for decoded images; raises as ``Release.cases``. Only the ``load`` of an
            example opens its files.
    """

    read: Callable[[Case], Any]
    examples: Callable[[Path, str, Path], Sequence[Any]]


class Exchange(abc.ABC):
    """Reads what models may see of a case, and writes, locates and shows predictions.

    Attributes:
        inputs: form (``image``, ``volume``, ``slide``, ``sequence``) -> samples and training examples of that
            form. Its keys are the forms that the challenge serves, the first being its own.
        inputs_with_reference: the same for models whose card says that they see the reference of the very
            cases that they predict; empty where the challenge shows it to none.
        reference_answers: rows that tables show beside models, never ranked: name -> writes the prediction
            of a case into a folder and returns its path.
        several_answers: whether a prediction may hold the answers of several networks, of which the mean
            counts.
        patch_position: top-left corner (row, column) of a patch within its slide, in pixels. Patches of one
            slide overlap, and ``--stitch`` averages them. ``None`` where cases are no such patches.
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
        """Path of the case's prediction, relative to the folder of predictions."""

    @abc.abstractmethod
    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write the prediction in the challenge's format, atomically; the path written."""

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """Names that the case's prediction may have in ``folder`` besides its own, relative to it."""
        return ()

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The case's prediction in ``folder``: at its own place, by its file name alone, or by another name.

        What has the own name is the prediction, whatever lies beside it and whether it can be read or not.

        Args:
            case: the case.
            folder: predictions, ours or foreign.
            rename: ``(old, new)`` text to replace in the file name, for foreign naming schemes.

        Raises:
            MedbenchError: ``predictions.ambiguous`` where it has several other names, ``file.link_outside``
                where the way to it is a link out of the folder.
        """
        name = Path(self.prediction_name(case))
        if rename is not None:
            name = name.with_name(name.name.replace(*rename))
        for candidate in (folder / name, folder / name.name):
            place = present(candidate)
            if place is not None:
                return without_links(place, folder)
        others = [folder / other for other in self.other_names(case, folder)]
        there = [other for other in others if os.path.lexists(other)]
        if len(there) > 1:
            names = ", ".join(path.name for path in there)
            raise MedbenchError(
                "predictions.ambiguous", f"{case.id}: several predictions: {names}.", "Keep one of them."
            )
        return without_links(there[0], folder) if there else None

    def gather(self, cases: Sequence[Case], folder: Path) -> Path | None:
        """Write the one file that the challenge takes, from the predictions of all cases in ``folder``.

        Args:
            cases: those that the file is about, in its order; ones without a prediction are left out.
            folder: predictions as :meth:`write` wrote them; gets the file.

        Returns:
            The file; ``None`` where the challenge takes a file a case.

        Raises:
            MedbenchError: when a prediction cannot be read.
        """
        return None

    def illustrations(self, case: Case, path: Path) -> Sequence[Illustration]:
        """Images of a case and its prediction for the report; empty where the challenge has none.

        Raises:
            MedbenchError: when a file cannot be read.
        """
        return []
