"""Files are refused for their own faults, before a decoder could refuse them for another reason."""

import struct

import gate_samples as made
import numpy as np
import pytest

from medbench.io.gate.arrays import decode_npy
from medbench.io.gate.image_header import parse_image
from medbench.io.gate.nifti import parse_nifti
from medbench.io.gate.refusal import Reject

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
    assert parse_nifti(head, packed=False).shape == made.label_volume().shape
    with pytest.raises(Reject) as caught:
        parse_nifti(head[:at] + piece + head[at + len(piece) :], packed=False)
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
