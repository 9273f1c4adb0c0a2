"""Declared volumes with label maps: one file a modality, or one with all of them, whole or slice by slice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from medbench.challenges.card import Card
from medbench.challenges.declared.columns import Column, score_columns, worst_scores
from medbench.challenges.declared.declaration import Declaration
from medbench.challenges.declared.items import Item
from medbench.challenges.declared.release import DeclaredRelease
from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.challenges.families.mr_volumes.files import MRVolumeRelease
from medbench.challenges.families.mr_volumes.scoring import MRVolumeScorer
from medbench.challenges.mask_sizes import check_size
from medbench.challenges.stray import Finding, findings_of
from medbench.core.case import Case, Volume
from medbench.core.errors import MedbenchError
from medbench.core.guard import Failure, guarded
from medbench.core.sample import Prediction
from medbench.core.score import Score, Status
from medbench.core.text import agreeing, counted
from medbench.io import nifti_mha


class DeclaredVolumeRelease(DeclaredRelease, MRVolumeRelease):
    """Files of declared volumes with label maps.

    Networks for volumes take 0 as background; where a modality has negative values (CT), all of its values
    are shifted so that the least is 0.
    """

    label_advice = "Name it under labels of the declaration, or correct the file."

    def read_modalities(self, case: Case) -> dict[str, Volume]:
        """The modalities of a case on one grid; a 4-D file holds all of them.

        Raises:
            MedbenchError: as the family's, and ``data.channels`` for a 4-D file with other channels.
        """
        files = set(case.inputs.values())
        if len(files) == 1 and files:
            volumes = self._of_one_file(case, files.pop())
        else:
            volumes = super().read_modalities(case)
        return {name: _shifted(volume) for name, volume in volumes.items()}

    def _of_one_file(self, case: Case, path: Any) -> dict[str, Volume]:
        volume = nifti_mha.read_volume(path)
        count = len(volume.array) if volume.array.ndim == 4 else 1
        names = list(self.card.modalities)
        if volume.array.ndim < 3 or (volume.array.ndim == 3 and len(case.inputs) == 1):
            return super().read_modalities(case)
        if count != len(names) or volume.array.ndim != 4:
            raise MedbenchError(
                "data.channels",
                f"{path}: holds {counted(count, 'channel')}, {self.card.name} declares {len(names)} "
                f"{agreeing(len(names), 'modality', 'modalities')} ({', '.join(names)}).",
                "Correct modalities, or the file.",
            )
        return {name: _channel(volume, names.index(name)) for name in case.inputs}

    def content_findings(self, items: Sequence[Item]) -> Iterator[Finding]:
        """Every volume and label map."""
        for item in items:
            case = self.case(item.id, item)
            yield from findings_of(item.id, lambda case=case: self.check_case(case))  # type: ignore[misc]

    def check_case(self, case: Case) -> Iterator[Finding]:
        """Findings on the files of one case: of label maps of another size that alone.

        Raises:
            MedbenchError: ``data.size_mismatch``.
        """
        files = [*case.reference.values(), *case.inputs.values()][:2] if case.reference else []
        sizes = guarded(case.id, lambda: [nifti_mha.read_geometry(path).shape[-3:] for path in files])
        if not isinstance(sizes, Failure) and len(sizes) == 2:
            check_size(files[0], sizes[0], sizes[1])
        yield from super().check_case(case)

    def check_unlabelled(self, case: Case) -> Iterator[Finding]:
        """None: cases without a label map are counted already."""
        yield from ()

    def check_reference(self, case: Case, reference: Volume) -> Iterator[Finding]:
        """A note where nothing is marked."""
        if not reference.array.any():
            yield Finding("note", f"{case.reference['labels']}: nothing is marked.")


def _shifted(volume: Volume) -> Volume:
    least = volume.array.min()
    return (
        volume if least >= 0 else replace(volume, array=volume.array.astype(np.float32) - np.float32(least))
    )


def _channel(volume: Volume, index: int) -> Volume:
    """One of the first axis' volumes of a 4-D file, with its own geometry."""
    direction = volume.direction
    if direction is not None and len(direction) == 16:
        direction = tuple(np.reshape(direction, (4, 4))[:3, :3].ravel().tolist())
    spacing, origin = (
        None if facts is None else tuple(facts[-3:]) for facts in (volume.spacing, volume.origin)
    )
    return Volume(volume.array[index], spacing, origin, direction)


class DeclaredVolumeExchange(MRVolumeExchange):
    """Volumes for three-dimensional networks, slices of three channels for two-dimensional ones."""

    def __init__(self, card: Card, release: DeclaredVolumeRelease) -> None:
        super().__init__(card, release)
        names = list(card.modalities)
        first, second, third = (names + names[-1:] * 2)[:3]
        self.channels = (first, second, third)  # type: ignore[misc]

    def write(self, prediction: Prediction, case: Case, folder: Path) -> Path:
        """Write a label map with the data set's own values and the geometry of the image."""
        values = np.array(list(self.card.labels), np.uint8)
        grid = self.grid(case)
        path = folder / self.prediction_name(case)
        labels = values[prediction["label_map"]]
        nifti_mha.write_volume(path, Volume(labels, grid.spacing, grid.origin, grid.direction))
        return path

    def grid(self, case: Case) -> Volume:
        """The grid of a case's images, of a 4-D file that of one of its volumes."""
        volume = super().grid(case)
        return _channel(volume, 0) if volume.array.ndim == 4 else volume


class DeclaredVolumeScorer(MRVolumeScorer):
    """Label volumes scored structure by structure, by the declared metrics."""

    def __init__(
        self, card: Card, release: DeclaredVolumeRelease, columns: Sequence[Column], declaration: Declaration
    ) -> None:
        super().__init__(card, release)
        self.columns, self.declaration = columns, declaration
        self.structures: Mapping[str, int] = {name: value for value, name in list(card.labels.items())[1:]}

    def score_arrays(
        self, reference: Any, prediction: Any, spacing: tuple[float, ...] | None = None
    ) -> dict[str, Score]:
        """All columns of a pair of label volumes ``(z, y, x)`` with the data set's own values."""
        return score_columns(self.columns, self.structures, (reference, prediction), self._steps(spacing))

    def _steps(self, spacing: tuple[float, ...] | None) -> tuple[float, ...] | str | None:
        due = self.declaration.spacing
        return spacing if due == "file" else due

    def worst_scores(self, reference: Volume, status: Status, reason: str) -> dict[str, Score]:
        """Scores of a failed or missing prediction by the declared rule."""
        steps, missing = self._steps(reference.spacing), self.declaration.missing
        return worst_scores(self.columns, reference.shape, steps, status, reason, missing)
