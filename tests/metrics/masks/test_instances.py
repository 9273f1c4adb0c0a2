"""KPIs 2024, objects of masks, boxes, video summaries, head circumference."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import medbench
from coco_oracle import coco_figures
from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.core.sample import Boxes
from medbench.metrics.masks import banded, hole_contours, instances
from medbench.metrics.official import kpis, matching
from medbench.metrics.tasks import biometry, detection
from medbench.metrics.tasks.summaries import f_measures, rank_correlation

HC18_DATA = Path(__file__).parents[3].parent / "shared" / "data" / "hc18"
KPIS, MASKS = golden("kpis_metrics.json"), golden("kpis_masks.npz")
RULES = {"components8": "clean", "contour_rule_without_mutation": "contour", "official_f1": "official"}


def slide(case):
    return MASKS[f"{case['id']}__gt"].astype(bool), MASKS[f"{case['id']}__pred"].astype(bool)


@pytest.mark.parametrize("case", KPIS["slides"], ids=lambda case: case["id"])
@pytest.mark.parametrize("key", RULES)
def test_kpis_slides(case, key):
    reference, prediction = slide(case)
    found = instances.detect(reference, prediction, rule=RULES[key])
    values = case[key]
    assert (found.n_prediction, found.n_reference) == (values["n_pred"], values["n_gt"])
    for name in ("precision", "recall", "f1"):
        assert (getattr(found, name) or 0.0) == pytest.approx(values[name], abs=1e-9), name
    dice = medbench.score("dice", reference, prediction, empty="agree")
    assert dice.value == pytest.approx(case["dice"], abs=1e-9)


def test_an_overlap_of_the_threshold_itself_is_no_match():
    reference, prediction = np.zeros((2, 8, 8), np.uint8)
    reference[2:4, 2:6], prediction[2:4, 2:4] = 1, 1
    assert medbench.score("iou", reference, prediction).value == 0.5
    assert medbench.score("pq", reference, prediction).value == 0
    prediction[2, 4] = 1
    assert medbench.score("pq", reference, prediction).value == pytest.approx(5 / 8)


def test_the_shifted_contours_matter():
    case = next(case for case in KPIS["slides"] if case["id"] == "half_overlap")
    f1 = {id: medbench.score(id, *slide(case)).value for id in ("f1.kpis.official", "f1.kpis_contour")}
    assert f1["f1.kpis.official"] > f1["f1.kpis_contour"]


@pytest.mark.parametrize("case", KPIS["patches"]["cases"], ids=lambda case: case["id"])
def test_kpis_patches(case):
    grey, prediction = MASKS[f"{case['id']}__gt_jpeg"], MASKS[f"{case['id']}__pred"]
    official = kpis.dice_of_largest_value(grey, prediction)
    assert (official is None) == (case["dice"] == "nan")
    if official is not None:
        assert official == pytest.approx(case["dice"], abs=1e-6)
    clean = medbench.score("dice", grey > 127, prediction, empty="agree").value
    assert clean == pytest.approx(case["dice_after_binarising_at_127"], abs=1e-9)


@pytest.mark.parametrize("rows", [1, 2, 7, 64])
def test_bands_do_not_change_objects(rows, monkeypatch):
    rng = np.random.default_rng(rows)
    from scipy import ndimage

    masks = [ndimage.gaussian_filter(rng.standard_normal((97, 83)), 1.5) > 0.1 for _ in range(2)]
    expected = instances.detect(*masks, threshold=0.2)
    labels = [ndimage.label(mask, np.ones((3, 3)))[1] for mask in masks]
    assert (expected.n_reference, expected.n_prediction) == tuple(labels)
    monkeypatch.setattr(banded, "BAND_ELEMENTS", 83 * rows)
    assert instances.detect(*masks, threshold=0.2) == expected


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["contour", "official"])
def test_contours_too_far_apart_in_size_need_no_drawing(rule, monkeypatch):
    from scipy import ndimage

    rng = np.random.default_rng(0)
    skipped = 0
    for turn in range(40):
        smooth = rng.uniform(0.5, 6, 2)
        masks = [ndimage.gaussian_filter(rng.standard_normal((90, 110)), sigma) > 0 for sigma in smooth]
        contours = instances._Contours(masks[0])
        for number in range(len(contours)):
            drawn = np.zeros((90, 110), np.uint8)
            cv2.drawContours(drawn, contours.points, number, 1, -1)
            assert contours.least_px[number] <= drawn.sum() <= contours.most_px[number]
        if turn % 2:
            masks[1] = np.roll(masks[0], rng.integers(-4, 5, 2), (0, 1))
        others = instances._Contours(masks[1])
        skipped += int((others.most_px.min() < 0.5 * contours.least_px.max()) & bool(len(others)))
        found = instances.detect(*masks, rule=rule)
        with monkeypatch.context() as always:
            always.setattr(cv2, "contourArea", lambda points: 0.0)
            assert instances.detect(*masks, rule=rule) == found
    assert skipped > 20


def test_objects_looked_for_once_give_what_each_rule_finds_by_itself(monkeypatch):
    from scipy import ndimage

    monkeypatch.setattr(hole_contours, "WHOLE_ELEMENTS", 0)
    rng = np.random.default_rng(3)
    masks = [ndimage.gaussian_filter(rng.standard_normal((200, 210)), 5) > 0.03 for _ in range(2)]
    masks[1] |= masks[0]
    once = [instances.Traced(mask) for mask in masks]
    for rule in ("clean", "official", "contour", "official"):
        found = instances.detect(*masks, rule=rule)
        assert found.n_reference > 3
        assert instances.detect(*once, rule=rule) == found


def test_a_ring_that_closes_bands_later():
    mask = np.zeros((60, 60), bool)
    mask[5:55, 5:10] = mask[5:55, 50:55] = mask[50:55, 5:55] = True
    found = instances.detect(mask, mask)
    assert (found.n_reference, found.n_true_positive) == (1, 1)


def test_instances_in_3d():
    reference = np.zeros((12, 12, 12), bool)
    reference[1:4, 1:4, 1:4] = reference[7:10, 7:10, 7:10] = True
    prediction = np.roll(reference, 1, axis=0)
    prediction[7:, :, :] = False
    found = instances.detect(reference, prediction)
    assert (found.n_true_positive, found.n_false_negative, found.n_false_positive) == (1, 1, 0)
    with pytest.raises(MedbenchError):
        instances.detect(reference, prediction, rule="contour")


def test_matching_is_one_to_one_and_optimal():
    from itertools import permutations

    rng = np.random.default_rng(0)
    from scipy import ndimage

    for _ in range(15):
        masks = [ndimage.gaussian_filter(rng.standard_normal((30, 30)), 1.2) > 0.25 for _ in range(2)]
        (own, n_own), (other, n_other) = (ndimage.label(mask, np.ones((3, 3))) for mask in masks)
        dice = np.zeros((n_own, n_other))
        for i in range(n_own):
            for j in range(n_other):
                a, b = own == i + 1, other == j + 1
                dice[i, j] = 2 * (a & b).sum() / (a.sum() + b.sum())
        found = matching.match_instances(*masks, None)
        total = sum(match.dice or 0 for match in found.references)
        small, wide = (dice, dice.T) if n_own <= n_other else (dice.T, dice)
        if wide.shape[0] <= 7 and small.shape[0]:
            best = max(sum(small[i, j] for i, j in enumerate(order))
                       for order in permutations(range(small.shape[1]), small.shape[0]))  # fmt: skip
            assert total == pytest.approx(best)
        assert found.n_true_positive <= min(n_own, n_other)


def random_boxes(rng, n, classes, scores=False):
    low = rng.integers(0, 60, (n, 2)).astype(float)
    corners = np.concatenate([low, low + rng.integers(3, 30, (n, 2))], axis=1)
    labels = rng.integers(1, classes + 1, n)
    return Boxes(corners, rng.random(n).round(2), labels) if scores else Boxes.of_reference(corners, labels)


@pytest.mark.parametrize("seed", range(12))
def test_coco_map(seed):
    rng = np.random.default_rng(seed)
    reference = [random_boxes(rng, int(rng.integers(0, 12)), 3) for _ in range(6)]
    reference[0] = random_boxes(rng, 5, 3)
    prediction = []
    for truth in reference:
        moved = truth.corners + rng.normal(0, 1.5, truth.corners.shape)
        moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 1)
        extra = random_boxes(rng, int(rng.integers(0, 6)), 3, scores=True)
        prediction.append(
            Boxes(
                np.concatenate([moved, extra.corners]),
                rng.random(len(moved) + len(extra.classes)).round(2),
                np.concatenate([truth.classes, extra.classes]),
            )
        )
    ours = medbench.score("map.coco", reference, prediction).value
    assert ours == pytest.approx(coco_figures(reference, prediction)["map"], abs=1e-12)


def test_voc_by_hand():
    truth = [Boxes.of_reference([[0, 0, 9, 9], [20, 0, 29, 9], [40, 0, 49, 9]], [1, 1, 1])]
    guess = [
        Boxes(
            np.array([[0, 0, 9, 9], [0, 0, 9, 8], [60, 0, 69, 9], [20, 0, 29, 9]]),
            np.array([0.9, 0.8, 0.7, 0.6]),
            np.array([1, 1, 1, 1]),
        )
    ]
    assert detection.voc_map(truth, guess) == pytest.approx((1 / 3) * 1 + (1 / 3) * 0.5)
    eleven = detection.voc_map(truth, guess, interpolation="eleven_points")
    assert eleven == pytest.approx((4 * 1 + 3 * 0.5) / 11)
    half = [Boxes(np.array([[0, 0, 9, 4]]), np.array([0.9]), np.array([1]))]
    single = [Boxes.of_reference([[0, 0, 9, 9]], [1])]
    assert detection.voc_map(single, half) == 1.0
    assert detection.voc_map(single, half, inclusive=False) == 0.0


def test_boxes_edge_cases():
    nothing = [Boxes.of_reference([], [])]
    one = [Boxes(np.array([[0, 0, 5, 5]]), np.array([0.5]), np.array([1]))]
    assert medbench.score("map.coco", nothing, one).status == "undefined"
    assert medbench.score("map.coco", one, nothing).value == 0
    for reference, prediction in ((one, []), (one, [Boxes(np.ones((2, 4)), np.ones(2), np.ones(1))])):
        with pytest.raises(MedbenchError, match=r"image|differ"):
            detection.coco_map(reference, prediction)


def test_summaries():
    rng = np.random.default_rng(0)
    users, summary = rng.random((6, 200)) < 0.2, rng.random(200) < 0.15
    expected = []
    for user in users:
        overlap = (user & summary).sum()
        precision, recall = overlap / summary.sum(), overlap / user.sum()
        expected.append(0 if overlap == 0 else 2 * precision * recall / (precision + recall))
    assert f_measures(users, summary) == pytest.approx(expected)
    padded = np.pad(summary[:150], (0, 50))
    assert f_measures(users, summary[:150]) == pytest.approx(f_measures(users, padded))
    assert medbench.score("fmeasure.max", users, summary).value == max(f_measures(users, summary))
    assert f_measures(users, summary * 0).tolist() == [0] * 6


def test_rank_correlations():
    from scipy import stats

    rng = np.random.default_rng(1)
    users, scores = rng.integers(1, 6, (4, 50)), rng.random(50).round(1)
    kendall = np.mean([stats.kendalltau(stats.rankdata(-scores), stats.rankdata(-user))[0] for user in users])
    spearman = np.mean([stats.spearmanr(scores, user)[0] for user in users])
    assert medbench.score("kendall", users, scores).value == pytest.approx(kendall)
    assert medbench.score("spearman", users, scores).value == pytest.approx(spearman)
    assert rank_correlation(users, np.ones(50), kind="kendall") is None
    flat = np.vstack([users, np.ones(50)])
    assert rank_correlation(flat, scores, kind="spearman") == pytest.approx(spearman)
    with pytest.raises(MedbenchError):
        rank_correlation(users, scores[:-1], kind="kendall")


HC18 = golden("hc18_metrics.json")["cases"]


@pytest.mark.parametrize("case", HC18, ids=lambda case: case["filename"])
def test_head_circumference_of_the_listed_ellipses(case):
    (_, axes, _), pixel = case["ellipse_mask"], case["pixel_size_mm"]
    perimeter = biometry.ellipse_perimeter(axes[0] / 2, axes[1] / 2) * pixel
    assert perimeter == pytest.approx(case["hc_mask_mm"], abs=1e-9)
    assert case["adf_mm"] == abs(case["df_mm"])


def hc18_mask(path):
    import cv2

    if not path.exists():
        pytest.skip("no HC18 mask beside the checkout")
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127


def test_head_circumference_of_a_listed_mask():
    case = next(case for case in HC18 if case["filename"] == "500_HC.png")
    mask = hc18_mask(HC18_DATA / "500_HC_Mask.png")
    measured = biometry.head_circumference_mm(mask, pixel_size_mm=case["pixel_size_mm"])
    assert measured == pytest.approx(case["hc_mask_mm"], abs=0.02)
    ellipse = biometry.fitted_ellipse(mask, simplify=False)
    assert ellipse.axes == pytest.approx(case["ellipse_mask"][1], abs=0.05)


def test_head_circumference_against_the_table():
    table = HC18_DATA / "training_set_pixel_size_and_HC.csv"
    if not table.exists():
        pytest.skip("no HC18 table beside the checkout")
    rows = [line.split(",") for line in table.read_text().splitlines()[1:]]
    checked = 0
    for name, pixel, circumference in rows:
        path = HC18_DATA / "training_set" / name.replace(".png", "_Mask.png")
        if path.exists() and checked < 25:
            measured = biometry.head_circumference_mm(hc18_mask(path), pixel_size_mm=float(pixel))
            assert measured == pytest.approx(float(circumference), abs=1.9), name
            checked += 1
    assert checked


def test_head_circumference_synthetic():
    import cv2

    canvas = np.zeros((540, 800), np.uint8)
    cv2.ellipse(canvas, (400, 270), (200, 150), 30, 0, 360, 1, -1)
    expected = biometry.ellipse_perimeter(200, 150) * 0.1
    assert biometry.head_circumference_mm(canvas, pixel_size_mm=0.1) == pytest.approx(expected, rel=0.005)
    scores = biometry.head_circumference_scores(canvas, canvas * 0, pixel_size_mm=0.1)
    assert {score.status for score in scores.values()} == {"failed"}
    scores = biometry.head_circumference_scores(canvas * 0, canvas, pixel_size_mm=0.1)
    assert {score.status for score in scores.values()} == {"undefined"}
    with pytest.raises(MedbenchError, match="square"):
        medbench.score("hc.df", canvas, canvas, spacing=(0.1, 0.2))
