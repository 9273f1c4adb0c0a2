"""The fast decoder of plain PNG images gives what the general one gives, or leaves the file to it."""

import struct
import zlib

import cv2
import gate_samples as made
import numpy as np
import pytest

from medbench.io.gate import png_pixels
from medbench.io.gate.image_header import parse_png

FILTERS = {"None": 0, "Sub": 1, "Up": 2, "Average": 3, "Paeth": 4}
GREY = made.colours((37, 53))[:, :, 0]
PNG = made.png_chunks(made.png(GREY))


def filtered(image, filters):
    """A PNG whose rows have given filters, by the definitions of the specification."""
    channels = 1 if image.ndim == 2 else 3
    rows = image.reshape(len(image), -1).astype(np.int32)
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    left, corner = (np.pad(part, ((0, 0), (channels, 0)))[:, :-channels] for part in (rows, above))
    guess = left + above - corner
    distances = [abs(guess - part) for part in (left, above, corner)]
    nearest = np.where(distances[1] <= distances[2], above, corner)
    paeth = np.where((distances[0] <= distances[1]) & (distances[0] <= distances[2]), left, nearest)
    expected = [np.zeros_like(rows), left, above, (left + above) // 2, paeth]
    body = b"".join(
        bytes([kind]) + ((rows[row] - expected[kind][row]) % 256).astype(np.uint8).tobytes()
        for row, kind in enumerate(filters)
    )
    header = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], 8, 0 if channels == 1 else 2, 0, 0, 0)
    return made.png_of([(b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b"")])


def fast(content):
    content = bytearray(content)
    return png_pixels.png_pixels(content, parse_png(content))


@pytest.mark.parametrize(
    "image", [GREY, made.colours((37, 53)), GREY[:1], GREY[:, :1]], ids=lambda a: str(a.shape)
)
@pytest.mark.parametrize("kinds", [*([kind] for kind in FILTERS.values()), [0, 1, 2, 3, 4], [2, 4]])
def test_every_filter_gives_the_values_of_the_image(image, kinds):
    content = filtered(image, [kinds[row % len(kinds)] for row in range(len(image))])
    general = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    general = general if general.ndim == 2 else general[:, :, ::-1]
    values = fast(content)
    assert values.dtype == np.uint8
    assert values.flags.c_contiguous
    assert np.array_equal(values, image)
    assert np.array_equal(values, general)


def test_pixels_in_many_pieces_are_one_image():
    packed = PNG[1][1]
    pieces = [(b"IDAT", packed[start : start + 7]) for start in range(0, len(packed), 7)]
    assert np.array_equal(fast(made.png_of([PNG[0], *pieces, PNG[-1]])), GREY)


def other_files():
    header = {"width": 53, "height": 37, "bits": 8, "colour": 0, "packing": 0, "filters": 0, "interlaced": 0}

    def with_header(**change):
        return (b"IHDR", struct.pack(">IIBBBBB", *{**header, **change}.values()))

    yield "interlaced", made.png_of([with_header(interlaced=1), *PNG[1:]])
    yield "16 bits", made.png(GREY.astype(np.uint16))
    yield "alpha", made.png(cv2.cvtColor(made.colours(), cv2.COLOR_BGR2BGRA))
    yield "one grey value transparent", made.png_of([PNG[0], (b"tRNS", b"\0\1"), *PNG[1:]])
    yield "gamma", made.png_of([PNG[0], (b"gAMA", struct.pack(">I", 45455)), *PNG[1:]])
    yield "an unknown critical chunk", made.png_of([PNG[0], (b"ABCD", b""), *PNG[1:]])
    yield "fewer rows", made.png_of([with_header(height=60), *PNG[1:]])
    yield "no pixels", made.png_of([PNG[0], (b"IDAT", zlib.compress(b"")), PNG[-1]])
    yield "no stream", made.png_of([PNG[0], (b"IDAT", b"0123456789"), PNG[-1]])
    yield (
        "a filter that there is not",
        made.png_of([PNG[0], (b"IDAT", zlib.compress(bytes([9]) * (54 * 37))), PNG[-1]]),
    )


@pytest.mark.parametrize(
    ("name", "content"), list(other_files()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_all_else_is_left_to_the_general_decoder(name, content):
    assert fast(content) is None


def test_without_the_package_the_general_decoder_takes_its_place(monkeypatch, tmp_path):
    from medbench.io import raster

    monkeypatch.setitem(__import__("sys").modules, "kornia_rs", None)
    assert fast(made.png(GREY)) is None
    (tmp_path / "a.png").write_bytes(made.png(GREY))
    assert np.array_equal(raster.read_label_map(tmp_path / "a.png"), GREY)


def test_a_panic_of_the_decoder_leaves_the_file_to_the_general_one(monkeypatch):
    class Panic(BaseException):
        """What Rust's panics are in Python."""

    def panic(*_):
        raise Panic

    kornia_rs = pytest.importorskip("kornia_rs")
    monkeypatch.setattr(kornia_rs.io, "decode_image_png_u8", panic)
    assert fast(made.png(GREY)) is None
