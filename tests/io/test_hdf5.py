"""Named arrays in .h5 and .npz files."""

import pickle

import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.io.hdf5 import read_arrays, read_shapes, write_arrays

IMAGE = np.random.default_rng(0).random((5, 40, 30)).astype(np.float32)
LABEL = (IMAGE > 0.5).astype(np.uint8)


@pytest.fixture(params=[".h5", ".npz"])
def path(request, tmp_path):
    path = tmp_path / f"case0001.npy{request.param}"
    write_arrays(path, {"image": IMAGE, "label": LABEL})
    return path


def test_arrays_come_back_with_their_types(path):
    found = read_arrays(path, "image", "label")
    assert np.array_equal(found["image"], IMAGE)
    assert found["image"].dtype == np.float32
    assert np.array_equal(found["label"], LABEL)
    assert found["label"].dtype == np.uint8


def test_shapes_are_known_without_values(path, monkeypatch):
    monkeypatch.setattr("numpy.asarray", lambda *_: pytest.fail("values were read"))
    assert read_shapes(path) == {"image": IMAGE.shape, "label": LABEL.shape}


def test_shapes_of_a_damaged_file_are_refused_by_name(path):
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(MedbenchError, match="not a readable") as caught:
        read_shapes(path)
    assert path.name in caught.value.message


def test_equal_arrays_give_equal_bytes(path, tmp_path):
    other = tmp_path / f"other{path.suffix}"
    write_arrays(other, {"image": IMAGE, "label": LABEL})
    assert other.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_truncated_file_is_named_in_one_line(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(MedbenchError, match="not a readable") as caught:
        read_arrays(path, "image", "label")
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message


def test_a_missing_array_names_those_that_are_there(path):
    with pytest.raises(MedbenchError, match="no array 'scribble', only image, label"):
        read_arrays(path, "scribble")


def test_a_missing_file_and_another_type_are_named(tmp_path):
    with pytest.raises(MedbenchError, match="no such file"):
        read_arrays(tmp_path / "a.h5", "image")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(MedbenchError, match=r"\.txt"):
        read_arrays(tmp_path / "a.txt", "image")


def test_pickled_objects_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", image=np.array([{"a": 1}], object))
    with pytest.raises(MedbenchError, match="not a readable"):
        read_arrays(tmp_path / "a.npz", "image")
    (tmp_path / "b.npz").write_bytes(pickle.dumps([1]))
    with pytest.raises(MedbenchError, match="not a readable"):
        read_arrays(tmp_path / "b.npz", "image")


def test_a_real_volume(shared_data):
    found = read_arrays(shared_data / "acdc/patient001_frame01.h5", "image", "label", "scribble")
    assert found["image"].shape == found["label"].shape == (10, 256, 216)
    assert set(np.unique(found["label"])) <= {0, 1, 2, 3}
