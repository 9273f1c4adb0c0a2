"""Scoring of two folders of label maps, without a challenge."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict, Unpack

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json_lines
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import CaseRow, MetricSpec, mean_statistic
from medbench.core.score import Score
from medbench.io import nifti_mha
from medbench.io.geometry import check_geometry
from medbench.io.images import SUFFIXES, read_labels, resample_labels, suffix_of
from medbench.metrics import evaluate_arrays, metric
from medbench.metrics.checks.invariants import check_structures
from medbench.metrics.convention import Convention
from medbench.running.loop import describe
from medbench.statistics.intervals import Aggregate, aggregate


@dataclass(frozen=True, slots=True)
class Pair:
    """A reference with the prediction of the same name; ``None`` where there is none."""

    name: str
    reference: Path
    prediction: Path | None


@dataclass(frozen=True, slots=True)
class FolderScores:
    """Scores of two folders of label maps.

    Attributes:
        rows: one row per pair; keys of scores are ``<label>/<metric id>``.
        aggregates: means over the pairs that have a value, with the same keys.
        specs: title, unit and direction of each key.
    """

    rows: Sequence[CaseRow]
    aggregates: Mapping[str, Aggregate]
    specs: Mapping[str, MetricSpec]

    @property
    def exit_code(self) -> int:
        """0, or 1 when some pairs failed or have no prediction."""
        return 0 if all(row.status == "ok" for row in self.rows) else 1


def pair_files(references: Path, predictions: Path, rename: tuple[str, str] | None = None) -> list[Pair]:
    """Pair files by their relative path without suffix; every reference is in the list.

    Args:
        references: folder, searched with its folders; or one file.
        predictions: folder, or one file.
        rename: ``(old, new)``: a prediction's name is its reference's with ``old`` replaced.

    Raises:
        MedbenchError: ``data.missing`` or ``predictions.none``.
    """
    for folder in (references, predictions):
        if not folder.exists():
            raise MedbenchError(
                "data.missing", f"{folder}: there is no such file or folder.", "Check the path."
            )
    if references.is_file() and predictions.is_file():
        return [Pair(references.name, references, predictions)]
    by_stem = {_stem(path, predictions): path for path in _images(predictions)}
    pairs = []
    for path in _images(references):
        stem = _stem(path, references)
        name = stem.replace(*rename) if rename else stem
        pairs.append(Pair(stem, path, by_stem.get(name)))
    if not any(pair.prediction for pair in pairs):
        raise MedbenchError(
            "predictions.none",
            f"{predictions}: holds no prediction for any of the {len(pairs)} references in {references}.",
            "Files pair by relative path without suffix; map names with --rename OLD=NEW.",
        )
    return pairs


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and suffix_of(path) in SUFFIXES)


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()[: -len(suffix_of(path))]


class FolderKeywords(TypedDict, total=False):
    """Keywords of :func:`evaluate_folders`; see :class:`FolderSettings`."""

    labels: Sequence[int] | None
    spacing: Sequence[float] | Literal["pixel"] | None
    empty: str | None
    rename: tuple[str, str] | None
    group_of: Callable[[str], str] | None
    resample_to_reference: bool
    workers: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """Settings of scoring two folders.

    Attributes:
        labels: labels to score; every label of the references but 0 if not given.
        spacing: mm along each array axis, or ``"pixel"``; the reference file's if not given.
        empty: rule for empty masks; each definition's own if not given.
        rename: how predictions are named, as in :func:`pair_files`.
        group_of: name -> patient, for the intervals; each pair is its own group if not given.
        resample_to_reference: bring predictions to the reference's grid (nearest neighbour) instead of
            refusing another geometry.
        workers: threads over the pairs.
        seed: of the resampling.
    """

    labels: Sequence[int] | None = None
    spacing: Sequence[float] | Literal["pixel"] | None = None
    empty: str | None = None
    rename: tuple[str, str] | None = None
    group_of: Callable[[str], str] | None = None
    resample_to_reference: bool = False
    workers: int = 2
    seed: int = 0


def evaluate_folders(
    references: str | Path,
    predictions: str | Path,
    metric_ids: Sequence[str],
    *,
    output: str | Path | None = None,
    progress: Progress | None = None,
    **keywords: Unpack[FolderKeywords],
) -> FolderScores:
    """Score every prediction in a folder against the reference of the same name.

    Args:
        references: folder of label maps (NIfTI, MHA, NRRD, PNG, TIFF, NPY), or one file.
        predictions: folder of label maps, or one file.
        metric_ids: definitions to compute; see ``medbench metrics``.
        output: file for one JSON line per pair.
        progress: advanced by every pair.
        keywords: ``labels``, ``spacing``, ``empty``, ``rename``, ``group_of``, ``resample_to_reference``,
            ``workers`` and ``seed``, as :class:`FolderSettings` says.

    Raises:
        MedbenchError: when the request cannot be met, or ``record.invariant`` when scores of a pair
            contradict one another; bad pairs are rows with status ``failed`` instead.
    """
    settings = FolderSettings(**keywords)
    scoring, pairs = _scoring(Path(references), Path(predictions), metric_ids, settings)
    rows = _rows(scoring, pairs, progress or SilentProgress())
    if output is not None:
        write_json_lines(Path(output), [row.as_json() for row in rows])
    _refuse_contradictions(rows, scoring.labels, scoring.conventions)
    aggregates = {
        name: aggregate(mean_statistic, spec, rows, settings.seed) for name, spec in scoring.specs.items()
    }
    return FolderScores(rows, aggregates, scoring.specs)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Settings with the labels and columns that they come to for some pairs."""

    settings: FolderSettings
    conventions: Sequence[Convention]
    labels: Sequence[int]
    specs: Mapping[str, MetricSpec]
    needs_spacing: bool

    def row(self, pair: Pair) -> CaseRow:
        """A pair's scores, or why there are none."""
        group = self.settings.group_of(pair.name) if self.settings.group_of else pair.name
        if pair.prediction is None:
            reason = "no prediction of that name"
            scores = dict.fromkeys(self.specs, Score.missing(reason))
            return CaseRow(pair.name, group, "missing", scores, {}, reason)
        try:
            scores = self._scores(pair, pair.prediction)
        except Exception as error:  # noqa: BLE001 - one bad pair never loses the others
            reason = describe(error)
            scores = dict.fromkeys(self.specs, Score.failed(reason))
            return CaseRow(pair.name, group, "failed", scores, {}, reason)
        return CaseRow(pair.name, group, "ok", scores, {})

    def _scores(self, pair: Pair, path: Path) -> dict[str, Score]:
        settings = self.settings
        reference, prediction = _read_pair(pair.name, pair.reference, path, settings.resample_to_reference)
        spacing = settings.spacing if settings.spacing is not None else reference.spacing
        if spacing is None and self.needs_spacing:
            raise _no_spacing(pair.reference)
        by_label = evaluate_arrays(
            reference.array,
            prediction.array,
            [convention.id for convention in self.conventions],
            self.labels,
            spacing,
            empty=settings.empty,
        )
        return {
            f"{label}/{name}": score for label, values in by_label.items() for name, score in values.items()
        }


def _scoring(
    references: Path, predictions: Path, metric_ids: Sequence[str], settings: FolderSettings
) -> tuple[_Scoring, list[Pair]]:
    conventions = [metric(name) for name in metric_ids]
    pairs = pair_files(references, predictions, settings.rename)
    needs_spacing = settings.spacing is None and any(convention.needs_spacing for convention in conventions)
    if needs_spacing and all(suffix_of(pair.reference) not in nifti_mha.SUFFIXES for pair in pairs):
        raise _no_spacing(pairs[0].reference)
    labels = _labels_of(pairs) if settings.labels is None else settings.labels
    specs = _columns(labels, conventions, "px" if settings.spacing == "pixel" else "mm")
    return _Scoring(settings, conventions, labels, specs, needs_spacing), pairs


def _rows(scoring: _Scoring, pairs: Sequence[Pair], progress: Progress) -> list[CaseRow]:
    rows = []
    progress.start("scoring", len(pairs))
    with ThreadPoolExecutor(max(1, scoring.settings.workers)) as pool:
        for row in pool.map(scoring.row, pairs):
            rows.append(row)
            if row.reason:
                progress.say(f"{row.case}: {row.reason}")
            progress.advance(1, row.case)
    progress.finish()
    return rows


def _refuse_contradictions(
    rows: Sequence[CaseRow], labels: Sequence[int], conventions: Sequence[Convention]
) -> None:
    for row in rows:
        check_structures(
            row.case,
            {str(label): {c.id: row.scores[f"{label}/{c.id}"] for c in conventions} for label in labels},
        )


def _read_pair(name: str, reference: Path, prediction: Path, resample: bool) -> tuple[Volume, Volume]:
    volume = read_labels(reference)
    if resample:
        return volume, resample_labels(prediction, reference)
    other = read_labels(prediction)
    check_geometry(volume, other, name)
    return volume, other


def _columns(labels: Sequence[int], conventions: Sequence[Convention], length: str) -> dict[str, MetricSpec]:
    """``<label>/<metric id>`` -> column, distances in the unit ``length``."""
    return {
        f"{label}/{c.id}": MetricSpec(
            f"{label}/{c.id}",
            f"{label} {c.id}",
            {"1": "", "mm": length}.get(c.unit, c.unit),
            c.better,
            c.id,
            (c.range[0], None if c.range[1] == float("inf") else c.range[1]),
        )
        for label in labels
        for c in conventions
    }


def _no_spacing(path: Path) -> MedbenchError:
    return MedbenchError(
        "metric.spacing",
        f"{path}: has no spacing, which distances need.",
        "Give --spacing in mm along each array axis, or --spacing pixel.",
    )


def _labels_of(pairs: Sequence[Pair]) -> list[int]:
    """Every label but 0 in the readable references."""
    import numpy as np

    labels: set[int] = set()
    for pair in pairs:
        try:
            labels |= {int(label) for label in np.unique(read_labels(pair.reference).array)}
        except MedbenchError:
            continue
    if not labels - {0}:
        raise MedbenchError(
            "data.no_labels", "No reference holds a label other than 0.", "Check --references."
        )
    return sorted(labels - {0})
