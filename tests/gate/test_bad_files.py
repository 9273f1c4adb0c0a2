"""Every kind of bad file is refused with its own code, in one line, and never by a foreign exception."""

import os
import socket
from pathlib import Path

import gate_samples as made
import numpy as np
import pytest
from gate_bad_files import BAD

from medbench.core.errors import MedbenchError
from medbench.core.files import sha256_file
from medbench.io import eight_bit, hdf5, nifti_mha, raster, slides, tables
from medbench.io.gate.admission import admit
from medbench.io.gate.expected import Expected
from medbench.io.gate.refusal import Refusal


@pytest.mark.parametrize(("name", "suffix", "content", "read", "code"), BAD, ids=[row[0] for row in BAD])
def test_a_bad_file_is_refused_with_its_code(tmp_path, capfd, name, suffix, content, read, code):
    path = tmp_path / f"case7{suffix}"
    if callable(content):
        content(path)
    else:
        path.write_bytes(content)
    with pytest.raises(MedbenchError) as caught:
        read(path)
    assert caught.value.code == code, caught.value
    assert str(path) in caught.value.message
    assert "\n" not in str(caught.value)


def test_the_bad_files_are_many(say):
    assert len(BAD) >= 60
    assert len({row[0] for row in BAD}) == len(BAD)
    say(f"{len(BAD)} kinds of bad files, {len({row[4] for row in BAD})} codes")


def fifo(path):
    os.mkfifo(path)


def folder(path):
    path.mkdir()


def unix_socket(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


def dangling(path):
    path.symlink_to(path.parent / "nothing")


def loop(path):
    path.symlink_to(path)


def device(path):
    path.symlink_to("/dev/zero")


def outside(path):
    other = path.parent.parent.parent / f"reference{path.suffix}"
    other.write_bytes(made.metaimage())
    path.symlink_to(other)


PLACES = [
    (fifo, "file.not_regular", "file.not_regular"),
    (folder, "file.not_regular", "file.not_regular"),
    (unix_socket, "file.not_regular", "file.not_regular"),
    (dangling, "file.link_dangling", "file.link_dangling"),
    (loop, "file.link_dangling", "file.link_dangling"),
    (device, "file.not_regular", "file.link_outside"),
    (outside, None, "file.link_outside"),
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("make", "release", "prediction"), PLACES, ids=[row[0].__name__ for row in PLACES])
@pytest.mark.parametrize("below", [".", "below"])
def test_what_is_no_file_of_the_folder_is_refused_by_name(
    tmp_path, monkeypatch, make, release, prediction, below
):
    home = tmp_path / "q" / "p"
    (home / below).mkdir(parents=True)
    monkeypatch.chdir(home / below)
    path = home / below / "a.mha"
    make(Path("a.mha") if make is unix_socket else path)
    for role, code in (("release", release), ("prediction", prediction)):
        answer = admit(path, home, "volume", Expected(role=role))
        if code is None:
            assert answer.header.shape == (10, 12, 14)
        else:
            assert isinstance(answer, Refusal)
            assert (answer.code, answer.path) == (code, str(path.relative_to(home)))
    if release:
        with pytest.raises(MedbenchError) as caught:
            nifti_mha.read_volume(path)
        assert caught.value.code == release


def test_a_prediction_may_be_a_link_within_its_folder_and_no_folder_may_be_a_link_out(tmp_path):
    home, away = tmp_path / "p", tmp_path / "away"
    home.mkdir()
    away.mkdir()
    (home / "real.mha").write_bytes(made.metaimage())
    (away / "b.mha").write_bytes(made.metaimage())
    (home / "a.mha").symlink_to("real.mha")
    (home / "out").symlink_to(away)
    ours = Expected(role="prediction")
    assert not isinstance(admit(home / "a.mha", home, "volume", ours), Refusal)
    assert admit(home / "out" / "b.mha", home, "volume", ours).code == "file.link_outside"
    assert admit(home / ".." / "away" / "b.mha", home, "volume", ours).code == "file.outside"
    assert admit(away / "b.mha", home, "volume", ours).code == "file.outside"
    assert not isinstance(admit(home / "out" / "b.mha", home, "volume"), Refusal)


def test_a_prediction_keeps_its_values_in_itself_and_an_input_may_have_them_beside_it(tmp_path):
    (tmp_path / "a.mhd").write_bytes(made.metaimage(values_in="a.raw"))
    (tmp_path / "a.raw").write_bytes(made.label_volume().tobytes())
    assert np.array_equal(nifti_mha.read_volume(tmp_path / "a.mhd").array, made.label_volume())
    refusal = admit(tmp_path / "a.mhd", tmp_path, "volume", Expected(role="prediction"))
    assert refusal.code == "file.refers_elsewhere"


def test_a_prediction_takes_no_more_memory_than_its_reference_needs(tmp_path):
    path = tmp_path / "a.mha"
    path.write_bytes(made.metaimage(np.zeros((100, 1000, 1000), np.uint8), packed=True))
    refusal = admit(path, tmp_path, "volume", Expected("prediction", shape=(10, 12, 14)))
    assert refusal.code == "file.too_large"
    assert "64.0 MiB" in refusal.facts
    assert not isinstance(admit(path, tmp_path, "volume", Expected("prediction")), Refusal)


def test_the_hash_is_that_of_the_bytes_that_are_decoded(tmp_path):
    for form in made.FORMATS:
        path = tmp_path / f"a{form.suffix}"
        path.write_bytes(form.make())
        kinds = {
            ".avi": "video",
            ".dcm": "dicom",
            ".tiff": "slide",
            ".csv": "table",
            ".npy": "array",
            ".npz": "arrays",
            ".h5": "arrays",
        }
        images_too = (".png", ".jpg", ".bmp", ".tif")
        kind = kinds.get(form.suffix, "image" if form.suffix in images_too else "volume")
        admitted = admit(path, tmp_path, kind)
        before = sha256_file(path)
        path.unlink()
        path.write_bytes(b"something else")
        assert admitted.sha256() == before
        if admitted.stream:
            admitted.stream.close()


def test_a_mask_is_0_and_1_or_0_and_255_and_nothing_else(tmp_path):
    for high, code in ((1, None), (255, None), (2, "data.mask_not_binary"), (128, "data.mask_not_binary")):
        path = tmp_path / f"{high}.png"
        path.write_bytes(made.png((made.mask() > 0).astype(np.uint8) * np.uint8(high)))
        if code is None:
            assert np.array_equal(eight_bit.read_binary_mask(path), made.mask() > 0)
        else:
            with pytest.raises(MedbenchError) as caught:
                eight_bit.read_binary_mask(path)
            assert caught.value.code == code


def test_tables_name_line_and_column(tmp_path):
    path = tmp_path / "a.csv"
    column = tables.Column("name", unique=True), tables.Column("kind", choices=("a", "b"))
    for text, where in (
        ("name,kind\nx,a\ny,c\n", "line 3, column 'kind': 'c' is none of a, b"),
        ("name,kind\nx,a\n\ny,b\nx,b\n", "line 5, column 'name': 'x' stands in line 2 already"),
    ):
        path.write_text(text)
        with pytest.raises(MedbenchError, match=where):
            tables.read_typed_table(path, *column)
    path.write_bytes(b"\xef\xbb\xbfname\tkind\r\n x \ta\r\n")
    named = path.rename(tmp_path / "a.tsv")
    assert tables.read_typed_table(named, *column) == [{"name": "x", "kind": "a"}]
    numbers = tmp_path / "n.csv"
    numbers.write_text("n,r\n3,-1.5e2\n")
    row = tables.read_typed_table(numbers, tables.Column("n", "int"), tables.Column("r", "float"))
    assert row == [{"n": 3, "r": -150.0}]


def test_the_named_arrays_of_a_file_are_counted_together(tmp_path):
    path = tmp_path / "a.npz"
    big = np.zeros((1 << 20,), np.uint8)
    hdf5.write_arrays(path, {"image": big, "label": big})
    with pytest.raises(MedbenchError) as caught:
        hdf5.read_arrays(path, "image", "label", expected=Expected(memory_bytes=1 << 20))
    assert caught.value.code == "file.too_large"
    assert set(hdf5.read_arrays(path, "image", "label")) == {"image", "label"}


def test_a_slide_of_a_codec_that_is_not_read_is_refused_as_the_image_is(tmp_path):
    path = tmp_path / "a.tiff"
    path.write_bytes(made.tiled(compression="jpegxl"))
    messages = []
    for read in (raster.read_image, made.read_slide, lambda file: slides.slide_facts(file, channels=3)):
        with pytest.raises(MedbenchError) as caught:
            read(path)
        messages.append((caught.value.code, caught.value.message))
    assert len(set(messages)) == 1
    assert "JPEG XL" in messages[0][1]
