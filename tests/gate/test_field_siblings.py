"""Relatives of the inputs that failed in the field: other formats, other damage, other file systems."""

import shutil
import struct
from pathlib import Path

import cv2
import gate_samples as made
import nibabel
import numpy as np
import pytest
import tifffile
from gate_releases import release
from PIL import Image

from medbench.challenges import load_challenge
from medbench.challenges.kpis.masks import read_grey_mask
from medbench.challenges.stray import repeated
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import hdf5, nifti_mha
from medbench.io.fingerprint import shown_sha256
from medbench.io.gate.listing import list_folder
from medbench.io.images import SUFFIXES, read_labels
from medbench.io.raster import read_image
from medbench.io.slides import open_slide, slide_facts
from medbench.running.folders import evaluate_folders


def refused(path):
    with pytest.raises(MedbenchError) as caught:
        read_labels(path)
    assert path.name in caught.value.message
    return caught.value.code


def disc():
    rows, columns = np.indices((96, 128))
    return (((rows - 40) / 25.0) ** 2 + ((columns - 60) / 35.0) ** 2) < 1


def palette_image(path, first, second):
    image = Image.fromarray(disc().astype(np.uint8))
    image.putpalette([*first, *second])
    image.save(path)


WHITE, BLACK = (255,) * 3, (0,) * 3


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_a_palette_that_shows_0_brighter_than_1_is_ambiguous(tmp_path, suffix):
    """Pillow reads indices, OpenCV colours: one is the inverse of the other."""
    falling, rising = tmp_path / f"falling{suffix}", tmp_path / f"rising{suffix}"
    palette_image(falling, WHITE, BLACK)
    palette_image(rising, BLACK, WHITE)
    assert refused(falling) == "data.white_is_zero"
    assert np.array_equal(read_labels(rising).array, disc() * 255)
    grey = np.where(disc(), 0, 255)
    image = read_image(falling)
    assert np.array_equal(image if image.ndim == 2 else image[..., 0], grey)


@pytest.mark.parametrize("falls", [True, False])
def test_slides_and_masks_of_patches_read_palettes_as_all_others_do(tmp_path, falls):
    path = tmp_path / "a.tif"
    shades = np.linspace(65535, 0, 256) if falls else np.linspace(0, 65535, 256)
    colours = np.tile(shades.astype(np.uint16), (3, 1))
    mask = disc().astype(np.uint8) * 255
    tifffile.imwrite(path, mask, photometric="palette", colormap=colours, tile=(64, 64), compression="zlib")
    if not falls:
        with open_slide(path, channels=1) as slide:
            assert np.array_equal(slide.read((0, 96), (0, 128)), mask)
        assert np.array_equal(read_grey_mask(path), mask)
        return
    for read in (lambda file: slide_facts(file, channels=1), read_grey_mask, read_labels):
        with pytest.raises(MedbenchError, match=path.name) as caught:
            read(path)
        assert caught.value.code == "data.white_is_zero"


def test_one_bit_of_a_bitmap_and_of_a_png(tmp_path):
    for suffix in (".bmp", ".png", ".tif"):
        path = tmp_path / f"a{suffix}"
        Image.fromarray(disc()).save(path)
        assert np.array_equal(read_labels(path).array, disc() * 255)
    content = bytearray((tmp_path / "a.bmp").read_bytes())
    content[54:62] = content[58:62] + content[54:58]
    (tmp_path / "b.bmp").write_bytes(content)
    assert refused(tmp_path / "b.bmp") == "data.white_is_zero"


def labels_near_whole(path, near):
    if path.suffix == ".npy":
        np.save(path, near)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, near[3])
    elif path.suffix in (".nii", ".gz"):
        nibabel.save(nibabel.Nifti1Image(near, np.eye(4)), path)
    else:
        path.write_bytes(made.metaimage(near.T.astype(np.float32), kind="MET_FLOAT", spacing=(1, 1, 1)))


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.nii", "a.nii.gz", "a.mha"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_within_a_hundredth_of_whole_are_labels_in_any_format(tmp_path, name, dtype):
    """As where a file with scaled labels was read and saved again."""
    labels = made.label_volume((9, 10, 11), 3)
    path = tmp_path / name
    labels_near_whole(path, np.where(labels == 1, 0.99608, labels * 1.0).astype(dtype))
    right = {".npy": labels, ".tif": labels[3]}.get(path.suffix, labels.T)
    assert np.array_equal(read_labels(path).array, right)
    labels_near_whole(path, np.where(labels == 1, 0.98, labels * 1.0).astype(dtype))
    assert refused(path) == "data.not_a_label_map"


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int64, np.uint64])
def test_labels_of_any_type_are_read_without_a_warning(tmp_path, dtype):
    labels = made.label_volume((5, 12, 14), 3)
    np.save(tmp_path / "a.npy", labels.astype(dtype))
    assert np.array_equal(read_labels(tmp_path / "a.npy").array, labels)


@pytest.mark.parametrize("name", ["synapse", "acdc"])
@pytest.mark.parametrize("suffix", [".h5", ".npz"])
def test_labels_near_whole_in_named_arrays(tmp_path, name, suffix):
    exchange = load_challenge(name).exchange
    labels = made.label_volume((5, 12, 14), 3)
    path = tmp_path / f"case{suffix}"
    hdf5.write_arrays(path, {"label": np.where(labels == 1, 0.99608, labels * 1.0)})
    assert np.array_equal(exchange.read_prediction(path, labels.shape).array, labels)
    hdf5.write_arrays(path, {"label": np.where(labels == 1, 0.98, labels * 1.0)})
    with pytest.raises(MedbenchError, match="fractional") as caught:
        exchange.read_prediction(path, labels.shape)
    assert caught.value.code == "data.not_a_label_map"


@pytest.mark.parametrize("count", [8, 13, 25, 100])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_scaled_integers_miss_a_label_by_half_a_step(tmp_path, count, dtype):
    """As nibabel saves labels in floating point under a header of integers, in 255 steps."""
    labels = np.arange(10 * 11 * 12).reshape(10, 11, 12) % (count + 1)
    image = nibabel.Nifti1Image(labels.astype(np.float64), np.eye(4))
    image.set_data_dtype(dtype)
    nibabel.save(image, tmp_path / "a.nii.gz")
    stored = nibabel.load(tmp_path / "a.nii.gz").get_fdata()
    assert np.array_equal(np.rint(stored), labels)
    assert (np.abs(stored - labels).max() > 0.01) == (dtype == np.uint8)
    assert np.array_equal(read_labels(tmp_path / "a.nii.gz").array, labels.T)


@pytest.mark.parametrize("slope", [1 / 255, 0.1, 0.6])
def test_scaled_integers_that_are_no_labels_are_refused(tmp_path, slope):
    values = np.arange(10 * 11 * 12).reshape(10, 11, 12) % 256
    image = nibabel.Nifti1Image(values.astype(np.uint8), np.eye(4))
    image.header.set_slope_inter(slope, 0)
    content = bytearray(image.to_bytes())
    struct.pack_into("<2f", content, 112, slope, 0)
    (tmp_path / "a.nii").write_bytes(content)
    assert refused(tmp_path / "a.nii") == "data.not_a_label_map"


def cube():
    labels = np.zeros((12,) * 3, np.uint8)
    labels[3:9, 3:9, 3:9] = 1
    return labels


FILES = [
    "Icon\r",
    "ehthumbs.db",
    "Thumbs.db",
    "Thumbs.db:encryptable",
    "desktop.ini",
    ".directory",
    "._a.nii",
]
FOLDERS = [
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "@Recycle",
    "lost+found",
    "System Volume Information",
    ".Trash-1000",
]


def test_what_file_systems_leave_changes_no_score(tmp_path):
    for folder in ("r", "p"):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(cube(), np.eye(4)), tmp_path / folder / "a.nii")
        for name in FILES:
            (tmp_path / folder / name).write_bytes(b"x")
        for name in FOLDERS:
            (tmp_path / folder / name).mkdir()
            (tmp_path / folder / name / "a.nii").write_bytes(b"x")
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"])
    assert [(row.case, row.scores["1/dice"].value) for row in scores.rows] == [("a", 1.0)]
    assert scores.exit_code == 0
    assert list_folder(tmp_path / "r", SUFFIXES).n_hidden == len(FILES) + len(FOLDERS)


def test_a_pair_in_upper_case_is_read(tmp_path):
    nibabel.save(nibabel.Nifti1Pair(cube(), np.eye(4)), tmp_path / "a.img")
    for suffix in ("img", "hdr"):
        (tmp_path / f"a.{suffix}").rename(tmp_path / f"A.{suffix.upper()}")
    assert np.array_equal(read_labels(tmp_path / "A.IMG").array, cube().T)


TURNS = {
    "mirrored": lambda image: image[:, ::-1],
    "upside_down": lambda image: image[::-1],
    "a_quarter": lambda image: np.rot90(image),
    "three_quarters_and_mirrored": lambda image: np.rot90(image, 3)[::-1],
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("shape", [(48, 48), (40, 56), (48, 48, 3)])
def test_mirrored_turned_and_encoded_anew_an_image_is_the_same(tmp_path, turn, shape):
    image = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "b.bmp"), np.ascontiguousarray(TURNS[turn](image)))
    other = image.copy()
    other[3, 4] ^= 1
    cv2.imwrite(str(tmp_path / "c.png"), other)
    digests = [shown_sha256(tmp_path / name, any_way_round=True) for name in ("a.png", "b.bmp", "c.png")]
    assert digests[0] == digests[1] != digests[2]
    assert shown_sha256(tmp_path / "a.png") != shown_sha256(tmp_path / "b.bmp")


@pytest.mark.parametrize("change", ["mirrored", "floating_point", "one_modality", "another_header"])
def test_copies_of_volumes_in_two_splits_are_found_however_they_were_saved(tmp_path, change):
    made_release = release("brats2023_gli", tmp_path)
    challenge, case = made_release.challenge, made_release.cases[0]
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    name = case.id.replace("-000", "-100")
    (root / "train" / name).mkdir(parents=True)
    for file in sorted((root / "test" / case.id).iterdir()):
        volume = nifti_mha.read_volume(file)
        array = volume.array
        if change == "mirrored":
            array = array[:, :, ::-1]
        elif change == "floating_point":
            array = array.astype(np.float64)
        elif change == "one_modality" and "-t1n" not in file.name:
            array = np.random.default_rng(0).permuted(array)
        spacing = (2.0,) * 3 if change == "another_header" else volume.spacing
        copy = Volume(np.ascontiguousarray(array), spacing, volume.origin, volume.direction)
        nifti_mha.write_volume(root / "train" / name / file.name.replace(case.id, name), copy)
    cases = {split: challenge.cases(root, split) for split in ("train", "test")}
    messages = [one.message for one in repeated(cases, challenge.release.shown_sha256)]
    assert any(name in message and case.id in message for message in messages), messages


def test_anonymised_copies_of_a_radiograph_are_found(tmp_path):
    """Other names of patients, another window and another packing around the same pixels."""
    pixels = np.random.default_rng(0).integers(0, 4096, (40, 50)).astype(np.uint16)
    first, second, other = (tmp_path / f"{name}.dcm" for name in "abc")
    first.write_bytes(made.dicom(pixels=pixels, PatientID="1"))
    second.write_bytes(made.dicom("rle", pixels=pixels[:, ::-1].copy(), PatientID="2", WindowCenter=700))
    other.write_bytes(made.dicom(pixels=pixels ^ 1, PatientID="1"))
    digests = [shown_sha256(path, any_way_round=True) for path in (first, second, other)]
    assert digests[0] == digests[1] != digests[2]
    assert None not in digests
    for path in (first, second):
        path.write_bytes(b"DICM")
    assert shown_sha256(first) == shown_sha256(second) is not None


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii", "a.mha", "a.nrrd", "a.png", "a.tif", "a.npy"])
def test_a_pointer_of_git_lfs_is_called_one(tmp_path, name):
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n")
    with pytest.raises(MedbenchError, match="a pointer of Git LFS") as caught:
        read_labels(path)
    assert (caught.value.code, caught.value.hint) == ("file.corrupt", "Fetch it: git lfs pull.")


def test_slices_of_a_test_volume_among_those_that_are_learnt_are_found(tmp_path):
    """Prepared sets hold slices to learn from in files of their own, and whole volumes to test on."""
    made_release = release("synapse", tmp_path)
    root = Path(shutil.copytree(made_release.root, tmp_path / "data"))
    challenge, case = made_release.challenge, made_release.cases[0]
    volume = hdf5.read_arrays(case.inputs["image"], "image", "label")
    for number, leaks in ((0, False), (1, False), (2, True)):
        image = (
            volume["image"][2][::-1] if leaks else np.random.default_rng(number).random((24, 26), np.float32)
        )
        name = f"case0005_slice{number:03}.npz"
        hdf5.write_arrays(root / "train_npz" / name, {"image": image, "label": volume["label"][2]})
        errors = [one.message for one in challenge.release.check(root) if "another split" in one.message]
        assert len(errors) == leaks
    assert f"{case.id}.npy.h5: 1 slice of it lies in another split" in errors[0]
    assert errors[0].endswith("case0005_slice002.npz.")
