"""Predictions of another size than their reference are told by their size, whatever values they hold."""

import numpy as np
import pytest
from gate_releases import release

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import hdf5, nifti_mha, raster

IMAGES = ("cvc_clinicdb", "hc18", "isic2018", "iugc2024", "kpis_patch", "psfhs")
VOLUMES = ("brats2023_gli", "myops2020", "synapse")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("releases")


def refusal(made, case, path):
    with pytest.raises(MedbenchError) as error:
        made.challenge.scorer.score_file(case, path)
    return error.value


def case_of(made):
    case = next(case for case in made.cases if case.facts.get("task") != "classification")
    return case, made.challenge.release.read_reference(case).shape


@pytest.mark.parametrize("name", IMAGES)
def test_a_blurred_mask_of_another_size_is_told_by_its_size(name, home, tmp_path):
    made = release(name, home)
    case, (height, width) = case_of(made)
    path = tmp_path / "p.png"
    raster.write_label_map(path, np.tile(np.arange(90, 98, dtype=np.uint8), (height // 2, width // 8)))
    error = refusal(made, case, path)
    assert error.code == "data.size_mismatch"
    assert f"p.png: is {height // 2}×{width // 8 * 8} where its " in error.message
    raster.write_label_map(path, np.full((height, width), 90, np.uint8))
    assert refusal(made, case, path).code in ("data.mask_not_binary", "data.label_unknown")


@pytest.mark.parametrize("value", [9, 0.5, np.nan])
@pytest.mark.parametrize("name", VOLUMES)
def test_an_interpolated_volume_of_another_size_is_told_by_its_size(name, value, home, tmp_path):
    made = release(name, home)
    case, shape = case_of(made)
    path = tmp_path / "p.nii.gz"
    nifti_mha.write_volume(path, Volume(np.full((shape[0] + 1, *shape[1:]), value, np.float32), (1.0,) * 3))
    error = refusal(made, case, path)
    assert error.code == "data.size_mismatch"
    sizes = ["×".join(map(str, sides)) for sides in ((shape[0] + 1, *shape[1:]), shape)]
    assert error.message == f"{path}: is {sizes[0]} where its reference is {sizes[1]}."
    nifti_mha.write_volume(path, Volume(np.full(shape, value, np.float32), (1.0,) * 3))
    assert refusal(made, case, path).code != "data.size_mismatch"


def test_arrays_of_another_size_are_told_by_their_size(home, tmp_path):
    made = release("synapse", home)
    case, shape = case_of(made)
    path = tmp_path / "p.npz"
    hdf5.write_arrays(path, {"label": np.full((shape[0] + 1, *shape[1:]), 0.5)})
    assert refusal(made, case, path).code == "data.size_mismatch"


def test_a_mask_for_points_of_another_size_is_told_by_its_size(home, tmp_path):
    made = release("iugc2025", home)
    case = made.cases[0]
    path = tmp_path / "p.mha"
    nifti_mha.write_volume(path, Volume(np.full((10, 12), 0.5, np.float32), (1.0, 1.0)))
    error = refusal(made, case, path)
    assert error.code == "data.size_mismatch"
    assert "p.mha: is 10×12 where its image is " in error.message
