"""BraTS: every edition's scores against the organisers' programs, layouts, labels, damaged files."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import medbench
from medbench.challenges.brats_editions import EDITIONS
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.io.nifti_mha import read_volume, write_volume
from medbench.running.evaluate import evaluate
from medbench.running.job import Inference
from medbench.running.run import run

GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = json.loads((GOLDEN / "brats_metrics.json").read_text())["cases"]
VOLUMES = np.load(GOLDEN / "brats_metrics.npz")
LESION_WISE = {
    f"brats{year}_{cohort}": (f"brats{year}", f"BraTS-{cohort.upper()}")
    for year, cohorts in (("2023", ("gli", "ssa", "ped", "met")), ("2024", ("ssa", "met")))
    for cohort in cohorts
}


def pair(name):
    return VOLUMES[f"{name}__ref"], VOLUMES[f"{name}__pred"], tuple(NUMBERS[name]["spacing"])


def values(scores):
    return {column: score.value for column, score in scores.items()}


@pytest.mark.parametrize("name", NUMBERS)
def test_until_2022(name):
    reference, prediction, spacing = pair(name)
    old = [np.where(labels == 3, 4, labels) for labels in (reference, prediction)]
    if spacing != (1.0, 1.0, 1.0):
        pytest.skip("these editions are 1 mm throughout")
    found = values(medbench.load_challenge("brats2020").score_arrays(*old, spacing))
    for region, expected in NUMBERS[name]["brats_legacy"].items():
        for column, key in (
            ("dice", "Dice"), ("hd95", "HD95"), ("sensitivity", "Sensitivity"), ("specificity", "Specificity")
        ):  # fmt: skip
            assert found[f"{column}_{region.lower()}"] == pytest.approx(expected[key], abs=1e-9), column


@pytest.mark.parametrize("edition", LESION_WISE)
@pytest.mark.parametrize("name", NUMBERS)
def test_lesion_wise_editions(name, edition):
    year, task = LESION_WISE[edition]
    block = NUMBERS[name][year].get(task)
    if block == "same as BraTS-GLI":
        block = NUMBERS[name][year]["BraTS-GLI"]
    if not isinstance(block, dict):
        pytest.skip(f"the organisers' program was not run on it: {block}")
    found = values(medbench.load_challenge(edition).score_arrays(*pair(name)))
    for region, expected in block.items():
        key = region.lower()
        assert found[f"lesion_dice_{key}"] == pytest.approx(expected["LesionWise_Score_Dice"], abs=1e-6)
        assert found[f"lesion_hd95_{key}"] == pytest.approx(expected["LesionWise_Score_HD95"], abs=1e-6)
        if year == "brats2023":
            assert found[f"dice_{key}"] == pytest.approx(expected["Legacy_Dice"], abs=1e-6)
            assert found[f"hd95_{key}"] == pytest.approx(expected["Legacy_HD95"], abs=1e-6)
        else:
            nsd = expected["LesionWise_Score_NSD @ 1.0"]
            assert found[f"lesion_nsd_{key}"] == pytest.approx(nsd, abs=1e-6)


@pytest.mark.parametrize("name", NUMBERS)
def test_2025(name):
    mets = NUMBERS[name]["brats2025"]["parsed_mets"]
    whole = NUMBERS[name]["brats2025"]["parsed_GoAT"]
    by_lesion = values(medbench.load_challenge("brats2025_met").score_arrays(*pair(name)))
    by_case = values(medbench.load_challenge("brats2025_gli").score_arrays(*pair(name)))
    for key in ("wt", "tc", "et"):
        for column, their in (("dice", "dsc"), ("nsd", "nsd"), ("hd95", "hd95")):
            agree(by_lesion[f"lesion_{column}_{key}"], mets[f"lesionwise_{their}_mean_{key}"])
        for column, their in (("hd95", "global_hd95"), ("nsd", "global_nsd"), ("f1", "all_instance_f1")):
            agree(by_case[f"{column}_{key}"], whole[f"{their}_{key}"])


def agree(ours, theirs):
    if theirs in ("NaN", None):
        assert ours is None
    elif theirs == "Infinity":
        assert ours == 373.0
    else:
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.fixture(scope="module")
def old_release(tmp_path_factory):
    root = tmp_path_factory.mktemp("brats2020")
    medbench.load_challenge("brats2020").sample(root)
    return root


@pytest.fixture(scope="module")
def new_release(tmp_path_factory):
    root = tmp_path_factory.mktemp("brats2023")
    medbench.load_challenge("brats2023_gli").sample(root)
    return root


@pytest.fixture
def copy(old_release, tmp_path):
    return shutil.copytree(old_release / "test", tmp_path / "copy" / "test").parent


def test_layouts_and_splits(old_release, new_release):
    for name, root, suffix in (("brats2020", old_release, "_t1ce"), ("brats2023_gli", new_release, "-t1c")):
        challenge = medbench.load_challenge(name)
        assert [len(challenge.cases(root, split)) for split in ("train", "val", "test")] == [6, 2, 4]
        case = challenge.cases(root, "test")[0]
        assert set(case.inputs) == {"t1n", "t1c", "t2w", "t2f"}
        assert case.inputs["t1c"].name == f"{case.id}{suffix}.nii.gz"
        assert all(finding.severity == "note" for finding in challenge.check(root)), challenge.check(root)


def test_a_folder_of_cases_is_split_by_patient(new_release, tmp_path):
    for case in (new_release / "train").iterdir():
        shutil.copytree(case, tmp_path / case.name)
        number = case.name.replace("-000", "-001")
        shutil.copytree(case, tmp_path / number)
    challenge = medbench.load_challenge("brats2023_gli")
    parts = {split: challenge.cases(tmp_path, split) for split in ("train", "val", "test")}
    assert sum(map(len, parts.values())) == len(challenge.cases(tmp_path, "all")) == 12
    groups = [{case.group for case in cases} for cases in parts.values()]
    assert len(set.union(*groups)) == sum(map(len, groups))


def test_predictions_keep_the_geometry_and_take_the_editions_labels(old_release, tmp_path):
    challenge = medbench.load_challenge("brats2020")
    case = challenge.cases(old_release, "test")[0]
    reference = challenge.read_reference(case)
    index = np.searchsorted([0, 1, 2, 4], reference.array).astype(np.uint8)
    path = challenge.write(Prediction(labels=index), case, tmp_path)
    written, flair = read_volume(path), read_volume(case.inputs["t2f"])
    assert written.array.dtype == np.uint8
    assert np.array_equal(written.array, reference.array)
    assert (written.spacing, written.origin, written.direction) == (
        flair.spacing, flair.origin, flair.direction)  # fmt: skip
    scores = challenge.score(case, tmp_path).scores
    assert scores["dice_et"].value == 1
    assert scores["hd95_wt"].value == 0


@pytest.mark.slow
def test_a_run_from_slices(old_release):
    finished = run(
        "dssau_net.test",
        "brats2020",
        data=old_release,
        weights="none",
        inference=Inference(image_size=128),
        cases="*_009",
    )
    assert finished.exit_code == 0
    assert finished.record.metrics["dice_wt"].scored == 1
    assert finished.record.challenge.conventions["hd95_wt"] == "hd95.pooled"


def test_labels_of_another_edition_are_refused_with_advice(new_release, tmp_path):
    challenge = medbench.load_challenge("brats2023_gli")
    case = challenge.cases(new_release, "test")[0]
    labels = challenge.read_reference(case)
    path = tmp_path / f"{case.id}.nii.gz"
    array = np.where(labels.array == 3, 4, labels.array)
    write_volume(path, Volume(array, labels.spacing, labels.origin, labels.direction))
    with pytest.raises(MedbenchError, match="holds label 4") as caught:
        challenge.score(case, tmp_path)
    assert "4 until 2022 and 3 from 2023" in caught.value.hint


def test_slices_to_learn_from(new_release, tmp_path):
    challenge = medbench.load_challenge("brats2023_gli")
    images = challenge.training_images(new_release, "val", tmp_path)
    assert len({image.group for image in images}) == 2
    picture, labels = images[len(images) // 4].load(64)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert set(np.unique(labels)) <= {0, 1, 2, 3}
    seen = set().union(*(set(np.unique(image.load(64)[1]).tolist()) for image in images))
    assert seen == {0, 1, 2, 3}


def damage(copy, kind):
    folder = sorted((copy / "test").iterdir())[0]
    flair = folder / f"{folder.name}_flair.nii.gz"
    volume = read_volume(flair)
    if kind == "another affine":
        write_volume(flair, Volume(volume.array, volume.spacing, (5.0, 0.0, 0.0), volume.direction))
    elif kind == "NaN":
        array = volume.array.astype(np.float32)
        array[3, 3, 3] = np.nan
        write_volume(flair, Volume(array, volume.spacing, volume.origin, volume.direction))
    elif kind == "all zero":
        write_volume(flair, Volume(volume.array * 0, volume.spacing, volume.origin, volume.direction))
    elif kind == "truncated":
        flair.write_bytes(flair.read_bytes()[:2000])
    elif kind == "4-D":
        import SimpleITK

        image = SimpleITK.JoinSeries([SimpleITK.ReadImage(str(flair))] * 2)
        SimpleITK.WriteImage(image, str(flair))
    else:
        path = folder / f"{folder.name}_seg.nii.gz"
        labels = read_volume(path)
        array = np.where(labels.array == 4, 3, labels.array)
        write_volume(path, Volume(array, labels.spacing, labels.origin, labels.direction))
        return path
    return flair


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("another affine", "the origin of this sequence, unlike"),
        ("NaN", "holds NaN"),
        ("all zero", "every voxel is 0"),
        ("truncated", "not a readable volume"),
        ("4-D", "has 4 axes"),
        ("label 3", "holds label 3"),
    ],
)
def test_damaged_files_are_named_in_one_line_and_the_rest_goes_on(copy, kind, words):
    path = damage(copy, kind)
    challenge = medbench.load_challenge("brats2020")
    bad, *others = challenge.cases(copy, "test")
    with pytest.raises(MedbenchError, match=words) as caught:
        challenge.read_reference(bad) if kind == "label 3" else challenge.read(bad)
    assert path.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    errors = [finding for finding in challenge.check(copy) if finding.severity == "error"]
    assert [finding.message for finding in errors] == [caught.value.message]
    assert all(challenge.read(case).images.any() for case in others)


def test_label_3_is_refused_before_2023():
    challenge = medbench.load_challenge("brats2021")
    assert 3 not in challenge.labels
    assert 4 in challenge.labels
    assert "brats2022" in {metric.protocol for metric in challenge.metrics}


def test_predictions_are_found_by_the_number_at_their_end(new_release, tmp_path):
    challenge = medbench.load_challenge("brats2023_gli")
    case = challenge.cases(new_release, "test")[0]
    shutil.copy(case.reference["labels"], tmp_path / f"team_{case.id[-9:]}.nii.gz")
    assert challenge.score(case, tmp_path).scores["lesion_dice_wt"].value == 1
    shutil.copy(case.reference["labels"], tmp_path / f"other_{case.id[-9:]}.nii.gz")
    with pytest.raises(MedbenchError, match="several predictions"):
        challenge.score(case, tmp_path)


def test_the_organisers_metastases(shared_data):
    """Label maps alone, scored as a stranger's predictions."""
    folder = shared_data / "brats" / "brats_met_eval_sample"
    if not folder.is_dir():
        pytest.skip("the organisers' sample is not beside the checkout")
    finished = evaluate("brats2025_met", folder / "pred", data=folder / "ref")
    assert [row.status for row in finished.rows] == ["ok"] * 4
    by_case = {row.case: row.scores for row in finished.rows}
    assert by_case["BraTS-MET-00132-000"]["lesion_dice_et"].value == pytest.approx(0.5802, abs=5e-5)


def test_every_edition_names_its_protocol():
    for name, (title, edition) in EDITIONS.items():
        challenge = medbench.load_challenge(name)
        assert challenge.title == title
        assert {metric.protocol.split(", ")[0] for metric in challenge.metrics} == {edition.protocol}
