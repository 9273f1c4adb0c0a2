"""Every surface and overlap definition against the library that it is named after."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

import medbench
from medbench.metrics.masks.pair import MaskPair

UNIT = {2: (1.0, 1.0), 3: (1.0, 1.0, 1.0)}


def blob(rng, shape):
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), rng.uniform(0.3, 3))
    return noise > np.quantile(noise, rng.uniform(0.2, 0.97))


def random_pair(seed, *, ndim=None, least=1):
    rng = np.random.default_rng(seed)
    ndim = ndim or int(rng.integers(2, 4))
    shape = tuple(int(side) for side in rng.integers(least, 16, ndim))
    reference, prediction = blob(rng, shape), blob(rng, shape)
    reference.flat[rng.integers(reference.size)] = True
    prediction.flat[rng.integers(prediction.size)] = True
    spacing = tuple(float(step) for step in rng.uniform(0.3, 3, ndim)) if seed % 2 else UNIT[ndim]
    return reference, prediction, spacing


def solid(shape, *boxes):
    mask = np.zeros(shape, bool)
    for box in boxes:
        mask[tuple(slice(*part) for part in box)] = True
    return mask


TRAPS = {
    "touching the border": (
        solid((12, 14), ((0, 6), (0, 14))), solid((12, 14), ((0, 7), (0, 12))), (1.0, 0.5)),
    "one voxel each": (
        solid((9, 9, 9), ((4, 5), (4, 5), (1, 2))),
        solid((9, 9, 9), ((4, 5), (4, 5), (8, 9))), (2.5, 0.8, 0.8)),
    "full against part": (
        np.ones((7, 8, 6), bool), solid((7, 8, 6), ((2, 5), (2, 5), (2, 5))), (1.0, 1.0, 3.0)),
    "a distant speck": (
        solid((40, 40), ((5, 15), (5, 15))),
        solid((40, 40), ((5, 15), (5, 15)), ((36, 39), (36, 39))), (1.0, 1.0)),
    "one slice kept as 3-D": (
        solid((1, 20, 20), ((0, 1), (4, 12), (4, 12))),
        solid((1, 20, 20), ((0, 1), (5, 13), (4, 12))), (5.0, 1.0, 1.0)),
    "far apart": (
        solid((30, 30, 30), ((0, 3), (0, 3), (0, 3))),
        solid((30, 30, 30), ((26, 30), (26, 30), (26, 30))), (1.0, 1.0, 1.0)),
    "hollow": (
        solid((20, 20), ((2, 18), (2, 18))) & ~solid((20, 20), ((5, 15), (5, 15))),
        solid((20, 20), ((2, 18), (2, 18))), (1.0, 1.0)),
    "diagonal line": (np.eye(15, dtype=bool), np.eye(15, k=2, dtype=bool), (1.0, 1.0)),
}  # fmt: skip
PAIRS = [pytest.param(*random_pair(seed), id=f"seed{seed}") for seed in range(120)]
PAIRS += [pytest.param(*pair, id=name) for name, pair in TRAPS.items()]


@pytest.mark.parametrize(("reference", "prediction", "spacing"), PAIRS)
def test_medpy(reference, prediction, spacing):
    binary = pytest.importorskip("medpy.metric.binary", reason="medpy is not installed")
    for id, name in (("hd", "hd"), ("hd95.pooled", "hd95"), ("assd.pooled", "assd")):
        expected = getattr(binary, name)(prediction, reference, voxelspacing=spacing)
        ours = medbench.score(id, reference, prediction, spacing=spacing).value
        assert ours == pytest.approx(expected, abs=1e-9), id
        if spacing in UNIT.values():
            assert ours == expected, f"{id} at unit spacing"
    asd = medbench.score("asd.prediction_to_reference", reference, prediction, spacing=spacing).value
    assert asd == pytest.approx(binary.asd(prediction, reference, voxelspacing=spacing), abs=1e-9)
    for id, name in (
        ("dice", "dc"), ("iou", "jc"), ("sensitivity", "sensitivity"), ("precision", "precision"),
        ("relative_volume_difference", "ravd"),
    ):  # fmt: skip
        ours = medbench.score(id, reference, prediction).value
        assert ours == pytest.approx(getattr(binary, name)(prediction, reference), abs=1e-12), id
    if not reference.all():
        ours = medbench.score("specificity", reference, prediction).value
        assert ours == pytest.approx(binary.specificity(prediction, reference), abs=1e-12)


@pytest.mark.parametrize(("reference", "prediction", "spacing"), PAIRS[::4] + PAIRS[-len(TRAPS) :])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_monai(reference, prediction, spacing):
    pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    from medbench.metrics.checks.peers import peer_values

    seen = set()
    for peer in peer_values(["monai"], reference, prediction, spacing, tolerance=1.1):
        options = {"tolerance": 1.1} if peer.metric.startswith("nsd") else {}
        if peer.metric == "nsd.area":
            continue
        ours = medbench.score(peer.metric, reference, prediction, spacing=spacing, **options).value
        assert peer.value == pytest.approx(ours, rel=2e-6, abs=1e-6), peer
        seen.add(peer.metric)
    assert {"dice", "iou", "hd", "hd95.max", "assd.pooled", "nsd.count"} <= seen


@pytest.mark.parametrize(("reference", "prediction", "spacing"), PAIRS[::2] + PAIRS[-len(TRAPS) :])
def test_surface_distance(reference, prediction, spacing):
    library = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    found = library.compute_surface_distances(reference, prediction, spacing)
    hd95 = library.compute_robust_hausdorff(found, 95)
    assert medbench.score("hd95.area", reference, prediction, spacing=spacing).value == pytest.approx(
        hd95, abs=1e-9
    )
    assert medbench.score("hd.area", reference, prediction, spacing=spacing).value == pytest.approx(
        library.compute_robust_hausdorff(found, 100), abs=1e-9
    )
    average = np.mean(library.compute_average_surface_distance(found))
    assert medbench.score("assd.area", reference, prediction, spacing=spacing).value == pytest.approx(
        average, abs=1e-9
    )
    for tolerance in (0.5, 1.3):
        ours = medbench.score("nsd.area", reference, prediction, spacing=spacing, tolerance=tolerance).value
        theirs = library.compute_surface_dice_at_tolerance(found, tolerance)
        assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("reference", "prediction", "spacing"), PAIRS[::3] + PAIRS[-len(TRAPS) :])
def test_simpleitk(reference, prediction, spacing):
    from medbench.metrics.checks.peers import peer_values

    for peer in peer_values(["simpleitk"], reference, prediction, spacing, tolerance=1.0):
        ours = medbench.score(peer.metric, reference, prediction, spacing=spacing).value
        assert peer.value == pytest.approx(ours, rel=1e-6, abs=1e-6), peer


@pytest.mark.parametrize("seed", range(0, 40, 2))
def test_torchmetrics(seed):
    segmentation = pytest.importorskip("torchmetrics.functional.segmentation", reason="torchmetrics missing")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(seed)
    reference, prediction = (blob(rng, (16, 16)) for _ in range(2))
    maps = [torch.from_numpy(mask.astype(np.int64))[None] for mask in (prediction, reference)]
    dice = segmentation.dice_score(*maps, num_classes=2, include_background=False, input_format="index")
    assert medbench.score("dice", reference, prediction).value == pytest.approx(float(dice), abs=1e-6)
    iou = segmentation.mean_iou(*maps, num_classes=2, include_background=False, input_format="index")
    assert medbench.score("iou", reference, prediction).value == pytest.approx(float(iou), abs=1e-6)


@pytest.mark.parametrize(("reference", "prediction", "spacing"), PAIRS[::5])
def test_every_other_definition_by_its_sentence(reference, prediction, spacing):
    """hd95.max, hd95.nearest_rank, assd.mean_of_directed, nsd.* from plain distance transforms."""

    def surface(mask):
        return mask & ~ndimage.binary_erosion(mask)

    def directed(first, second):
        return ndimage.distance_transform_edt(~surface(second), sampling=spacing)[surface(first)]

    there, back = directed(prediction, reference), directed(reference, prediction)
    tau = 0.9
    expected = {
        "hd95.max": max(np.percentile(there, 95), np.percentile(back, 95)),
        "hd95.nearest_rank": max(np.sort(d)[int((len(d) - 1) * 0.95)] for d in (there, back)),
        "assd.mean_of_directed": (there.mean() + back.mean()) / 2,
        "asd.reference_to_prediction": back.mean(),
        "nsd.count": ((there <= tau).sum() + (back <= tau).sum()) / (len(there) + len(back)),
        "nsd.mean_of_directed": ((there <= tau).mean() + (back <= tau).mean()) / 2,
    }
    for id, value in expected.items():
        options = {"tolerance": tau} if id.startswith("nsd") else {}
        ours = medbench.score(id, reference, prediction, spacing=spacing, **options).value
        assert ours == pytest.approx(value, abs=1e-9), id


def test_percentiles_disagree_where_they_should():
    """The pair of metric_conventions: a square and a far speck."""
    reference, prediction, spacing = TRAPS["a distant speck"]
    values = {
        id: medbench.score(id, reference, prediction, spacing=spacing).value
        for id in medbench.list_metrics("hd95.*")
        if id.count(".") == 1 and "brats" not in id
    }
    assert len(set(values.values())) >= 3, values
    assert values["hd95.pooled"] < values["hd95.max"]


def test_volumes_and_similarity():
    reference = solid((6, 6, 6), ((0, 4), (0, 4), (0, 4)))
    prediction = solid((6, 6, 6), ((0, 4), (0, 4), (0, 2)))
    spacing = (2.0, 1.0, 0.5)
    assert medbench.score("volume_difference", reference, prediction, spacing=spacing).value == -32
    assert medbench.score("volumetric_similarity", reference, prediction).value == pytest.approx(2 / 3)
    assert medbench.score("dice.plus_one", reference, prediction).value == (2 * 32 + 1) / (96 + 1)
    assert medbench.score("pixel_accuracy", reference, prediction).value == (216 - 32) / 216
    assert MaskPair(reference, prediction, spacing).diagonal == pytest.approx(math.sqrt(144 + 36 + 9))
