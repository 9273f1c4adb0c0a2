"""Volumes keep their geometry in array order."""

import numpy as np
import pytest

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io.geometry import check_geometry
from medbench.io.images import read_labels, read_volume
from medbench.io.nifti_mha import write_volume


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".mha", ".nrrd"])
def test_spacing_follows_the_array_axes(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 5, (3, 4, 5)).astype(np.uint8)
    volume = Volume(array, spacing=(3.0, 0.8, 0.7), origin=(1.0, 2.0, 3.0))
    write_volume(tmp_path / f"v{suffix}", volume)
    read = read_volume(tmp_path / f"v{suffix}")
    assert np.array_equal(read.array, array)
    assert read.spacing == pytest.approx((3.0, 0.8, 0.7))
    assert read.origin == pytest.approx((1.0, 2.0, 3.0))


def test_whole_numbers_in_float_files_are_labels_and_fractions_are_not(tmp_path):
    np.save(tmp_path / "whole.npy", np.array([0.0, 2.0]))
    np.save(tmp_path / "probabilities.npy", np.array([0.2, 0.9]))
    assert read_labels(tmp_path / "whole.npy").array.dtype == np.int32
    with pytest.raises(MedbenchError, match="fractional"):
        read_labels(tmp_path / "probabilities.npy")


def test_a_pickled_array_is_refused(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MedbenchError, match=r"objects\.npy"):
        read_volume(tmp_path / "objects.npy")


@pytest.mark.parametrize("name", ["torn.nii.gz", "torn.mha", "what.xyz", "absent.mha"])
def test_unreadable_files_are_named(tmp_path, name):
    if not name.startswith("absent"):
        (tmp_path / name).write_bytes(b"\x1f\x8b torn")
    with pytest.raises(MedbenchError, match=name.replace(".", r"\.")):
        read_volume(tmp_path / name)


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.999])
def test_a_truncated_nifti_is_refused(tmp_path, suffix, kind, share):
    array = np.random.default_rng(0).integers(0, 999, (20, 30, 40)).astype(kind)
    path = tmp_path / f"image{suffix}"
    write_volume(path, Volume(array, (1.0, 2.0, 3.0)))
    assert np.array_equal(read_volume(path).array, array)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(MedbenchError, match=r"image\.nii") as caught:
        read_volume(path)
    assert caught.value.code == "file.corrupt"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_nifti_with_voxels_that_are_no_numbers_is_refused(tmp_path, bad):
    array = np.zeros((4, 5, 6), np.float32)
    array[1, 2, 3] = bad
    write_volume(tmp_path / "image.nii.gz", Volume(array, (1.0, 1.0, 1.0)))
    with pytest.raises(MedbenchError, match="NaN or infinite"):
        read_volume(tmp_path / "image.nii.gz")


def test_a_turned_prediction_is_refused_where_the_reference_cannot_confirm_it():
    array = np.zeros((3, 4, 5), np.uint8)
    turned = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    plain = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    check_geometry(Volume(array), Volume(array, direction=plain), "a")
    check_geometry(Volume(array, direction=turned), Volume(array, direction=turned), "a")
    check_geometry(Volume(array, direction=turned), Volume(array), "a")
    with pytest.raises(MedbenchError, match="none that could confirm") as caught:
        check_geometry(Volume(array), Volume(array, direction=turned), "a")
    assert caught.value.code == "data.direction"
