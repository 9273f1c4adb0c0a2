"""Nothing learns from files that do not fit: masks of another size are refused before a training starts."""

import json

import numpy as np
import pytest

import medbench
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.io import nifti_mha, raster
from medbench.running.declaring import Wishes, declare
from medbench.running.export_data import export_data
from medbench.running.request import CaseRequest
from medbench.running.train import train


def _images(folder, count=10, size=(24, 32)):
    generator = np.random.default_rng(0)
    for index in range(count):
        raster.write_image(
            folder / f"images/{index:02}.png", generator.integers(0, 255, (*size, 3), np.uint8)
        )
        mask = np.zeros(size, np.uint8)
        mask[4 + index : 12 + index, 5:20] = 255
        raster.write_label_map(folder / f"masks/{index:02}.png", mask)
    declare(folder, "ours", Wishes(labels={"polyp": 255}))
    return medbench.load_challenge("ours").cases(folder, "train")


def _spoilt(cases, count, size=(8, 8)):
    masks = [case.reference["labels"] for case in cases[:count]]
    for mask in masks:
        raster.write_label_map(mask, np.full(size, 255, np.uint8))
    return masks


@pytest.mark.parametrize("model", ["baseline/constant", "mslau_net.test"])
def test_one_mask_of_another_size_is_named_before_anything_is_fitted(place, model, monkeypatch):
    (mask,) = _spoilt(_images(place / "png"), 1)
    monkeypatch.setattr("medbench.training.fit.fit", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(MedbenchError) as error:
        train(model, "ours", recipe="quick")
    assert error.value.code == "data.size_mismatch"
    assert error.value.message == f"{mask}: is 8×8 where its image is 24×32."
    assert not list((place / "runs").rglob("weights.pt"))


def test_many_masks_of_another_size_are_counted_and_five_are_named(place):
    masks = _spoilt(_images(place / "png"), 6)
    with pytest.raises(MedbenchError) as error:
        train("baseline/constant", "ours")
    words = error.value.message
    assert words.startswith(f"{masks[0].parent}: 6 masks are of another size than their image: ")
    assert all(f"{mask.name} (8×8, its image 24×32)" in words for mask in masks[:5])
    assert masks[5].name not in words


def test_nnunets_data_set_is_not_written_from_such_masks(place):
    from medbench.nnunet.data import write_raw

    _spoilt(_images(place / "png"), 1)
    challenge = medbench.load_challenge("ours")
    with pytest.raises(MedbenchError, match="is 8×8 where its image is 24×32"):
        write_raw(challenge, place / "png", "train", 32, place / "raw", place / "cache", SilentProgress())
    assert not (place / "raw").exists()


def test_an_export_leaves_such_a_case_out_and_says_so(place):
    (mask,) = _spoilt(_images(place / "png"), 1)
    count, failures = export_data(
        CaseRequest(challenge="ours"), "nnunet", place / "Dataset501_ours", SilentProgress()
    )
    assert count == 9
    assert failures == [f"{mask}: is 8×8 where its image is 24×32."]


def test_a_release_with_a_mask_of_another_size_is_refused(small_isic, tmp_path):
    import shutil

    root = shutil.copytree(small_isic, tmp_path / "isic")
    challenge = medbench.load_challenge("isic2018")
    mask = challenge.cases(root, "train")[0].reference["labels"]
    raster.write_label_map(mask, np.full((7, 9), 255, np.uint8))
    with pytest.raises(MedbenchError, match="is 7×9 where its image is") as error:
        challenge.exchange.inputs["image"].examples(root, "train", tmp_path / "cache")
    assert str(mask) in error.value.message


def test_a_label_volume_on_another_grid_is_named_before_the_training_starts(place, monkeypatch):
    folder = place / "Dataset007_Own"
    for index in range(6):
        labels = np.zeros((5, 12, 12), np.uint8)
        labels[:, index : index + 4, 3:8] = 1
        for name, array in ((f"labelsTr/a_{index}", labels), (f"imagesTr/a_{index}_0000", labels + 1)):
            own = array[1:] if name == "labelsTr/a_3" else array
            geometry = (2.0, 1.0, 1.0), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel().tolist())
            nifti_mha.write_volume(folder / f"{name}.nii.gz", Volume(own, *geometry))
    facts = {"channel_names": {"0": "T1"}, "labels": {"background": 0, "tumour": 1}, "numTraining": 6,
             "file_ending": ".nii.gz"}  # fmt: skip
    (folder / "dataset.json").write_text(json.dumps(facts))
    declare(folder, "own")
    challenge = medbench.load_challenge("own")
    split = next(name for name in ("train", "val", "test") if "a_3" in _ids(challenge, folder, name))
    monkeypatch.setattr("medbench.training.fit.fit", lambda *_, **__: pytest.fail("the training started"))
    with pytest.raises(MedbenchError, match=r"a_3\.nii\.gz: the size of the reference is \(4, 12, 12\)"):
        train("monai/unet", "own", split=split, recipe="quick")
    with pytest.raises(MedbenchError, match=r"a_3\.nii\.gz"):
        train("baseline/constant", "own", split=split)


def _ids(challenge, folder, split):
    return [case.id for case in challenge.cases(folder, split)]


def test_files_of_one_fault_are_one_finding_with_their_number_and_five_names(place):
    cases = _images(place / "png")
    _spoilt(cases, 6)
    for case in medbench.load_challenge("ours").cases(place / "png", "test"):
        raster.write_label_map(case.reference["labels"], np.zeros((24, 32), np.uint8))
    challenge = medbench.load_challenge("ours")
    findings = challenge.release.check(place / "png")
    sizes = [finding.message for finding in findings if "where its image" in finding.message]
    assert len(sizes) == 1
    assert sizes[0].startswith("6 files: is 8×8 where its image is 24×32: ")
    assert sizes[0].count(".png") == 5
    assert sizes[0].endswith(", ….")
    (empty,) = [finding.message for finding in findings if "nothing is marked" in finding.message]
    assert empty.startswith("2 files: nothing is marked: ")


def test_what_differs_from_file_to_file_stands_beside_its_name(place):
    cases = _images(place / "png")
    for number, case in enumerate(cases[:3]):
        mask = np.zeros((24, 32), np.uint8)
        mask[: number + 1, :4] = 7 + number
        raster.write_label_map(case.reference["labels"], mask)
    for number, case in enumerate(cases[3:5]):
        raster.write_label_map(case.reference["labels"], np.zeros((8 + number, 8), np.uint8))
    findings = medbench.load_challenge("ours").release.check(place / "png")
    names = [case.reference["labels"].name for case in cases]
    (values,) = [finding for finding in findings if "holds the value" in finding.message]
    assert values.message.startswith(
        "3 files: holds the value … of 768 voxels), which labels does not name (0 back"
    )
    assert all(
        f"{name} ({7 + number} ({4 * number + 4})" in values.message for number, name in enumerate(names[:3])
    )
    (sizes,) = [finding for finding in findings if "where its image" in finding.message]
    assert sizes.message == (f"2 files: is … where its image is 24×32: {names[3]} (8×8), {names[4]} (9×8).")


def test_volume_files_of_two_axes_have_one_message_wherever_they_are_met(place):
    for index in range(6):
        labels = np.zeros((12, 12), np.uint8)
        labels[index : index + 4, 3:8] = 1
        for name, array in ((f"labels/{index}", labels), (f"images/{index}", labels + 1)):
            nifti_mha.write_volume(place / f"nii/{name}.nii.gz", Volume(array, (1.0, 1.0)))
    with pytest.raises(MedbenchError) as error:
        declare(place / "nii", "flat")
    assert error.value.code == "data.not_3d"
    assert "images/0.nii.gz: has 2 axes (12, 12), not three." in error.value.message
    assert "as PNG" in error.value.hint
    assert not (place / "medbench.toml").exists()
    (place / "medbench.toml").write_text(
        '[data.flat]\nroot = "nii"\nimages = "images/{case}.nii.gz"\nmasks = "labels/{case}.nii.gz"\n'
        'labels = { a = 1 }\nmodalities = ["image"]\n'
    )
    findings = medbench.load_challenge("flat").release.check(place / "nii")
    (told,) = [finding for finding in findings if "axes" in finding.message]
    assert "6 files: has 2 axes (12, 12), not three: 0.nii.gz" in told.message
    assert told.advice == error.value.hint


def test_the_title_follows_the_name_that_is_given(place):
    _images(place / "png")
    declare(place / "png")
    titles = [medbench.load_challenge(name).title for name in ("ours", "png")]
    assert titles == ["ours", "png"]


def test_slices_whose_labels_are_of_another_size_are_refused(small_synapse, tmp_path, monkeypatch):
    challenge = medbench.load_challenge("synapse")
    case = challenge.cases(small_synapse, "test")[0]
    release = challenge.release
    whole = release.read_reference(case)
    cut = Volume(whole.array[:, :32], whole.spacing)
    monkeypatch.setattr(type(release), "read_reference", lambda self, case: cut)
    for form, load in (("image", lambda one: one.load(32)), ("volume", lambda one: one.load())):
        example = challenge.exchange.inputs[form].examples(small_synapse, "test", tmp_path / "cache")[0]
        with pytest.raises(MedbenchError, match=r"×32×64 where its image is .×64×64") as error:
            load(example)
        assert error.value.code == "data.size_mismatch"
