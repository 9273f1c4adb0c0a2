"""Scores: one call for one metric, and one call for many metrics on many labels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.registry import Registry
from medbench.core.score import Score
from medbench.metrics.arguments import Label, check_label, numbers
from medbench.metrics.arrays import Spacing, SpacingLike, as_mask, check_spacing, same_shape
from medbench.metrics.convention import EMPTY_WORDS, Convention, EmptyPolicy, empty_policy
from medbench.metrics.definition_check import check_definition
from medbench.metrics.masks.joint_histogram import JointHistogram
from medbench.metrics.masks.label_maps import LabelMaps
from medbench.metrics.masks.pair import MaskPair


def _registry() -> Registry[Convention]:
    from medbench.metrics.catalogue import METRICS

    return METRICS


def list_metrics(pattern: str = "*") -> list[str]:
    """Ids of the metrics that match a shell-style pattern, sorted.

    >>> list_metrics("assd.*")
    ['assd.area', 'assd.mean_of_directed', 'assd.pooled']
    """
    return _registry().names(pattern)


def metric(id: str | Convention) -> Convention:
    """The definition of an id; a definition is returned as it is.

    Raises:
        MedbenchError: ``metric.unknown`` with the nearest ids.

    >>> metric("hd95.pooled").equals
    ('medpy.metric.binary.hd95',)
    """
    return id if isinstance(id, Convention) else _registry().get(str(id))


def register_metric(convention: Convention) -> Convention:
    """Register a metric by its id for :func:`medbench.score`, ``medbench evaluate`` and all listings.

    A package registers without being imported: by an entry point in the group ``medbench.metrics`` whose name
    is the id and whose object is the :class:`Convention`. A file given by ``--plugin`` calls this function.
    :func:`medbench.testing.check_metric` tells whether the metric keeps what its definition promises.

    Args:
        convention: the definition; its ``target`` may be the function itself. For masks the function gets a
            :class:`medbench.metrics.MaskPair`, which may hold a part of the image only: see ``needs_frame``.

    Returns:
        The definition as it was given.

    Raises:
        MedbenchError: ``metric.definition`` for an incomplete definition, ``metric.clash`` when the id is
            taken by another one.

    A file for ``--plugin``::

        import medbench
        from medbench.metrics import Convention, MaskPair

        def missed(pair: MaskPair) -> float | None:
            n = pair.overlap
            return n.fn / n.n_reference if n.n_reference else None

        medbench.register_metric(Convention(
            id="lab.missed", title="Missed share", family="overlap", definition="FN / (TP + FN)",
            source="our laboratory", better="lower", target=missed,
        ))
    """
    check_definition(convention)
    _registry().add(convention.id, convention)
    return convention


def score(
    id: str | Convention,
    reference: Any,
    prediction: Any,
    *,
    spacing: SpacingLike | None = None,
    label: Label | None = None,
    empty: EmptyPolicy | str | None = None,
    workers: int = 1,
    **options: Any,
) -> Score:
    """Score of one pair by one metric.

    Args:
        id: e.g. ``"hd95.pooled"``; see :func:`list_metrics`. Or a definition, which need not be registered.
        reference: the truth: a binary mask, a label map (with ``label``), or what the metric's family
            compares.
        prediction: the same kind and shape.
        spacing: mm per step along each array axis, in the order of the axes, or ``"pixel"``. Required by
            every metric whose unit is a length, area or volume.
        label: which label of a label map, or which labels together, are the foreground.
        empty: what an empty mask scores: an :class:`EmptyPolicy` or its name; the definition's own by
            default.
        workers: threads for the two directions of a distance.
        options: the metric's own (``tolerance=`` …).

    Raises:
        MedbenchError: ``metric.unknown``, ``metric.array``, ``metric.spacing``, ``metric.shape``,
            ``metric.labels``, ``metric.option`` or ``metric.empty_policy``.

    >>> import numpy as np
    >>> a, b = np.zeros((2, 8, 8), bool)
    >>> a[2:5, 2:5] = True; b[2:5, 3:6] = True
    >>> score("dice", a, b)
    Score(value=0.6666666666666666, status='ok', reason='')
    >>> score("hd95.pooled", a, b, spacing=(1.0, 0.5)).value
    0.5
    >>> score("hd95.pooled", a, a & ~a, spacing="pixel").status
    'undefined'
    """
    convention = metric(id)
    options = _options(convention, options)
    if not convention.compares_masks:
        return _other(convention, reference, prediction, spacing, options)
    policy = convention.empty if empty is None else empty_policy(empty)
    first, second = same_shape(reference, prediction)
    steps = check_spacing(spacing, first.ndim) if convention.needs_spacing or spacing is not None else None
    own = None if label is None else check_label(label)
    masks = as_mask(first, own, "reference"), as_mask(second, own, "prediction")
    return score_pair(convention, MaskPair.cut(*masks, steps, workers=workers), policy, options)


def _options(convention: Convention, options: Mapping[str, Any]) -> dict[str, Any]:
    strangers = sorted(set(options) - set(convention.options))
    if strangers:
        names = ", ".join(convention.options) or "none"
        raise MedbenchError(
            "metric.option", f"{convention.id} has no option '{strangers[0]}'.", f"Its options: {names}."
        )
    values = {**convention.options, **options}
    lacking = [name for name, value in values.items() if value is None]
    if lacking:
        raise MedbenchError("metric.option", f"{convention.id} needs {lacking[0]}=….", "Give it a value.")
    for name, value in options.items():
        is_number = isinstance(value, Real) and math.isfinite(value)
        if type(convention.options[name]) in (int, float) and not is_number:
            raise MedbenchError(
                "metric.option",
                f"{convention.id}: {name} is {value!r}, which is no number.",
                "Give a number.",
            )
    return values


def _other(
    convention: Convention,
    reference: Any,
    prediction: Any,
    spacing: SpacingLike | None,
    options: dict[str, Any],
) -> Score:
    rule = convention.rule
    if convention.needs_spacing:
        options["spacing"] = check_spacing(spacing, numbers(reference, "reference").ndim)
    value = rule(reference, prediction, **options)
    if isinstance(value, Score):
        return value
    return Score.undefined("the definition has no answer here") if value is None else Score(float(value))


def score_pair(
    convention: Convention, pair: MaskPair, policy: EmptyPolicy, options: Mapping[str, Any]
) -> Score:
    """Score of a mask pair by one metric, with a rule for empty masks."""
    state = pair.emptiness
    natural: float | None = None
    if state is None or convention.family != "surface":
        natural = convention.rule(pair.whole if convention.needs_frame else pair, **options)
    if state is None:
        if natural is None:
            return Score.undefined("the definition has no answer here")
        return Score(float(natural))
    rule = getattr(policy, state)
    reason = EMPTY_WORDS[state]
    if rule is None:
        return Score.undefined(reason) if natural is None else Score(float(natural))
    if rule == "undefined":
        return Score.undefined(f"{reason} (rule '{policy.name}')")
    value = pair.diagonal if rule == "diagonal" else float(rule)
    if natural is not None and value == natural:
        return Score(value)
    return Score.undefined(f"{reason}: {value:g} by rule '{policy.name}'", value)


def _regions(labels: Any, histogram: JointHistogram) -> dict[str, Label]:
    """Name -> label or union of labels to score."""
    if labels is None:
        return {str(value): int(value) for value in histogram.labels.tolist() if value != 0}
    if isinstance(labels, Mapping):
        return {name: check_label(label) for name, label in labels.items()}
    if isinstance(labels, str) or not isinstance(labels, Iterable):
        raise MedbenchError(
            "metric.labels",
            f"The labels {labels!r} are no list.",
            "Give a list of labels, or a mapping of names to labels.",
        )
    return {str(value): check_label(value) for value in labels}


def evaluate_arrays(
    reference: npt.ArrayLike,
    prediction: npt.ArrayLike,
    metric_ids: Iterable[str | Convention] | str | Convention,
    labels: Mapping[str, Label] | Sequence[int] | None = None,
    spacing_mm: SpacingLike | None = None,
    *,
    empty: EmptyPolicy | str | Mapping[str, EmptyPolicy | str] | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    workers: int = 1,
) -> dict[str, dict[str, Score]]:
    """Scores of every label of a pair of label maps by many mask metrics.

    One pass counts all labels; each label's surfaces are taken once, in its own box, for all of its
    distances.

    Args:
        reference: label map (whole numbers of any type, any number of axes).
        prediction: the same shape.
        metric_ids: ids of mask metrics, or definitions; one alone may stand without a list.
        labels: name -> label or labels (a region); a list of labels; or None for every label that occurs.
        spacing_mm: mm per step along each axis, or ``"pixel"``; needed as soon as one metric needs it.
        empty: rule for empty masks, for all metrics or per id.
        options: per id, the metric's own options.
        workers: threads over the labels, or over the two directions of a single label; the result does not
            depend on it.

    Returns:
        ``{label name: {metric id: Score}}``.

    Raises:
        MedbenchError: as :func:`score`; ``metric.family`` for an id that does not compare masks.

    >>> import numpy as np
    >>> a = np.zeros((6, 6), np.uint8); a[1:4, 1:4] = 1; a[4:, 4:] = 2
    >>> scores = evaluate_arrays(a, a.T, ["dice", "hd"], {"both": (1, 2), "two": 2}, spacing_mm=(1, 1))
    >>> scores["two"]["dice"].value, scores["both"]["hd"].value
    (1.0, 0.0)
    """
    first, second = same_shape(reference, prediction)
    jobs, steps = _jobs(metric_ids, first.ndim, spacing_mm, empty, options or {})
    maps = LabelMaps(first, second)
    return _evaluated(maps, jobs, labels, steps, workers)


def evaluate_maps(
    maps: LabelMaps,
    metric_ids: Iterable[str | Convention],
    labels: Mapping[str, Label] | Sequence[int] | None = None,
    spacing_mm: SpacingLike | None = None,
    *,
    empty: EmptyPolicy | str | Mapping[str, EmptyPolicy | str] | None = None,
) -> dict[str, dict[str, Score]]:
    """Scores as by :func:`evaluate_arrays` of label maps that are counted already.

    Raises:
        MedbenchError: as :func:`evaluate_arrays`.
    """
    jobs, steps = _jobs(metric_ids, maps.reference.ndim, spacing_mm, empty, {})
    return _evaluated(maps, jobs, labels, steps, 1)


_Job = tuple[Convention, dict[str, Any], EmptyPolicy]


def _jobs(
    metric_ids: Iterable[str | Convention] | str | Convention,
    ndim: int,
    spacing_mm: SpacingLike | None,
    empty: EmptyPolicy | str | Mapping[str, EmptyPolicy | str] | None,
    options: Mapping[str, Mapping[str, Any]],
) -> tuple[list[_Job], Spacing | None]:
    """Each metric with its options and its rule for empty masks, and the spacing where one is needed."""
    ids = [metric_ids] if isinstance(metric_ids, str | Convention) else metric_ids
    conventions = [metric(id) for id in ids]
    for convention in conventions:
        if not convention.compares_masks:
            raise MedbenchError(
                "metric.family",
                f"{convention.id} does not compare masks, but {convention.family} data.",
                "Call medbench.score for it alone; 'medbench metrics' lists those of masks.",
            )
    needs_spacing = any(convention.needs_spacing for convention in conventions)
    steps = check_spacing(spacing_mm, ndim) if needs_spacing or spacing_mm is not None else None
    unique = {c.id: c for c in conventions}.values()
    return [(c, _options(c, options.get(c.id, {})), _policy(c, empty)) for c in unique], steps


def _evaluated(
    maps: LabelMaps,
    jobs: Sequence[_Job],
    labels: Mapping[str, Label] | Sequence[int] | None,
    steps: Spacing | None,
    workers: int,
) -> dict[str, dict[str, Score]]:
    regions = _regions(labels, maps.histogram)
    threads = workers if len(regions) == 1 else 1

    def one(label: Label) -> dict[str, Score]:
        pair = maps.pair(label, steps, threads)
        return {c.id: score_pair(c, pair, policy, own) for c, own, policy in jobs}

    if workers > 1 and len(regions) > 1:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(workers) as pool:
            return dict(zip(regions, pool.map(one, regions.values()), strict=True))
    return {name: one(label) for name, label in regions.items()}


def _policy(
    convention: Convention, empty: EmptyPolicy | str | Mapping[str, EmptyPolicy | str] | None
) -> EmptyPolicy:
    rule = empty.get(convention.id) if isinstance(empty, Mapping) else empty
    return convention.empty if rule is None else empty_policy(rule)
