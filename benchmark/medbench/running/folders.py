"""Scoring of two folders of label maps, without a challenge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Unpack

from medbench.core.errors import MedbenchError
from medbench.core.files import write_json_lines
from medbench.core.folders import at_home
from medbench.core.guard import Failure
from medbench.core.plugins import loaded_plugins
from medbench.core.progress import Progress, SilentProgress
from medbench.core.result_table import FLAGS, REFUSAL, CaseRow, MetricSpec, mean_statistic
from medbench.core.score import Score
from medbench.io.gate.meaning import listed_values
from medbench.io.gate.zipped import is_zip, unpacked
from medbench.io.images import VOLUME_SUFFIXES, suffix_of
from medbench.metrics import metric
from medbench.metrics.checks.invariants import check_structures
from medbench.metrics.convention import Convention
from medbench.running.batches import MOST_TOGETHER, in_batches
from medbench.running.call_engine import Lost
from medbench.running.folder_checks import refuse_output, refuse_settings
from medbench.running.folder_settings import FolderKeywords, FolderSettings
from medbench.running.pair_scores import (
    Packed,
    PairOrder,
    PairScores,
    score_pairs,
    scores_of_nothing,
    unknown_size,
    unpacked_score,
)
from medbench.running.pairs import Pair, pair_files
from medbench.statistics.intervals import Aggregate, aggregate

MOST_UNPACKED_BYTES = 64 << 30
VOLUMES_TOGETHER = 8
"""Pairs of volumes that travel to a worker together, at most: rows and progress come batch by batch."""
AGGREGATED_TOGETHER = 2
STRANGE = "labels_of_no_reference"


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
    references, predictions = at_home(references), at_home(predictions)
    output = None if output is None else at_home(output)
    conventions = [metric(name) for name in metric_ids]
    refuse_settings(conventions, settings)
    if output is not None:
        refuse_output(output, references, predictions)
    with _opened(predictions) as folder:
        try:
            file_pairs = pair_files(references, folder, settings.rename)
        except MedbenchError as error:  # the folder that an archive was unpacked to is gone when it is told
            message = error.message.replace(str(folder), str(predictions))
            raise MedbenchError(error.code, message, error.hint) from error
        _refuse_without_spacing(file_pairs.pairs, conventions, settings)
        scoring = _Scoring(file_pairs.pairs, conventions, settings)
        rows = scoring.rows(progress or SilentProgress())
        rows = [row.renamed(str(folder), str(predictions)) for row in rows]
        notes = [note.replace(str(folder), str(predictions)) for note in file_pairs.notes]
    if output is not None:
        write_json_lines(output, [row.as_json() for row in rows])
    scoring.refuse_contradictions(rows)
    aggregates = scoring.aggregates(rows)
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


def _refuse_without_spacing(
    pairs: Sequence[Pair], conventions: Sequence[Convention], settings: FolderSettings
) -> None:
    needs_spacing = settings.spacing is None and any(convention.needs_spacing for convention in conventions)
    if needs_spacing and all(suffix_of(Path(pair.reference)) not in VOLUME_SUFFIXES for pair in pairs):
        needing = next(convention.id for convention in conventions if convention.needs_spacing)
        raise MedbenchError(
            "metric.spacing",
            f"{pairs[0].reference}: has no pixel size, and {needing} needs one.",
            "Add --spacing pixel for pixels, or --spacing 0.5,0.5 for mm along each array axis.",
        )


class _Scoring:
    """Scores of pairs: each pair by the labels of its own reference, then by those of the others.

    Args:
        pairs: to score.
        conventions: definitions to compute.
        settings: with labels, or none for those of all references.
    """

    def __init__(
        self, pairs: Sequence[Pair], conventions: Sequence[Convention], settings: FolderSettings
    ) -> None:
        self.pairs, self.conventions, self.settings = pairs, conventions, settings
        self.labels: Sequence[int] = ()
        self.specs: Mapping[str, MetricSpec] = {}
        self._names: Sequence[str] = ()
        self._nothing: dict[Any, Mapping[str, Packed]] = {}
        self._results: dict[str, PairScores] = {}

    def rows(self, progress: Progress) -> list[CaseRow]:
        """Rows in the order of the pairs.

        Raises:
            MedbenchError: ``data.no_labels``.
        """
        progress.start("scoring", len(self.pairs))
        labels, rows = self.settings.labels, dict[str, CaseRow]()
        self._score_labels(labels or ())
        for pair, result in self._scored(
            self.pairs if labels is None else [pair._replace(labels=labels) for pair in self.pairs]
        ):
            self._results[pair.name] = result
            if labels is None and not {*self.labels}.issuperset(result.labels):
                self._score_labels(sorted({*self.labels, *result.labels}))
                rows.clear()
            row = rows[pair.name] = self._row(pair, result)
            if row.reason:
                progress.say(f"{pair.name}: {row.reason}")
            progress.advance(1, pair.name)
        progress.finish()
        if not self.labels:
            raise self._without_labels()
        for name in self._add_others():
            rows.pop(name, None)
        return [rows.get(pair.name) or self._row(pair, self._results[pair.name]) for pair in self.pairs]

    def _without_labels(self) -> MedbenchError:
        """The error where no reference has shown a label: none is read, or all are empty."""
        outcomes = [self._results[pair.name].failure for pair in self.pairs]
        failures = [failure for failure in outcomes if failure is not None]
        count = len(self.pairs)
        if not failures:
            empty = "it is" if count == 1 else f"all {count} are"
            message = f"No reference holds a label other than 0: {empty} empty."
            return MedbenchError("data.no_labels", message, "Check --references.")
        first = failures[0]
        if len(failures) == count:
            which = "" if count == 1 else f"None of the {count} pairs can be scored, the first: "
            return MedbenchError(first.code, which + first.reason, first.hint)
        message = f"No reference that is read holds a label other than 0; {len(failures)} of {count} pairs "
        return MedbenchError("data.no_labels", f"{message}failed, the first: {first.reason}", first.hint)

    def _score_labels(self, labels: Sequence[int]) -> None:
        """Take labels for those of all rows."""
        self.labels = labels
        length = "px" if self.settings.spacing == "pixel" else "mm"
        self.specs = _columns(labels, self.conventions, length)
        self._names = [f"{label}/{one.id}" for label in labels for one in self.conventions]

    def _scored(self, pairs: Sequence[Pair]) -> Iterator[tuple[Pair, PairScores]]:
        """Scores as they come: in this thread, by threads, or by the workers of an executor."""
        order = PairOrder(
            [convention.id for convention in self.conventions],
            replace(self.settings, group_of=None, workers=1, labels=None),
            loaded_plugins(),
        )
        volumes = any(suffix_of(Path(pair.reference)) in VOLUME_SUFFIXES for pair in pairs[:1])
        most = VOLUMES_TOGETHER if volumes else MOST_TOGETHER
        for batch in in_batches(partial(score_pairs, order), pairs, self.settings.workers, most):
            if isinstance(batch.result, Lost):
                yield batch.order[0], PairScores((), Failure("worker.died", batch.result.reason))
            else:
                yield from zip(batch.order, batch.result, strict=True)

    def _add_others(self) -> Sequence[str]:
        """Score labels that a prediction has and its own reference lacks, but another reference has.

        Returns:
            Names of the pairs whose scores are now complete.
        """
        again = [
            pair._replace(labels=labels)
            for pair in self.pairs
            if (labels := [label for label in self.labels if label in self._results[pair.name].others])
        ]
        for pair, more in self._scored(again):
            own = self._results[pair.name]
            self._results[pair.name] = own._replace(
                failure=more.failure, scores={**own.scores, **more.scores}, sound=own.sound and more.sound
            )
        return [pair.name for pair in again]

    def _row(self, pair: Pair, result: PairScores) -> CaseRow:
        """A pair's scores, or why there are none; the pair is its own group unless groups are given."""
        group_of = self.settings.group_of
        group = pair.name if group_of is None else group_of(pair.name)
        reason = _reason(pair, result)
        if result.failure is not None:
            scores = dict.fromkeys(self.specs, Score.failed(reason))
            return CaseRow(pair.name, group, "failed", scores, {REFUSAL: result.failure.code}, reason)
        if reason:
            return CaseRow(
                pair.name, group, "missing", dict.fromkeys(self.specs, Score.missing(reason)), {}, reason
            )
        evidence: dict[str, Any] = {FLAGS: result.suspicions} if result.suspicions else {}
        strange: dict[float, int] = {
            label: count for label, count in result.others.items() if label not in result.scores
        }
        if strange:
            text = listed_values(strange, prod(result.shape))
            evidence[STRANGE] = f"label {text} is in no reference"
        by_label = [result.scores.get(label) or self._of_nothing(pair, result) for label in self.labels]
        values = (value for of_label in by_label for value in of_label)
        scores = {name: unpacked_score(value) for name, value in zip(self._names, values, strict=True)}
        return CaseRow(pair.name, group, "ok", scores, evidence)

    def aggregates(self, rows: Sequence[CaseRow]) -> dict[str, Aggregate]:
        """Means over the pairs by column; of several workers, two columns at a time."""
        settings = self.settings

        def of(spec: MetricSpec) -> Aggregate:
            return aggregate(mean_statistic, spec, rows, settings.seed)

        if settings.workers == 1:
            return {name: of(spec) for name, spec in self.specs.items()}
        with ThreadPoolExecutor(AGGREGATED_TOGETHER) as pool:
            return dict(zip(self.specs, pool.map(of, self.specs.values()), strict=True))

    def refuse_contradictions(self, rows: Sequence[CaseRow]) -> None:
        """Refuse scores of a pair that contradict one another; those that workers found sound are.

        Raises:
            MedbenchError: ``record.invariant``.
        """
        for row in rows:
            result = self._results[row.case]
            if row.status != "ok" or (result.sound and len(result.scores) >= len(self.labels)):
                continue
            by_label = {
                str(label): {one.id: row.scores[f"{label}/{one.id}"] for one in self.conventions}
                for label in self.labels
            }
            check_structures(row.case, by_label)

    def _of_nothing(self, pair: Pair, result: PairScores) -> Sequence[Packed]:
        """Scores of a label that neither label map of a pair has."""
        size = (result.shape, result.spacing if result.spacing is None else tuple(result.spacing))
        if size not in self._nothing:
            self._nothing[size] = scores_of_nothing(
                result.shape, result.spacing, self.conventions, self.settings.empty
            )
        scores = self._nothing[size]
        unknown = unknown_size(pair.reference)
        return [scores.get(one.id, unknown) for one in self.conventions]


def _reason(pair: Pair, result: PairScores) -> str:
    """Why a pair has no scores; empty where it has."""
    if result.failure is not None:
        return result.failure.reason
    return f"no prediction of that name{pair.hint}" if pair.prediction is None else ""


def _columns(labels: Sequence[int], conventions: Sequence[Convention], length: str) -> dict[str, MetricSpec]:
    """``<label>/<metric id>`` -> column, distances in the unit ``length``."""
    return {
        f"{label}/{c.id}": MetricSpec(
            f"{label}/{c.id}",
            f"label {label}, {c.id}",
            {"1": "", "mm": length}.get(c.unit, c.unit),
            c.better,
            c.id,
            (c.range[0], None if c.range[1] == float("inf") else c.range[1]),
        )
        for label in labels
        for c in conventions
    }
