"""Labels and scores of pairs of label maps, in any process: a pair is read once, and small values travel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from medbench.core.case import Volume
from medbench.core.guard import Failure, guarded
from medbench.core.label_values import label_values
from medbench.core.plugins import load_plugin
from medbench.core.result_table import FLAGS
from medbench.core.score import Score
from medbench.io.gate.expected import handed_in
from medbench.io.geometry import check_geometry
from medbench.io.images import read_labels, resample_labels
from medbench.metrics import metric
from medbench.metrics.checks.invariants import violations
from medbench.metrics.checks.suspicion import flags
from medbench.metrics.convention import Convention
from medbench.metrics.engine import evaluate_maps
from medbench.metrics.masks.joint_histogram import JointHistogram
from medbench.metrics.masks.label_maps import LabelMaps
from medbench.running.folder_settings import FolderSettings
from medbench.running.pairs import Pair

GEOMETRY_ADVICE = "Write predictions in the reference's geometry, or use --resample-to-reference."

Packed = float | Score
"""A score; one that is a value and no more, as that value."""


class PairScores(NamedTuple):
    """Labels and scores of a pair.

    Attributes:
        labels: of the reference but 0, where they were asked for.
        failure: why there are no scores; ``None`` where there are.
        scores: label -> score by each metric.
        suspicions: what would have scored much higher.
        others: labels of the prediction alone -> voxels, where labels were asked for.
        shape: of both label maps.
        spacing: mm along each axis; ``None`` where the file states none.
        sound: whether no score contradicts another of the same label.
    """

    labels: Sequence[int]
    failure: Failure | None = None
    scores: Mapping[int, Sequence[Packed]] = {}
    suspicions: Sequence[str] = ()
    others: Mapping[int, int] = {}
    shape: tuple[int, ...] = ()
    spacing: Any = None
    sound: bool = True


@dataclass(frozen=True, slots=True)
class PairOrder:
    """How pairs are scored in any process.

    Attributes:
        metrics: ids of the definitions.
        settings: without the function of groups, which stays with whoever gives the order.
        plugins: Python files to load first, which may define metrics.
    """

    metrics: Sequence[str]
    settings: FolderSettings
    plugins: Sequence[Path]


def score_pairs(order: PairOrder, pairs: Sequence[Pair]) -> list[PairScores]:
    """Scores of pairs, in any process."""
    for path in order.plugins:
        load_plugin(path)
    conventions = [metric(name) for name in order.metrics]
    return [_of_pair(order.settings, conventions, pair) for pair in pairs]


def packed(score: Score) -> Packed:
    """A score that is a value and no more, as that value."""
    return score.value if score.status == "ok" and not score.reason and score.value is not None else score


def unpacked_score(value: Packed) -> Score:
    """The score that :func:`packed` was given."""
    return value if isinstance(value, Score) else Score(value)


def unknown_size(reference: str | Path) -> Score:
    """The score of a distance where the reference states no voxel size."""
    return Score.undefined(f"{Path(reference).name} states no voxel size; give --spacing")


def scores_of_nothing(
    shape: Sequence[int], spacing: Any, conventions: Sequence[Convention], empty: str | None
) -> Mapping[str, Packed]:
    """Scores by metric of a label that neither of two label maps holds; those without a spacing left out."""
    nothing = np.zeros(shape, np.uint8)
    scores = evaluate_maps(
        LabelMaps(nothing, nothing), _answerable(conventions, spacing), [1], spacing, empty=empty
    )
    return {name: packed(score) for name, score in scores["1"].items()}


def _answerable(conventions: Sequence[Convention], spacing: Any) -> Sequence[Convention]:
    return conventions if spacing is not None else [one for one in conventions if not one.needs_spacing]


def _of_pair(settings: FolderSettings, conventions: Sequence[Convention], pair: Pair) -> PairScores:
    finds_labels = pair.labels is None
    unread = pair.failure is not None or pair.prediction is None
    if unread and not finds_labels:
        return PairScores((), pair.failure)
    reference = guarded(pair.name, partial(read_labels, Path(pair.reference)))
    if isinstance(reference, Failure):
        return PairScores((), pair.failure if unread else reference)
    failure = pair.failure
    if not unread:
        scores = guarded(pair.name, lambda: _scored(settings, conventions, pair, reference))
        if not isinstance(scores, Failure):
            return scores
        failure = scores
    labels = guarded(pair.name, lambda: label_values(reference.array).tolist()) if finds_labels else []
    own = () if isinstance(labels, Failure) else tuple(int(label) for label in labels if label)
    return PairScores(own, failure)


def _scored(
    settings: FolderSettings, conventions: Sequence[Convention], pair: Pair, reference: Volume
) -> PairScores:
    prediction = _read_prediction(pair, reference, settings.resample_to_reference)
    spacing = settings.spacing if settings.spacing is not None else reference.spacing
    maps = LabelMaps(reference.array, prediction.array)
    own, others = _labels_of(maps.histogram) if pair.labels is None else ((), {})
    labels = own if pair.labels is None else pair.labels
    by_label = evaluate_maps(maps, _answerable(conventions, spacing), labels, spacing, empty=settings.empty)
    unknown = unknown_size(pair.reference) if spacing is None else None
    scores = {
        label: [packed(by_label[str(label)].get(one.id, unknown)) for one in conventions]  # type: ignore[arg-type]
        for label in labels
    }
    return PairScores(
        own,
        None,
        scores,
        flags(reference.array, prediction.array, maps.histogram).get(FLAGS, ()),
        others,
        reference.shape,
        spacing,
        not any(next(violations(of_label), "") for of_label in by_label.values()),
    )


def _labels_of(histogram: JointHistogram) -> tuple[tuple[int, ...], dict[int, int]]:
    """Labels of the reference but 0, and labels of the prediction alone with their voxels."""
    of_reference, of_prediction = histogram.table.sum(axis=1).tolist(), histogram.table.sum(axis=0).tolist()
    own, others = list[int](), dict[int, int]()
    for label, is_own, count in zip(histogram.labels.tolist(), of_reference, of_prediction, strict=True):
        if label and is_own:
            own.append(label)
        elif label and count:
            others[label] = count
    return tuple(own), others


def _read_prediction(pair: Pair, reference: Volume, resample: bool) -> Volume:
    assert pair.prediction is not None
    path = Path(pair.prediction)
    root = None if pair.root is None else Path(pair.root)
    if resample:
        return resample_labels(path, Path(pair.reference), root=root, expected=handed_in())
    prediction = read_labels(path, root=root, expected=handed_in(reference.shape))
    check_geometry(reference, prediction, pair.name, advice=GEOMETRY_ADVICE)
    return prediction
