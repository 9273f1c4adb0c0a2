"""BraTS: counts, distances, legacy and lineage rules, lesion-wise scores of 2023, 2024 and 2025."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.metrics.masks.definitions import dice_epsilon
from medbench.metrics.masks.pair import MaskPair
from medbench.metrics.official import matching
from medbench.metrics.official.lesion_tissues import gli_2024_reports
from medbench.metrics.official.lesions import LESION_RULES, lesion_report

DATA = Path(__file__).parents[3].parent / "shared" / "data" / "brats"
GOLDEN, VOLUMES = golden("brats_metrics")
REAL = golden("brats_real_metrics.json")
REGIONS = GOLDEN["regions"]


def official(name):
    return GOLDEN["cases"][name]


@cache
def real_volumes(name):
    nibabel = pytest.importorskip("nibabel")
    files = REAL["cases"][name]["files"]
    paths = {side: DATA / path for side, path in files.items()}
    if not all(path.exists() for path in paths.values()):
        pytest.skip("the real label maps are not beside the checkout")
    for side, path in paths.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == REAL["cases"][name]["sha256"][side]
    images = {side: nibabel.load(path) for side, path in paths.items()}
    maps = [np.asarray(images[side].dataobj).astype(np.uint8) for side in ("ref", "pred")]
    maps = [np.where(labels == 4, 3, labels) for labels in maps]
    return (*maps, tuple(float(step) for step in images["pred"].header.get_zooms()))


def volumes(name):
    if name in REAL["cases"]:
        return real_volumes(name)
    return VOLUMES[f"{name}__ref"], VOLUMES[f"{name}__pred"], tuple(official(name)["spacing"])


def expected(name):
    return REAL["cases"][name] if name in REAL["cases"] else official(name)


@cache
def pair(name, region):
    reference, prediction, spacing = volumes(name)
    return MaskPair(*(np.isin(labels, REGIONS[region]) for labels in (reference, prediction)), spacing)


VOXEL_METRICS = (
    "dice", "hd", "hd95.pooled", "hd95.max", "assd.pooled", "sensitivity", "specificity", "precision"
)  # fmt: skip
NAMES = [*GOLDEN["cases"], *REAL["cases"]]


@pytest.mark.parametrize("name", NAMES)
def test_voxel_metrics(name):
    found = {}
    for spacing_name in ("mm", "vox"):
        reference, prediction, spacing = volumes(name)
        found[spacing_name] = medbench.metrics.evaluate_arrays(
            reference,
            prediction,
            VOXEL_METRICS,
            {region: tuple(labels) for region, labels in REGIONS.items()},
            spacing if spacing_name == "mm" else "pixel",
        )
    for region, values in expected(name)["medpy"].items():
        counts = pair(name, region).overlap
        assert [counts.tp, counts.fp, counts.fn, counts.tn] == [values[k] for k in ("tp", "fp", "fn", "tn")]
        scores = {key: {id: s.value for id, s in found[key][region].items()} for key in found}
        for id, unit, key, tolerance in (
            ("dice", "mm", "medpy_dc", 1e-9),
            ("hd95.pooled", "mm", "medpy_hd95_mm", 1e-9),
            ("hd95.pooled", "vox", "medpy_hd95_vox", 1e-9),
            ("hd", "mm", "medpy_hd_mm", 1e-9),
            ("assd.pooled", "mm", "medpy_assd_mm", 1e-9),
            ("hd95.max", "mm", "monai_hd95_mm", 1e-4),
            ("precision", "mm", "medpy_precision", 1e-9),
            ("sensitivity", "mm", "medpy_sensitivity", 1e-9),
            ("specificity", "mm", "medpy_specificity", 1e-9),
        ):
            if key in values and scores[unit][id] is not None:
                assert scores[unit][id] == pytest.approx(values[key], abs=tolerance), (region, id)
            elif key in values:
                assert counts.n_reference == 0 or counts.n_prediction == 0, (region, key)


@pytest.mark.parametrize("name", NAMES)
def test_rules_until_2022(name):
    reference, prediction, _ = volumes(name)
    for region, values in expected(name)["brats_legacy"].items():
        label = tuple(REGIONS[region])
        score = medbench.score("dice", reference, prediction, label=label, empty="agree")
        assert score.value == pytest.approx(values["Dice"], abs=1e-9)
        empty = pair(name, region).emptiness
        steps = "pixel" if empty else volumes(name)[2]
        score = medbench.score(
            "hd95.pooled", reference, prediction, label=label, spacing=steps, empty="diagonal"
        )
        assert score.value == pytest.approx(values["HD95"], abs=1e-9)
        assert pair(name, region).overlap.size == reference.size
        diagonal = math.sqrt(sum(side**2 for side in reference.shape))
        assert diagonal == pytest.approx(values["empty_penalty_voxels"], abs=1e-9)
        from medbench.metrics.convention import EmptyPolicy

        rule = EmptyPolicy("brats_sensitivity", both=1.0, reference=0.0)
        score = medbench.score("sensitivity", reference, prediction, label=label, empty=rule)
        assert score.value == pytest.approx(values["Sensitivity"], abs=1e-9)
        score = medbench.score("specificity", reference, prediction, label=label)
        assert score.value == pytest.approx(values["Specificity"], abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_lineage_rules(name):
    reference, prediction, _ = volumes(name)
    for region, values in expected(name)["lineage_passion"].items():
        label = tuple(REGIONS["ET" if region == "ETpro" else region])
        truth, guess = np.isin(reference, label), np.isin(prediction, label)
        if region == "ETpro" and guess.sum() < 500:
            guess = np.zeros_like(guess)
        dice = dice_epsilon(MaskPair(truth, guess), epsilon=1e-8)
        assert dice == pytest.approx(values["Dice"], abs=1e-9)
        hd95 = medbench.score("hd95.pooled", truth, guess, spacing="pixel", empty="incomplete_modality")
        assert hd95.value == pytest.approx(values["HD95"], abs=1e-9)


def lesion_cases():
    for name in NAMES:
        for year in ("2023", "2024"):
            for task, regions in expected(name).get(f"brats{year}", {}).items():
                if isinstance(regions, dict):
                    yield pytest.param(name, year, task, id=f"{name}-{year}-{task}")


@pytest.mark.parametrize(("name", "year", "task"), list(lesion_cases()))
def test_lesion_wise(name, year, task):
    reference, prediction, spacing = volumes(name)
    tolerances = (0.5, 1.0) if year == "2024" else ()
    for region, values in expected(name)[f"brats{year}"][task].items():
        rule = f"brats{year}_{task.split('-')[1].lower()}"
        masks = [np.isin(labels, REGIONS[region]) for labels in (reference, prediction)]
        if rule == "brats2024_gli":
            report = gli_2024_reports(reference, prediction, spacing, tolerances=tolerances)[region]
        else:
            report = lesion_report(*masks, spacing, rule, tolerances=tolerances)
        counts = report.n_true_positive, report.n_false_positive, report.n_false_negative
        assert counts == (values["Num_TP"], values["Num_FP"], values["Num_FN"]), region
        assert report.dice == pytest.approx(values["LesionWise_Score_Dice"], abs=1e-6), region
        assert report.hd95 == pytest.approx(values["LesionWise_Score_HD95"], abs=1e-6), region
        for tolerance in tolerances:
            key = f"LesionWise_Score_NSD @ {tolerance}"
            assert report.nsd(tolerance) == pytest.approx(values[key], abs=1e-6), region


@pytest.mark.parametrize("name", GOLDEN["cases"])
def test_single_lesions_of_2023(name):
    reference, prediction, spacing = volumes(name)
    for key, rule in (("dil3", "brats2023_gli"), ("dil1", "brats2023_met")):
        for region, values in official(name)["brats2023_lesions"][key].items():
            masks = [np.isin(labels, REGIONS[region]) for labels in (reference, prediction)]
            report = lesion_report(*masks, spacing, rule)
            kept = [x for x in values["lesions"] if x["volume_mm3"] > LESION_RULES[rule].threshold]
            ours = sorted((x.size, x.dice, x.hd95 or math.inf if x.hd95 is None else x.hd95, x.n_matches)
                          for x in report.lesions)  # fmt: skip
            theirs = sorted((x["volume_mm3"], x["dice"],
                             math.inf if x["hd95"] == "Infinity" else x["hd95"], len(x["pred_components"]))
                            for x in kept)  # fmt: skip
            assert len(ours) == len(theirs)
            for a, b in zip(ours, theirs, strict=True):
                assert a == pytest.approx(b, abs=1e-6, rel=1e-6)
            assert report.n_false_positive == len(values["fp"])


def same(ours, theirs):
    if theirs in ("NaN", None):
        return ours is None
    if theirs == "Infinity":
        return ours in (None, matching.BRATS_2025_PENALTY_MM)
    return ours == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_2025(name):
    block = expected(name)["brats2025"]
    for region in REGIONS:
        two, key = pair(name, region), region.lower()
        values = block["panoptica"][key]
        found = matching.match_instances(two.reference, two.prediction, two.spacing)
        assert (len(found.references), found.n_prediction) == (
            values["n_ref_instances"], values["n_pred_instances"])  # fmt: skip
        counts = found.n_true_positive, found.n_false_positive, found.n_false_negative
        assert counts == (values["tp"], values["fp"], values["fn"])
        assert same(found.recognition_quality, values["rq"])
        assert same(found.panoptic_quality("dice"), values["pq_dsc"])
        if found.n_true_positive:
            for of in ("dice", "nsd", "hd95"):
                theirs = values[f"sq_{'dsc' if of == 'dice' else of}"]
                assert same(found.segmentation_quality(of), theirs), of
        parsed = block["parsed_GoAT"]
        assert same(matching.instance_f1(two, faithful=True), parsed[f"all_instance_f1_{key}"])
        assert same(matching.global_hd95(two, faithful=True), parsed[f"global_hd95_{key}"])
        assert same(matching.global_nsd(two, faithful=True), parsed[f"global_nsd_{key}"])
        for of, rule in (
            ("dsc", matching.dice_metastases),
            ("nsd", matching.nsd_metastases),
            ("hd95", matching.hd95_metastases),
        ):
            ours = rule(two, threshold=27.0, faithful=True)
            assert same(ours, block["parsed_mets"][f"lesionwise_{of}_mean_{key}"]), of


SAMPLE = DATA / "brats_met_eval_sample"


@pytest.mark.slow
def test_2025_on_the_organisers_own_sample():
    """Every instance and whole-mask number that the organisers publish with their four metastasis cases."""
    nibabel = pytest.importorskip("nibabel")
    if not SAMPLE.exists():
        pytest.skip("the organisers' sample is not beside the checkout")
    published = json.loads((SAMPLE / "sample_mets_metrics.json").read_text())["metrics"]
    assert len(published) == 4
    regions = {"et": (3,), "rc": (4,), "tc": (1, 3), "wt": (1, 2, 3)}
    for case in published:
        subject = case["subject_name"]
        number = subject.removeprefix("BraTS-MET-").removesuffix("-seg.nii.gz")
        guess = next((SAMPLE / "pred").glob(f"*{number}.nii.gz"))
        images = [nibabel.load(path) for path in (SAMPLE / "ref" / subject, guess)]
        maps = [np.asarray(image.dataobj) for image in images]
        spacing = tuple(float(step) for step in images[0].header.get_zooms())
        for region, labels in regions.items():
            two = MaskPair(*(np.isin(labels_of, labels) for labels_of in maps), spacing)
            found, values = matching.match_instances(two.reference, two.prediction, spacing), case[region]
            assert (found.n_true_positive, found.n_false_positive, found.n_false_negative) == (
                values["tp"], values["fp"], values["fn"])  # fmt: skip
            assert same(matching.global_hd95(two, faithful=True), json_number(values["global_bin_hd95"]))
            assert same(matching.global_nsd(two, faithful=True), json_number(values["global_bin_nsd"]))
            ours = sorted((m.size, m.dice or -1, m.hd95 or -1, m.nsd or -1) for m in found.references)
            theirs = sorted(
                (m["volume"], m.get("sq_dsc") or -1, m.get("sq_hd95") or -1, m.get("sq_nsd") or -1)
                for m in values.get("reference_instances", [])
            )
            assert len(ours) == len(theirs)
            for mine, other in zip(ours, theirs, strict=True):
                assert mine == pytest.approx(other, abs=1e-5), (subject, region)


def json_number(value):
    if value is None or math.isnan(value):
        return "NaN"
    return "Infinity" if math.isinf(value) else value


def test_2025_corrected_undoes_the_spacing_errors():
    reference = np.zeros((20, 20, 20), bool)
    reference[5:10, 5:10, 5:10] = True
    prediction = np.roll(reference, 2, axis=0)
    two = MaskPair(reference, prediction, (1.0, 2.0, 5.0))
    assert matching.global_hd95(two, faithful=False) == 2.0
    turned = MaskPair(reference, np.roll(reference, 2, axis=2), two.spacing)
    assert matching.global_hd95(turned, faithful=False) == 10.0
    apart = MaskPair(reference, np.roll(reference, 7, axis=0), (1.0, 1.0, 1.0))
    assert matching.global_hd95(apart, faithful=True) == matching.BRATS_2025_PENALTY_MM
    assert matching.global_hd95(apart, faithful=False) == 7.0


def test_lesion_scores_without_cc3d(monkeypatch):
    from medbench.metrics.masks import components

    name = "multi_lesion"
    masks = pair(name, "WT").reference, pair(name, "WT").prediction
    with_library = lesion_report(*masks, (1, 1, 1), "brats2023_gli")
    monkeypatch.setattr(components, "_cc3d", lambda: None)
    without = lesion_report(*masks, (1, 1, 1), "brats2023_gli")
    assert with_library == without


def test_the_diagonal_is_the_images_whatever_is_cut_out_of_it():
    reference, prediction = np.zeros((2, 30, 40, 50), np.uint8)
    reference[3:8, 3:8, 3:8] = 1
    ids = ["hd95.lesionwise.brats2024_met"]
    found = medbench.metrics.evaluate_arrays(reference, prediction, ids, [1], (1.0, 1.0, 1.0))
    assert found["1"][ids[0]].value == pytest.approx(math.sqrt(30**2 + 40**2 + 50**2))


def librarys_assignment(own, n_own, other, n_other):
    """Pairs as panoptica 2.1.7 makes them: one cost matrix of all components, and SciPy's solver."""
    from scipy.optimize import linear_sum_assignment

    costs = np.ones((n_own, n_other)) * (1 + 1e-6)
    for first in range(1, n_own + 1):
        for second in range(1, n_other + 1):
            both = int(((own == first) & (other == second)).sum())
            score = 2 * both / int((own == first).sum() + (other == second).sum())
            if score > 1e-6:
                costs[first - 1, second - 1] = 1 - score
    pairs = zip(*linear_sum_assignment(costs), strict=True)
    return {int(i) + 1: int(j) + 1 for i, j in pairs if costs[i, j] < 1}


@pytest.mark.parametrize("seed", range(40))
def test_of_equally_good_assignments_the_librarys_is_taken(seed):
    """Bars of one length over lesions of one length: many assignments have the same sum."""
    rng = np.random.default_rng(seed)
    own, other = np.zeros((4, 12, 24), np.int32), np.zeros((4, 12, 24), np.int32)
    lanes = [(z, y) for z in (0, 2) for y in range(0, 12, 2)]
    n_own = n_other = 0
    for z, y in lanes:
        for start in range(0, 24, 6):
            if rng.random() < 0.7:
                n_own += 1
                own[z, y, start : start + 4] = n_own
        for start in range(2, 20, 6):
            if rng.random() < 0.7:
                n_other += 1
                other[z, y, start : start + 4] = n_other
    found = matching._assignment(own, n_own, other, n_other, 1e-6, "dice")
    assert found == librarys_assignment(own, n_own, other, n_other)


def test_components_count_in_raster_order_whatever_their_place():
    from medbench.metrics.masks.components import components

    mask = np.zeros((3, 9, 9), bool)
    for place in ((2, 0, 0), (0, 8, 8), (0, 0, 4), (1, 4, 0)):
        mask[place] = True
    labels, count = components(mask)
    assert count == 4
    assert [int(labels[place]) for place in ((0, 0, 4), (0, 8, 8), (1, 4, 0), (2, 0, 0))] == [1, 2, 3, 4]
