"""Every metric keeps the contract, and each way of breaking it is told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import medbench
from medbench.core.errors import MedbenchError
from medbench.core.score import Score
from medbench.metrics import Convention, metric
from medbench.testing import check_metric

EXAMPLE = """\
>>> import numpy as np, medbench
>>> reference, prediction = np.ones((2, 6, 6), bool)
>>> medbench.score('lab.share', reference, prediction).value
1.0
"""


def share(pair):
    n = pair.overlap
    return n.tp / n.n_reference if n.n_reference else None


SHARE = Convention(
    id="lab.share", title="Share", family="overlap", definition="TP / (TP + FN)", source="a laboratory",
    target=share, example=EXAMPLE,
)  # fmt: skip


@pytest.fixture
def registered(monkeypatch):
    """Registers for one test."""
    from medbench.metrics.catalogue import METRICS

    monkeypatch.setattr(METRICS, "_targets", dict(METRICS._targets))
    monkeypatch.setattr(METRICS, "_checked", set(METRICS._checked))
    return medbench.register_metric


@pytest.mark.parametrize("id", medbench.list_metrics())
def test_ours_keep_it(id):
    check_metric(id)


def test_a_plug_in_keeps_it(registered):
    registered(SHARE)
    check_metric("lab.share")


def broken(convention, **options):
    with pytest.raises(MedbenchError) as raised:
        check_metric(convention, **options)
    assert raised.value.code == "metric.contract"
    assert convention.id in raised.value.message
    return raised.value.message


def first_row(pair):
    """Depends on where in the image the reference begins."""
    return float(np.argwhere(pair.reference)[0, 0]) / 1000 if pair.reference.any() else None


def far_background(pair):
    """Depends on background far from the objects."""
    return float(np.count_nonzero(~pair.reference)) / pair.overlap.size


def centre_error(pair):
    """Rows between the centres, weighted by where in the image they are."""
    rows = [np.argwhere(mask)[:, 0] for mask in (pair.reference, pair.prediction)]
    if not all(map(len, rows)):
        return None
    return float(abs(rows[0].mean() - rows[1].mean()) * rows[0].mean())


def row_distance(pair):
    """Needs the spacing."""
    return pair.spacing[0] / 10


def changing():
    calls = []
    return lambda pair: calls.append(1) or len(calls) / 1e6


def writing(pair):
    pair.reference[...] = False
    return 0.0


def raising_on_empty(pair):
    return float(np.argwhere(pair.prediction).max() > -1)


def along_first_axis(pair):
    """The axes of the image are not those of another order in memory."""
    return float(np.argwhere(pair.reference)[:, 0].std()) / 100 if pair.reference.any() else None


FAULTS = [
    (first_row, {}, "declare needs_frame=True"),
    (far_background, {}, "declare needs_frame=True"),
    (row_distance, {}, "without spacing it raises TypeError: declare needs_spacing=True"),
    (changing(), {}, "the same inputs give another number"),
    (writing, {}, "read-only"),
    (raising_on_empty, {}, "it raises ValueError"),
    (lambda pair: float("nan"), {}, "finite"),
    (lambda pair: 2.0, {}, "2 is outside its range [0, 1]"),
    (lambda pair: 1 - (share(pair) or 0), {}, "'higher' is better, but the reference itself scores 0"),
    (share, {"symmetric": True}, "declared symmetric"),
]


@pytest.mark.parametrize(("target", "facts", "told"), FAULTS)
def test_what_is_broken_is_told(target, facts, told, registered):
    convention = replace(SHARE, target=target, **facts)
    registered(convention)
    assert told in broken(convention)


def test_a_metric_that_depends_on_the_frame_keeps_it_once_it_says_so(registered):
    convention = replace(
        SHARE,
        target=centre_error,
        better="lower",
        range=(0.0, float("inf")),
        example=EXAMPLE.replace("1.0", "0.0"),
    )
    registered(convention)
    assert "declare needs_frame=True" in broken(convention)
    registered(replace(convention, needs_frame=True))
    check_metric("lab.share")


def test_axes_keep_their_order_in_every_layout(registered):
    example = EXAMPLE.replace("1.0", "0.01707825127659933")
    registered(replace(SHARE, target=along_first_axis, better="lower", example=example))
    check_metric("lab.share")


def test_the_example_must_run(registered):
    registered(replace(SHARE, example=EXAMPLE.replace("1.0", "0.5")))
    assert "its example fails" in broken(metric("lab.share"))
    assert "its example does not call" in broken(replace(SHARE, example=""))


def test_metrics_of_other_things_take_the_reference_first(registered):
    convention = Convention(
        id="lab.error", title="Error", family="biometry", definition="|p - r|", source="a laboratory",
        target=lambda prediction, reference: Score(float(abs(prediction - reference))), better="lower",
        range=(0.0, 9.0), example=">>> import medbench\n>>> reference, prediction = 1, 3\n"
        ">>> medbench.score('lab.error', reference, prediction).value\n2.0",
    )  # fmt: skip
    registered(convention)
    assert "instead of (reference, prediction, …)" in broken(convention)
    check_metric(replace(convention, target=lambda reference, prediction: abs(prediction - reference)))


def test_options_without_a_default_can_be_given():
    check_metric("nsd.count", options={"tolerance": 0.7})
