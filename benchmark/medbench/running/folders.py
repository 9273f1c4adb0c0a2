"""Scoring of two folders of label maps, without a challenge."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict, TypeVar, Unpack

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.files import write_json_lines
from medbench.core.guard import Failure, guarded
from medbench.core.label_values import label_values
from medbench.core.plugins import load_plugin, loaded_plugins
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import FLAGS, REFUSAL, CaseRow, CaseScores, MetricSpec, mean_statistic
from medbench.core.score import Score
from medbench.io.gate.expected import handed_in
from medbench.io.gate.meaning import counted
from medbench.io.gate.zipped import is_zip, unpacked
from medbench.io.geometry import check_geometry
from medbench.io.images import VOLUME_SUFFIXES, read_labels, resample_labels, suffix_of
from medbench.metrics import metric
from medbench.metrics.checks.invariants import check_structures
from medbench.metrics.checks.suspicion import flags
from medbench.metrics.convention import Convention
from medbench.metrics.engine import evaluate_maps
from medbench.metrics.masks.joint_histogram import JointHistogram
from medbench.metrics.masks.label_maps import LabelMaps
from medbench.running.call_engine import Done, Lost, in_turn, spread
from medbench.running.pairs import Pair, pair_files
from medbench.statistics.intervals import Aggregate, aggregate

MOST_UNPACKED_BYTES = 64 << 30
MOST_TOGETHER, BATCHES = 16, 128
"""Pairs that travel to a worker together, at most, and batches in which a folder is given out, at least."""
STRANGE = "labels_of_no_reference"
GEOMETRY_ADVICE = "Write predictions in the reference's geometry, or use --resample-to-reference."


R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class FolderScores:
    """Scores of two folders of label maps.

    Attributes:
        rows: one row per pair; keys of scores are ``<label>/<metric id>``.
        aggregates: means over the pairs that have a value, with the same keys.
        specs: title, unit and direction of each key.
        notes: what whoever reads the scores should know, in words.
    """

    rows: Sequence[CaseRow]
    aggregates: Mapping[str, Aggregate]
    specs: Mapping[str, MetricSpec]
    notes: Sequence[str] = ()

    @property
    def exit_code(self) -> int:
        """0, or 1 when some pairs failed or have no prediction."""
        return 0 if all(row.status == "ok" for row in self.rows) else 1


class FolderKeywords(TypedDict, total=False):
    """Keywords of :func:`evaluate_folders`; see :class:`FolderSettings`."""

    labels: Sequence[int] | None
    spacing: Sequence[float] | Literal["pixel"] | None
    empty: str | None
    rename: tuple[str, str] | None
    group_of: Callable[[str], str] | None
    resample_to_reference: bool
    workers: int | Executor
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
        workers: number of threads, or an executor whose workers see the files under the same paths.
        seed: of the resampling.
    """

    labels: Sequence[int] | None = None
    spacing: Sequence[float] | Literal["pixel"] | None = None
    empty: str | None = None
    rename: tuple[str, str] | None = None
    group_of: Callable[[str], str] | None = None
    resample_to_reference: bool = False
    workers: int | Executor = 2
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
        predictions: folder of label maps, a zip of one, or one file.
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
    conventions = [metric(name) for name in metric_ids]
    with _opened(Path(predictions)) as folder:
        paired = pair_files(Path(references), folder, settings.rename)
        scoring = _scoring(paired.pairs, conventions, settings)
        rows = _rows(scoring, paired.pairs, progress or SilentProgress())
        rows = [row.renamed(str(folder), str(predictions)) for row in rows]
        notes = [note.replace(str(folder), str(predictions)) for note in paired.notes]
    if output is not None:
        write_json_lines(Path(output), [row.as_json() for row in rows])
    _refuse_contradictions(rows, scoring.labels, scoring.conventions)
    aggregates = {
        name: aggregate(mean_statistic, spec, rows, settings.seed) for name, spec in scoring.specs.items()
    }
    remarks = [f"{row.case}: {flag}" for row in rows for flag in row.evidence.get(FLAGS, ())]
    remarks += [f"{row.case}: {row.evidence[STRANGE]}" for row in rows if STRANGE in row.evidence]
    return FolderScores(rows, aggregates, scoring.specs, [*notes, *remarks])


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Path]:
    """The folder or file as it is; a zip is unpacked for as long as the block runs."""
    if not is_zip(path):
        yield path
    else:
        with unpacked(path, MOST_UNPACKED_BYTES) as folder:
            yield folder


@dataclass(frozen=True, slots=True)
class _Scoring:
    """Settings with the labels and columns that they come to for some pairs."""

    settings: FolderSettings
    conventions: Sequence[Convention]
    labels: Sequence[int]
    specs: Mapping[str, MetricSpec]

    def row(self, pair: Pair) -> CaseRow:
        """A pair's scores, or why there are none; the pair is its own group."""
        if pair.prediction is None and pair.failure is None:
            reason = f"no prediction of that name{pair.hint}"
            scores = dict.fromkeys(self.specs, Score.missing(reason))
            return CaseRow(pair.name, pair.name, "missing", scores, {}, reason)
        scored = guarded(pair.name, lambda: self._scores(pair)) if pair.failure is None else pair.failure
        if isinstance(scored, Failure):
            scores = dict.fromkeys(self.specs, Score.failed(scored.reason))
            return CaseRow(pair.name, pair.name, "failed", scores, {REFUSAL: scored.code}, scored.reason)
        return CaseRow(pair.name, pair.name, "ok", scored.scores, scored.evidence)

    def _scores(self, pair: Pair) -> CaseScores:
        settings, needed = self.settings, self.conventions
        reference, prediction = _read_pair(pair, settings.resample_to_reference)
        spacing = settings.spacing if settings.spacing is not None else reference.spacing
        if spacing is None:
            needed = [convention for convention in needed if not convention.needs_spacing]
        maps = LabelMaps(reference.array, prediction.array)
        by_label = evaluate_maps(maps, needed, self.labels, spacing, empty=settings.empty)
        unknown = Score.undefined(f"{pair.reference.name} states no voxel size; give --spacing")
        scores = {
            f"{label}/{one.id}": by_label[str(label)].get(one.id, unknown)
            for label in self.labels
            for one in self.conventions
        }
        suspicious = flags(reference.array, prediction.array, maps.histogram)
        return CaseScores(scores, {**suspicious, **self._strangers(prediction, maps.histogram)})

    def _strangers(self, prediction: Volume, histogram: JointHistogram) -> dict[str, str]:
        """Labels of the prediction that no reference has; all are scored where labels were given."""
        if self.settings.labels is not None or {0, *self.labels}.issuperset(histogram.labels.tolist()):
            return {}
        strange = counted(prediction.array, {0, *self.labels})
        return {STRANGE: f"label {strange} is in no reference"} if strange else {}


def _scoring(pairs: Sequence[Pair], conventions: Sequence[Convention], settings: FolderSettings) -> _Scoring:
    needs_spacing = settings.spacing is None and any(convention.needs_spacing for convention in conventions)
    if needs_spacing and all(suffix_of(pair.reference) not in VOLUME_SUFFIXES for pair in pairs):
        needing = next(convention.id for convention in conventions if convention.needs_spacing)
        raise _no_spacing(pairs[0].reference, needing)
    labels = _labels_of(pairs, settings.workers) if settings.labels is None else settings.labels
    return _scoring_of(labels, conventions, settings)


def _scoring_of(
    labels: Sequence[int], conventions: Sequence[Convention], settings: FolderSettings
) -> _Scoring:
    specs = _columns(labels, conventions, "px" if settings.spacing == "pixel" else "mm")
    return _Scoring(settings, conventions, labels, specs)


@dataclass(frozen=True, slots=True)
class _ScoringOrder:
    """How pairs are scored in any process.

    Attributes:
        metrics: ids of the definitions.
        labels: to score.
        settings: without the function of groups, which stays with whoever gives the order.
        plugins: Python files to load first, which may define metrics.
    """

    metrics: Sequence[str]
    labels: Sequence[int]
    settings: FolderSettings
    plugins: Sequence[Path]


def _score_pairs(order: _ScoringOrder, pairs: Sequence[Pair]) -> list[CaseRow]:
    """Rows of pairs, in any process."""
    for path in order.plugins:
        load_plugin(path)
    scoring = _scoring_of(order.labels, [metric(name) for name in order.metrics], order.settings)
    return [scoring.row(pair) for pair in pairs]


def _scored(scoring: _Scoring, pairs: Sequence[Pair]) -> Iterator[CaseRow]:
    """Rows as they come: in this thread, by threads, or by the workers of an executor."""
    order = _ScoringOrder(
        [convention.id for convention in scoring.conventions],
        scoring.labels,
        replace(scoring.settings, group_of=None, workers=1),
        loaded_plugins(),
    )
    for done in _in_batches(partial(_score_pairs, order), pairs, scoring.settings.workers):
        if isinstance(done.result, Lost):
            failure = Failure("worker.died", done.result.reason)
            yield scoring.row(replace(done.order[0], failure=failure))
        else:
            yield from done.result


def _in_batches(
    call: Callable[[Sequence[Pair]], R], pairs: Sequence[Pair], workers: int | Executor
) -> Iterator[Done[Sequence[Pair], R]]:
    """Results of batches of pairs by workers; the pairs of a batch whose worker dies go again one by one."""
    size = max(1, min(MOST_TOGETHER, len(pairs) // BATCHES))
    due = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    if workers == 1:
        yield from in_turn(call, due)
        return
    with ThreadPoolExecutor(workers) if isinstance(workers, int) else contextlib.nullcontext(workers) as own:
        while due:
            again: list[Sequence[Pair]] = []
            for done in spread(call, due, own):
                if isinstance(done.result, Lost) and len(done.order) > 1:
                    again += [[pair] for pair in done.order]
                else:
                    yield done
            due = again


def _rows(scoring: _Scoring, pairs: Sequence[Pair], progress: Progress) -> list[CaseRow]:
    rows: dict[str, CaseRow] = {}
    progress.start("scoring", len(pairs))
    for row in _scored(scoring, pairs):
        rows[row.case] = row
        if row.reason:
            progress.say(f"{row.case}: {row.reason}")
        progress.advance(1, row.case)
    progress.finish()
    group_of = scoring.settings.group_of
    in_order = [rows[pair.name] for pair in pairs]
    return [replace(row, group=group_of(row.case)) for row in in_order] if group_of else in_order


def _refuse_contradictions(
    rows: Sequence[CaseRow], labels: Sequence[int], conventions: Sequence[Convention]
) -> None:
    for row in rows:
        check_structures(
            row.case,
            {str(label): {c.id: row.scores[f"{label}/{c.id}"] for c in conventions} for label in labels},
        )


def _read_pair(pair: Pair, resample: bool) -> tuple[Volume, Volume]:
    assert pair.prediction is not None
    reference = read_labels(pair.reference)
    if resample:
        return reference, resample_labels(pair.prediction, pair.reference)
    prediction = read_labels(pair.prediction, root=pair.root, expected=handed_in(reference.shape))
    check_geometry(reference, prediction, pair.name, advice=GEOMETRY_ADVICE)
    return reference, prediction


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


def _no_spacing(path: Path, metric_id: str) -> MedbenchError:
    return MedbenchError(
        "metric.spacing",
        f"{path}: has no pixel size, and {metric_id} needs one.",
        "Add --spacing pixel for pixels, or --spacing 0.5,0.5 for mm along each array axis.",
    )


def _labels_in(pairs: Sequence[Pair]) -> set[int]:
    """Labels of the readable references, in any process."""
    volumes = [guarded(pair.name, partial(read_labels, pair.reference)) for pair in pairs]
    return {
        label
        for volume in volumes
        if isinstance(volume, Volume)
        for label in label_values(volume.array).tolist()
    }


def _labels_of(pairs: Sequence[Pair], workers: int | Executor) -> list[int]:
    """Every label but 0 in the readable references."""
    labels: set[int] = set()
    for done in _in_batches(_labels_in, pairs, workers):
        labels |= set() if isinstance(done.result, Lost) else done.result
    if not labels - {0}:
        raise MedbenchError(
            "data.no_labels", "No reference holds a label other than 0.", "Check --references."
        )
    return sorted(labels - {0})
