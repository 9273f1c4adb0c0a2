"""Files are refused for their own faults, before a decoder could refuse them for another reason."""

import copy
import stat
import struct
import zipfile

import gate_samples as made
import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.io.gate.arrays import decode_npy
from medbench.io.gate.image_header import parse_image
from medbench.io.gate.meaning import binary, check_black_is_zero, check_finite, whole_labels
from medbench.io.gate.nifti import parse_nifti
from medbench.io.gate.refusal import Reject
from medbench.io.gate.tiff import parse_tiff
from medbench.io.gate.zipped import unpacked

PNG = made.png_chunks(made.png())
JPEG = made.encoded(".jpg")
FRAME = JPEG.index(b"\xff\xc0")
SECOND_FRAME = JPEG[FRAME : FRAME + 2 + struct.unpack_from(">H", JPEG, FRAME + 2)[0]]
BMP = made.encoded(".bmp")
NIFTI = made.nifti()


def flipped(content, at):
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


IMAGES = {
    "a chunk's checksum": (
        flipped(made.png(), made.png().index(b"IDAT") + 20),
        "its chunk b'IDAT' is damaged",
    ),
    "no end": (made.png_of(PNG[:-1]), "it ends too early"),
    "bytes after the end": (made.png() + bytes(53), "53 bytes follow its end"),
    "two frames": (JPEG[:FRAME] + SECOND_FRAME + JPEG[FRAME:], "it has two frames"),
    "rows outside": (BMP[:-60], "its pixels do not lie in the file"),
}


@pytest.mark.parametrize(("content", "words"), IMAGES.values(), ids=IMAGES)
def test_an_image_is_refused_for_the_fault_of_its_header(content, words):
    with pytest.raises(Reject) as caught:
        parse_image(content)
    assert (caught.value.code, caught.value.facts) == ("file.corrupt", words)


@pytest.mark.parametrize("content", [made.png(), JPEG, BMP])
def test_the_whole_images_are_not_refused(content):
    assert parse_image(content).height > 0


@pytest.mark.parametrize(
    ("at", "piece"), [(344, b"abc\0"), (72, struct.pack("<h", 64))], ids=["magic", "bits of the type"]
)
def test_a_nifti_header_is_refused_for_its_own_fault(at, piece):
    head = NIFTI[:352]
    assert parse_nifti(head, is_gzip=False).shape == made.label_volume().shape
    with pytest.raises(Reject) as caught:
        parse_nifti(head[:at] + piece + head[at + len(piece) :], is_gzip=False)
    assert caught.value.code == "file.corrupt"


def test_bytes_after_an_array_are_refused():
    whole = made.npy(np.arange(6, dtype=np.uint8))
    assert decode_npy(whole).tolist() == [0, 1, 2, 3, 4, 5]
    with pytest.raises(Reject) as caught:
        decode_npy(whole + bytes(6))
    assert caught.value.facts == "12 bytes of values where its header announces 6"


def test_a_truth_value_is_0_or_1():
    whole = made.npy(np.array([True, False]))
    with pytest.raises(Reject) as caught:
        decode_npy(whole[:-1] + b"\2")
    assert caught.value.facts == "its truth values are neither 0 nor 1"


def directory_of(content):
    """Offsets of the entries of a TIFF file's first directory, by tag."""
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    entries = range(at + 2, at + 2 + 12 * count, 12)
    return {struct.unpack_from("<H", content, entry)[0]: entry for entry in entries}


def page_of(content, size=None):
    return parse_tiff(lambda at, length: content[at : at + length], size or len(content))


def test_a_strip_lies_in_its_file_and_no_tag_stands_twice():
    whole = made.tiff(made.mask())
    page = page_of(whole)
    with pytest.raises(Reject) as caught:
        page_of(whole, page.offsets[-1] + page.counts[-1] - 1)
    assert caught.value.facts == "it ends too early"
    place = directory_of(whole)[257]
    with pytest.raises(Reject) as caught:
        page_of(whole[:place] + struct.pack("<H", 256) + whole[place + 2 :])
    assert caught.value.facts == "its tag 256 stands there twice"


def test_fractions_and_what_is_not_finite_are_no_labels():
    assert whole_labels(np.array([0.0, 1.0, 2.0])).tolist() == [0, 1, 2]
    for values, code in (([0.0, 0.5], "data.not_a_label_map"), ([0.0, np.nan], "data.not_finite")):
        with pytest.raises(Reject) as caught:
            whole_labels(np.array(values))
        assert caught.value.code == code
    with pytest.raises(Reject):
        check_finite(np.array([1.0, np.inf]))


def test_a_mask_of_three_values_is_none_of_two():
    assert binary(np.array([0, 255, 255])).tolist() == [0, 1, 1]
    assert binary(np.array([0, 1, 255])) is None


def test_white_is_not_0_in_a_label_map():
    check_black_is_zero(None)
    check_black_is_zero(False)
    with pytest.raises(Reject) as caught:
        check_black_is_zero(True)
    assert caught.value.code == "data.white_is_zero"


def link_in_a_zip(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    ("member", "code"),
    [
        ("../a.png", "file.outside"),
        ("x/../../a.png", "file.outside"),
        (link_in_a_zip("a.png"), "file.not_regular"),
    ],
    ids=["beside", "below", "link"],
)
def test_what_leaves_a_zip_s_folder_or_is_a_link_is_refused(tmp_path, member, code):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, made.png())
    with pytest.raises(MedbenchError) as caught, unpacked(tmp_path / "a.zip", 1 << 20):
        pass
    assert caught.value.code == code
    assert [path.name for path in tmp_path.rglob("*")] == ["a.zip"]


def test_the_files_of_a_zip_do_not_overlap(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.png", made.png())
        (first,) = archive.infolist()
        for number in range(4):
            other = copy.copy(first)
            other.filename = f"b{number}.png"
            archive.filelist.append(other)
    with pytest.raises(MedbenchError, match="its files overlap"), unpacked(tmp_path / "a.zip", 1 << 20):
        pass
