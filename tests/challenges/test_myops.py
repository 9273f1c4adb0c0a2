"""MyoPS 2020: both families of scores against the golden numbers, layout, values, damaged files."""

import shutil

import numpy as np
import pytest

import medbench
from golden_files import golden
from medbench.challenges.myops2020.files import PAPERS_TEST
from medbench.challenges.myops2020.scoring import BY_SLICE, BY_VOLUME
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.sample import Prediction
from medbench.io.nifti_mha import read_volume, write_volume
from medbench.running.evaluate import evaluate

NUMBERS, VOLUMES = golden("myops_metrics.json")["cases"], golden("myops_metrics.npz")
CHALLENGE = medbench.load_challenge("myops2020")
OF_GOLDEN = {
    "scar": "scar", "scar+edema": "scar_edema", "edema": "edema", "LV": "lv", "RV": "rv", "Myo": "myo"
}  # fmt: skip


def pair(name):
    """Golden arrays have the axes x, y, slice; volumes are read as slice, y, x."""
    return [VOLUMES[f"{name}__{side}"].T for side in ("ref", "pred")]


def scores(name):
    return CHALLENGE.score_arrays(*pair(name), tuple(NUMBERS[name]["spacing"][::-1]))


@pytest.mark.parametrize("name", NUMBERS)
def test_by_volume(name):
    found = scores(name)
    for region, column in OF_GOLDEN.items():
        expected = NUMBERS[name]["per_volume"][region]
        both_empty = expected["dice"] in ("NaN", None)
        assert found[f"dice_{column}"].value == pytest.approx(1 if both_empty else expected["dice"], abs=1e-9)
        if "hd95_mm" in expected:
            assert found[f"hd95_{column}"].value == pytest.approx(expected["hd95_mm"], abs=1e-9)
        else:
            shape = np.array(pair(name)[0].shape) * NUMBERS[name]["spacing"][::-1]
            far = None if both_empty else pytest.approx(np.linalg.norm(shape))
            assert found[f"hd95_{column}"].value == far


@pytest.mark.parametrize("name", NUMBERS)
def test_by_slice(name):
    found = scores(name)
    for region, column in (("LVB", "lv"), ("RVB", "rv"), ("MYO", "myo")):
        expected = NUMBERS[name]["lineage_slices"][region]
        for measure in ("dice", "hd95"):
            value = found[f"slice_{measure}_{column}"].value
            assert value == pytest.approx(expected[f"{measure}_mean"], abs=1e-9), (region, measure)


def test_the_two_families_never_share_a_table():
    by_protocol = {}
    for spec in CHALLENGE.metrics:
        by_protocol.setdefault(spec.protocol, set()).add(spec.name)
    assert set(by_protocol) == {BY_VOLUME, BY_SLICE}
    assert not any("scar" in name or "edema" in name for name in by_protocol[BY_SLICE])
    headlines = {spec.name for spec in CHALLENGE.metrics if spec.headline and spec.protocol == BY_VOLUME}
    assert headlines == {"dice_scar", "dice_scar_edema", "hd95_scar", "hd95_scar_edema"}


@pytest.fixture(scope="module")
def release(sample):
    return sample("myops2020")


@pytest.fixture
def copy(release, tmp_path):
    return shutil.copytree(release, tmp_path / "copy")


def test_layout_and_splits(release):
    ids = {split: [case.id for case in CHALLENGE.cases(release, split)] for split in CHALLENGE.release.splits}
    assert ids["test"] == ["myops_training_107", "myops_training_111"]
    assert ids["train"] == [f"myops_training_{number}" for number in range(101, 107)]
    assert sorted(ids["train"] + ids["test"]) == ids["all"]
    assert ids["unlabelled"] == ["myops_test_201"]
    assert {int(name[-3:]) for name in ids["test"]} <= set(PAPERS_TEST)
    case = CHALLENGE.cases(release, "test")[0]
    assert {name: path.name for name, path in case.inputs.items()} == {
        name: f"{case.id}_{name}.nii.gz" for name in ("C0", "DE", "T2")
    }
    assert case.reference["labels"].name == f"{case.id}_gd.nii.gz"
    assert CHALLENGE.release.overlap("all", "test")
    assert not CHALLENGE.release.overlap("train", "test")
    assert not CHALLENGE.release.overlap("all", "unlabelled")
    assert {finding.severity for finding in CHALLENGE.release.check(release)} == {"note"}


def test_labels_are_the_challenges_own_in_16_bits(release, tmp_path):
    case = CHALLENGE.cases(release, "test")[0]
    reference = CHALLENGE.release.read_reference(case)
    assert reference.array.dtype == np.int16
    assert set(np.unique(reference.array)) == {0, 200, 500, 600, 1220, 2221}
    index = np.searchsorted([0, 200, 500, 600, 1220, 2221], reference.array).astype(np.uint8)
    written = read_volume(CHALLENGE.write(Prediction({"label_map": index}), case, tmp_path))
    assert written.array.dtype == np.int16
    assert np.array_equal(written.array, reference.array)
    assert written.spacing == reference.spacing
    found = CHALLENGE.score(case, tmp_path)
    assert found.scores["dice_scar"].value == 1
    assert found.scores["slice_hd95_myo"].value == 0
    assert found.evidence["slices"] == len(index)


@pytest.mark.parametrize("damage", ["cut to 8 bits", "class indices"])
def test_other_values_are_refused(release, tmp_path, damage):
    case = CHALLENGE.cases(release, "test")[0]
    volume = CHALLENGE.release.read_reference(case)
    if damage == "class indices":
        array = np.searchsorted([0, 200, 500, 600, 1220, 2221], volume.array).astype(np.int16)
    else:
        array = volume.array.astype(np.uint8)
    path = tmp_path / f"{case.id}.nii.gz"
    write_volume(path, Volume(array, volume.spacing, volume.origin, volume.direction))
    with pytest.raises(MedbenchError, match=r"holds label (88|1), ") as caught:
        CHALLENGE.score(case, tmp_path)
    assert path.name in caught.value.message
    assert "16 bits" in caught.value.hint


def test_three_sequences_are_three_channels(release, copy):
    case = CHALLENGE.cases(release, "test")[0]
    pictures = CHALLENGE.read(case).images
    assert pictures.shape == (*CHALLENGE.release.read_reference(case).shape, 3)
    for path in copy.rglob(f"{case.id}_DE*"):
        path.unlink()
    without = CHALLENGE.cases(copy, "test")[0]
    changed = CHALLENGE.read(without).images
    assert not changed[..., 1].any()
    assert np.array_equal(changed[..., [0, 2]], pictures[..., [0, 2]])
    volumes = CHALLENGE.exchange.inputs["volume"].read(without)
    assert volumes.present == (True, False, True)
    assert not volumes.volumes[1].any()
    assert volumes.volumes.dtype == np.int16
    assert any("has no DE" in finding.message for finding in CHALLENGE.release.check(copy))


def test_bad_files_are_one_line_each_and_the_rest_goes_on(release, copy, tmp_path):
    first, second = CHALLENGE.cases(copy, "test")
    path = first.inputs["T2"]
    volume = read_volume(path)
    write_volume(path, Volume(volume.array, volume.spacing, (0.0, 9.0, 0.0), volume.direction))
    with pytest.raises(MedbenchError, match="the origin of this modality, unlike") as caught:
        CHALLENGE.exchange.inputs["volume"].read(first)
    assert path.name in caught.value.message
    assert CHALLENGE.exchange.inputs["volume"].read(second).volumes.any()
    errors = [finding for finding in CHALLENGE.release.check(copy) if finding.severity == "error"]
    assert len(errors) == 1


def test_a_folder_of_predictions_averages_slices_over_all_patients(release, tmp_path):
    cases = CHALLENGE.cases(release, "all")
    folder = tmp_path / "predictions"
    for case in cases:
        reference = CHALLENGE.release.read_reference(case)
        array = reference.array.copy()
        array[0] = 0
        write_volume(
            folder / f"{case.id}_seg.nii.gz",
            Volume(array, reference.spacing, reference.origin, reference.direction),
        )
    (folder / f"{cases[0].id}_seg.nii.gz").unlink()
    finished = evaluate("myops2020", folder, data=release, split="all")
    slices = [len(CHALLENGE.release.read_reference(case).array) for case in cases]
    assert len(set(slices)) == 2
    right = sum(slices[1:]) - len(slices[1:])
    metrics = finished.record.metrics
    assert metrics["slice_dice_lv"].value == pytest.approx(right / sum(slices), abs=1e-9)
    assert metrics["slice_dice_lv"].missing == 1
    assert finished.rows[0].status == "missing"
    assert finished.rows[0].scores["dice_scar"].value == 0
    assert finished.rows[0].scores["hd95_scar"].value == pytest.approx(
        np.linalg.norm(np.array(CHALLENGE.release.read_reference(cases[0]).shape) * (12, 1.5, 1.5))
    )
    without_scar = next(row for row in finished.rows if row.case.endswith("103"))
    assert without_scar.scores["dice_scar"].value == 1
    assert without_scar.scores["hd95_scar"].status == "undefined"
    assert finished.record.challenge.cases == 8


def test_slices_to_learn_from(release, tmp_path):
    images = CHALLENGE.exchange.inputs["image"].examples(release, "test", tmp_path)
    assert {image.group for image in images} == {"myops_training_107", "myops_training_111"}
    picture, labels = images[0].load(64)
    assert picture.shape == (64, 64, 3)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4, 5}
    sample, indices = CHALLENGE.exchange.inputs["volume"].examples(release, "test", tmp_path)[0].load()
    assert sample.volumes.shape[1:] == indices.shape
    assert set(np.unique(indices)) == {0, 1, 2, 3, 4, 5}
