"""What is written reads back in SimpleITK as it was meant, and equal volumes give equal bytes."""

import nibabel
import numpy as np
import pytest

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import nifti_mha

SUFFIXES = (".mha", ".nrrd", ".nii", ".nii.gz")
TYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")
TURN = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)


def by_itk(path):
    sitk = pytest.importorskip("SimpleITK")
    image = sitk.ReadImage(str(path))
    return Volume(
        sitk.GetArrayFromImage(image), image.GetSpacing()[::-1], image.GetOrigin()[::-1], image.GetDirection()
    )


def assert_same(one, other):
    assert one.array.dtype == other.array.dtype
    assert np.array_equal(one.array, other.array)
    assert one.spacing == pytest.approx(other.spacing, rel=1e-7)
    assert one.origin == pytest.approx(other.origin, rel=1e-6, abs=1e-6)
    assert one.direction == pytest.approx(other.direction, abs=1e-6)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("dtype", TYPES)
def test_itk_reads_what_is_written_and_the_other_way_round(tmp_path, suffix, dtype):
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    volumes = [
        Volume(rng.integers(0, 100, (4, 5, 6)).astype(dtype), (3.0, 0.8, 0.7), (1.5, -2.0, 3.0), TURN),
        Volume(rng.integers(0, 100, (5, 6)).astype(dtype), (3.0, 0.8), (1.5, -2.0), (0.0, 1.0, -1.0, 0.0)),
    ]
    for volume in volumes:
        nifti_mha.write_volume(path, volume)
        assert_same(by_itk(path), volume)
        assert_same(nifti_mha.read_volume(path), volume)
        first = path.read_bytes()
        nifti_mha.write_volume(path, volume)
        assert path.read_bytes() == first
        image = sitk.GetImageFromArray(volume.array)
        image.SetSpacing(volume.spacing[::-1])
        image.SetOrigin(volume.origin[::-1])
        image.SetDirection(volume.direction)
        for packed in (False, True):
            sitk.WriteImage(image, str(path), packed)
            assert_same(nifti_mha.read_volume(path), by_itk(path))
            geometry = nifti_mha.read_geometry(path)
            assert (geometry.shape, geometry.spacing) == (volume.shape, nifti_mha.read_volume(path).spacing)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_array_alone_reads_in_itk_as_itk_writes_it(tmp_path, suffix):
    sitk = pytest.importorskip("SimpleITK")
    array = np.arange(120, dtype=np.uint8).reshape(4, 5, 6)
    nifti_mha.write_volume(tmp_path / f"ours{suffix}", Volume(array))
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"itk{suffix}"))
    ours, itk = by_itk(tmp_path / f"ours{suffix}"), by_itk(tmp_path / f"itk{suffix}")
    assert (ours.spacing, ours.origin, ours.direction) == (itk.spacing, itk.origin, itk.direction)


def test_a_metaimage_without_voxel_sizes_is_written_without(tmp_path):
    nifti_mha.write_volume(tmp_path / "a.mha", Volume(np.zeros((2, 3, 4), np.uint8)))
    volume = nifti_mha.read_volume(tmp_path / "a.mha")
    assert (volume.spacing, volume.origin, volume.direction) == (None, None, None)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_channels_come_last(tmp_path, suffix):
    array = np.random.default_rng(0).integers(0, 9, (3, 4, 5, 2)).astype(np.uint8)
    nifti_mha.write_volume(tmp_path / f"a{suffix}", Volume(array, (1.0, 2.0, 3.0)))
    assert np.array_equal(by_itk(tmp_path / f"a{suffix}").array, array)
    assert np.array_equal(nifti_mha.read_volume(tmp_path / f"a{suffix}").array, array)


@pytest.mark.parametrize("forms", [(1, 0), (0, 1), (1, 1), (2, 1), (1, 2), (4, 0)])
@pytest.mark.parametrize("scale", [None, (2.0, 1.0), (0.5, -3.0)])
def test_niftis_of_nibabel_read_as_in_itk(tmp_path, forms, scale):
    path = tmp_path / "a.nii.gz"
    for affine in (
        np.diag([2, 3, 4, 1.0]),
        np.diag([-2, 3, -4, 1.0]),
        np.array([[0, 2, 0, 5], [3, 0, 0, -6], [0, 0, -4, 7], [0, 0, 0, 1.0]]),
    ):
        for dtype in ("u1", "i2", "i4", "f4", "f8"):
            image = nibabel.Nifti1Image(np.arange(120).reshape(4, 5, 6).astype(dtype), affine)
            image.set_sform(affine, forms[0])
            image.set_qform(affine, forms[1])
            if scale is None:
                nibabel.save(image, path)
            else:
                path = tmp_path / "b.nii"
                content = bytearray(image.to_bytes())
                content[112:120] = np.array(scale, "<f4").tobytes()
                path.write_bytes(content)
            assert_same(nifti_mha.read_volume(path), by_itk(path))


def test_labels_are_resampled_as_itk_does(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    labels = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)
    nifti_mha.write_volume(tmp_path / "a.nii.gz", Volume(labels, (2.0, 1.0, 1.5), (1.0, 2.0, 3.0), TURN))
    nifti_mha.write_volume(
        tmp_path / "like.mha", Volume(np.zeros((9, 9, 9), np.uint8), (1.0, 1.0, 1.0), (0.0, 1.0, 2.0), TURN)
    )
    images = [sitk.ReadImage(str(tmp_path / name)) for name in ("a.nii.gz", "like.mha")]
    image = sitk.Resample(*images, sitk.Transform(), sitk.sitkNearestNeighbor)
    volume = nifti_mha.resample_labels(tmp_path / "a.nii.gz", tmp_path / "like.mha")
    assert np.array_equal(volume.array, sitk.GetArrayFromImage(image))
    assert volume.spacing == image.GetSpacing()[::-1]


def test_resampling_without_simpleitk_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    nifti_mha.write_volume(tmp_path / "a.mha", Volume(np.zeros((2, 3, 4), np.uint8), (1.0, 1.0, 1.0)))
    with pytest.raises(MedbenchError, match="SimpleITK") as caught:
        nifti_mha.resample_labels(tmp_path / "a.mha", tmp_path / "a.mha")
    assert "medbench[resampling]" in caught.value.hint


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3), complex), np.zeros(3, np.uint8), np.zeros((2, 2), np.float16)]
)
def test_what_no_volume_file_holds_is_refused(tmp_path, array):
    with pytest.raises(MedbenchError) as caught:
        nifti_mha.write_volume(tmp_path / "a.mha", Volume(array))
    assert caught.value.code == "file.unwritable"
