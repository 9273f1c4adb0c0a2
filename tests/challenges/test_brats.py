"""BraTS: every edition's scores against the organisers' programs, layouts, labels, damaged files."""

import re
import shutil

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.challenges.brats.editions import EDITIONS
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.io.nifti_mha import read_volume, write_volume
from medbench.running.evaluate import evaluate
from medbench.running.request import Inference
from medbench.running.run import run

NUMBERS, VOLUMES = golden("brats_metrics.json")["cases"], golden("brats_metrics.npz")
LESION_WISE = {
    f"brats{year}_{cohort}": (f"brats{year}", f"BraTS-{cohort.upper()}")
    for year, cohorts in (("2023", ("gli", "ssa", "ped", "met")), ("2024", ("gli", "ssa", "met")))
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
        lineage = NUMBERS[name]["lineage_passion"][region]
        assert found[f"lineage_dice_{region.lower()}"] == pytest.approx(lineage["Dice"], abs=1e-9)
        assert found[f"lineage_hd95_{region.lower()}"] == pytest.approx(lineage["HD95"], abs=1e-9)


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


@pytest.mark.parametrize("cohort", ["SSA", "PED"])
@pytest.mark.parametrize("name", NUMBERS)
def test_cohorts_of_2025_that_are_scored_by_the_lesions_of_2024(name, cohort):
    """Surface Dice within 0.5 and 1 mm, as the organisers' program gives it."""
    challenge = medbench.load_challenge(f"brats2025_{cohort.lower()}")
    columns = {
        "lesion_dice": "LesionWise_Score_Dice",
        "lesion_nsd_half": "LesionWise_Score_NSD @ 0.5",
        "lesion_nsd": "LesionWise_Score_NSD @ 1.0",
        "lesion_hd95": "LesionWise_Score_HD95",
    }
    block = NUMBERS[name]["brats2024"].get(f"BraTS-{cohort}")
    block = NUMBERS[name]["brats2024"]["BraTS-GLI"] if block == "same as BraTS-GLI" else block
    if not isinstance(block, dict):
        pytest.skip(f"the organisers' program was not run on it: {block}")
    reference, prediction, spacing = pair(name)
    if cohort == "PED":
        own = np.array([0, 3, 4, 1, 2])
        reference, prediction = own[reference], own[prediction]
    found = values(challenge.score_arrays(reference, prediction, spacing))
    for region, expected in block.items():
        if cohort == "PED" and region == "TC":
            continue  # a paediatric core has the cyst too
        for column, key in columns.items():
            if cohort == "PED" and region == "WT" and 4 in prediction:
                continue
            value = found[f"{column}_{region.lower()}"]
            assert value == pytest.approx(expected[key], abs=1e-6), (region, column)


@pytest.mark.parametrize("name", NUMBERS)
def test_corrected_distances_of_2025_are_in_mm(name):
    """Where a mask of each is there, the corrected HD95 is medpy's with the spacing of each axis."""
    found = values(medbench.load_challenge("brats2025_gli").score_arrays(*pair(name)))
    differs = False
    for region, counts in NUMBERS[name]["medpy"].items():
        corrected = found[f"corrected_hd95_{region.lower()}"]
        if "medpy_hd95_mm" in counts:
            assert corrected == pytest.approx(counts["medpy_hd95_mm"], abs=1e-9)
            differs |= corrected != found[f"hd95_{region.lower()}"]
        else:
            both = counts["tp"] + counts["fp"] + counts["fn"] == 0
            assert corrected == (None if both else 373.0)
    if name.startswith("aniso"):
        assert differs


def test_corrected_lesions_of_2025_use_each_axis_own_spacing():
    reference, prediction = np.zeros((2, 30, 30, 30), np.uint8)
    reference[5:15, 5:15, 5:15] = 3
    prediction[8:18, 5:15, 5:15] = 3
    found = values(
        medbench.load_challenge("brats2025_met").score_arrays(reference, prediction, (3.0, 1.0, 0.5))
    )
    assert found["corrected_lesion_hd95_et"] == pytest.approx(9.0)
    assert found["lesion_hd95_et"] == pytest.approx(1.5)
    assert found["lesion_dice_et"] == pytest.approx(0.7)


def agree(ours, theirs):
    if theirs in ("NaN", None):
        assert ours is None
    elif theirs == "Infinity":
        assert ours == 373.0
    else:
        assert ours == pytest.approx(theirs, abs=1e-6)


@pytest.fixture(scope="module")
def old_release(sample):
    return sample("brats2020")


@pytest.fixture(scope="module")
def new_release(sample):
    return sample("brats2023_gli")


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
        assert all(finding.severity == "note" for finding in challenge.release.check(root)), (
            challenge.release.check(root)
        )


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
    reference = challenge.release.read_reference(case)
    index = np.searchsorted([0, 1, 2, 4], reference.array).astype(np.uint8)
    path = challenge.write(Prediction({"label_map": index}), case, tmp_path)
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
    labels = challenge.release.read_reference(case)
    path = tmp_path / f"{case.id}.nii.gz"
    array = np.where(labels.array == 3, 4, labels.array)
    write_volume(path, Volume(array, labels.spacing, labels.origin, labels.direction))
    with pytest.raises(MedbenchError, match="holds label 4") as caught:
        challenge.score(case, tmp_path)
    assert "4 until 2022 and 3 from 2023" in caught.value.hint


def test_slices_to_learn_from(new_release, tmp_path):
    challenge = medbench.load_challenge("brats2023_gli")
    images = challenge.exchange.inputs["image"].examples(new_release, "val", tmp_path)
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
        ("another affine", "the origin of this modality, unlike"),
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
        challenge.release.read_reference(bad) if kind == "label 3" else challenge.read(bad)
    assert path.name in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    errors = [finding for finding in challenge.release.check(copy) if finding.severity == "error"]
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


NAMES = {
    "brats2018": r"Brats18_[A-Z]+_\d+_1/Brats18_[A-Z]+_\d+_1_(flair|t1|t1ce|t2|seg)",
    "brats2019": r"BraTS19_[A-Z]+_\d+_1/BraTS19_[A-Z]+_\d+_1_(flair|t1|t1ce|t2|seg)",
    "brats2020": r"BraTS20_Training_\d{3}/BraTS20_Training_\d{3}_(flair|t1|t1ce|t2|seg)",
    "brats2021": r"BraTS2021_\d{5}/BraTS2021_\d{5}_(flair|t1|t1ce|t2|seg)",
    "brats2024_men_rt": r"BraTS-MEN-RT-\d{4}-1/BraTS-MEN-RT-\d{4}-1_(t1c|gtv)",
    "brats2024_gli": r"BraTS-GLI-\d{5}-100/BraTS-GLI-\d{5}-100-(t1c|t1n|t2f|t2w|seg)",
    "brats2025_gli": r"BraTS-GLI-\d{5}-100/BraTS-GLI-\d{5}-100-(t1c|t1n|t2f|t2w|seg)",
} | {
    name: rf"BraTS-{cohort}-\d{{5}}-000/BraTS-{cohort}-\d{{5}}-000-(t1c|t1n|t2f|t2w|seg)"
    for name in EDITIONS
    for year, _, cohort in [name.upper().partition("_")]
    if cohort and name not in ("brats2024_men_rt", "brats2024_gli", "brats2025_gli")
}  # fmt: skip


@pytest.mark.parametrize("name", EDITIONS)
def test_every_edition_has_its_own_names_and_labels(name, tmp_path, monkeypatch):
    monkeypatch.setattr("medbench.challenges.brats.sample.COUNTS", {"train": 1, "val": 1, "test": 1})
    challenge = medbench.load_challenge(name)
    challenge.release.draw_sample(tmp_path, {})
    files = sorted(path.relative_to(tmp_path / "train").as_posix() for path in tmp_path.glob("train/*/*"))
    assert len(files) == len(challenge.card.modalities) + 1
    for file in files:
        assert re.fullmatch(NAMES[name] + r"\.nii\.gz", file), file
    (case,) = challenge.cases(tmp_path, "train")
    assert set(case.inputs) == set(challenge.card.modalities)
    assert set(np.unique(challenge.release.read_reference(case).array).tolist()) == set(challenge.labels)
    assert not [finding for finding in challenge.release.check(tmp_path) if finding.severity != "note"]
    shutil.copy(case.reference["labels"], tmp_path / f"{case.id}.nii.gz")
    scores = challenge.score(case, tmp_path).scores
    for metric in challenge.metrics:
        best = 0.0 if metric.better == "lower" else 1.0
        assert scores[metric.name].value == pytest.approx(best, abs=1e-7), metric.name
    failed = challenge.scorer.score_failed(case, "failed", "it broke").scores
    far = {"brats2024_gli": 337, "brats2025_gli": 373, "brats2025_met": 373}.get(name, 374)
    if name in ("brats2024_met", "brats2024_men_rt"):
        far = np.linalg.norm(challenge.release.read_reference(case).shape)
    worst = {failed[m.name].value for m in challenge.metrics if m.unit and "as papers" not in m.protocol}
    assert worst == {far}


def test_volumes_have_a_channel_a_sequence_and_mark_those_without_a_file(copy):
    challenge = medbench.load_challenge("brats2020")
    case = challenge.cases(copy, "test")[0]
    whole = challenge.exchange.inputs["volume"].read(case)
    assert whole.modalities == ("t2f", "t1c", "t1n", "t2w")
    assert whole.present == (True,) * 4
    assert whole.volumes.dtype == np.int16
    for channel, name in zip(whole.volumes, whole.modalities, strict=True):
        assert np.array_equal(channel, read_volume(case.inputs[name]).array)
    case.inputs["t2f"].unlink()
    case.inputs["t1n"].unlink()
    without = challenge.cases(copy, "test")[0]
    assert without.id == case.id
    part = challenge.exchange.inputs["volume"].read(without)
    assert part.present == (False, True, False, True)
    assert not part.volumes[[0, 2]].any()
    assert np.array_equal(part.volumes[[1, 3]], whole.volumes[[1, 3]])
    assert any("has no t1n, t2f" in finding.message for finding in challenge.release.check(copy))


def test_a_segmentation_of_another_name_is_found(copy):
    challenge = medbench.load_challenge("brats2020")
    path = challenge.cases(copy, "test")[0].reference["labels"]
    path.rename(path.with_name("W39_1998.09.19_Segm.nii.gz"))
    assert challenge.cases(copy, "test")[0].reference["labels"].name == "W39_1998.09.19_Segm.nii.gz"


def test_all_shares_cases_with_every_split_and_the_others_with_none():
    challenge = medbench.load_challenge("brats2020")
    for first in ("train", "val", "test"):
        assert challenge.release.overlap(first, "all")
        assert challenge.release.overlap("all", first)
        assert not any(challenge.release.overlap(first, other) for other in ("train", "val", "test"))
    assert "train, val and test together" in challenge.release.split_facts("all").rule


def test_slices_are_prepared_once(new_release, tmp_path, monkeypatch):
    challenge = medbench.load_challenge("brats2023_gli")
    images = challenge.exchange.inputs["image"].examples(new_release, "val", tmp_path)
    monkeypatch.setattr(
        type(challenge.exchange), "_arrays", lambda *_: pytest.fail("a slice looks its case up again")
    )
    assert images[len(images) // 4].load(64)[1].any()


def test_class_indices_follow_the_order_of_the_labels(old_release, tmp_path):
    challenge = medbench.load_challenge("brats2020")
    volume = challenge.exchange.inputs["volume"].examples(old_release, "val", tmp_path)[0]
    sample, indices = volume.load()
    reference = challenge.release.read_reference(challenge.cases(old_release, "val")[0]).array
    assert np.array_equal(np.array([0, 1, 2, 4])[indices], reference)
    assert sample.volumes.shape == (4, *indices.shape)
    assert len(volume.files) == 5


def test_the_real_case_keeps_its_geometry(shared_data, tmp_path):
    folder = shared_data / "brats" / "brats_gli_dqe"
    if not folder.is_dir():
        pytest.skip("the real case is not beside the checkout")
    name = "BraTS-GLI-00001-000"
    for modality in ("t1c", "t1n", "t2f", "t2w"):
        target = tmp_path / "in" / "test" / name / f"{name}-{modality}.nii.gz"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"{modality}.nii.gz", target)
    challenge = medbench.load_challenge("brats2023_gli")
    (case,) = challenge.cases(tmp_path / "in", "test")
    sample = challenge.exchange.inputs["volume"].read(case)
    assert sample.volumes.shape == (4, 155, 240, 240)
    labels = read_volume(folder / "seg-BraTS23_1.nii.gz").array
    written = read_volume(challenge.write(Prediction({"label_map": labels.astype(np.uint8)}), case, tmp_path))
    source = read_volume(folder / "t1c.nii.gz")
    assert written.array.dtype == np.uint8
    assert np.array_equal(written.array, labels)
    assert (written.spacing, written.origin, written.direction) == (
        source.spacing, source.origin, source.direction)  # fmt: skip


def test_every_edition_names_its_protocol():
    for name, (title, edition) in EDITIONS.items():
        challenge = medbench.load_challenge(name)
        assert challenge.title == title
        assert {metric.protocol.split(", ")[0] for metric in challenge.metrics} == {edition.protocol}
