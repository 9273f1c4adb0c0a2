"""Every kind of bad file is refused with its own code, in one line, and never by a foreign exception."""

import gzip
import io
import os
import socket
import struct
import zipfile
import zlib
from pathlib import Path

import gate_samples as made
import numpy as np
import pytest

from medbench.core.errors import MedbenchError
from medbench.io import hdf5, images, nifti_mha, pictures, raster, slides, tables, video
from medbench.io.gate import Expected, Refusal, admit

GOOD = made.nifti()
PNG = made.png_chunks(made.png())
IHDR = PNG[0][1]
GZ = gzip.compress(GOOD, mtime=0)


def replaced(content, at, piece):
    return content[:at] + piece + content[at + len(piece) :]


def ihdr(**fields):
    """A PNG with other fields in its header and right checksums."""
    names = ("width", "height", "bits", "colour", "compression", "filter", "interlace")
    values = dict(zip(names, struct.unpack(">IIBBBBB", IHDR), strict=True)) | fields
    return made.png_of([(b"IHDR", struct.pack(">IIBBBBB", *values.values())), *PNG[1:]])


def float_volume(value):
    values = np.zeros((4, 5, 6), np.float32)
    values[1, 2, 3] = value
    return values


def tiff_tag(content, tag, value, kind=None):
    """The file with another value in an entry of its first directory."""
    (at,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, at)
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        if struct.unpack_from("<H", content, entry)[0] == tag:
            return replaced(content, entry + 8, struct.pack("<I", value))
    raise AssertionError(f"no tag {tag}")


def zipped(names, body=None, method=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as archive:
        for name in names:
            archive.writestr(name, made.npy() if body is None else body)
    return stream.getvalue()


def zip_bomb():
    """A directory that announces three gibibytes."""
    content = zipped(["label.npy"])
    return replaced(content, content.index(b"PK\1\2") + 24, struct.pack("<I", 3 << 30))


def h5_with(write):
    def make(path):
        import h5py

        np.save(path.parent / "other.npy", np.zeros(8, np.uint8))
        with h5py.File(path.parent / "other.h5", "w") as other:
            other["label"] = np.zeros((4, 5, 6), np.uint8)
        with h5py.File(path, "w") as file:
            write(h5py, file)

    return make


def virtual(h5py, file):
    layout = h5py.VirtualLayout((4, 5, 6), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "label", (4, 5, 6))
    file.create_virtual_dataset("label", layout)


def external_link(h5py, file):
    file["label"] = h5py.ExternalLink("other.h5", "label")


def soft_link(h5py, file):
    file["label"] = h5py.SoftLink("/elsewhere")


def external_storage(h5py, file):
    file.create_dataset("label", (8,), np.uint8, external=[("other.npy", 0, 8)])


def never_written(h5py, file):
    file.create_dataset("label", (40, 50, 60), np.uint8, chunks=(4, 5, 6))


def vast(h5py, file):
    file.create_dataset("label", (1 << 20, 1 << 10, 4), np.uint8, chunks=(64, 64, 4), compression="gzip")
    file["label"][:64, :64, :] = 1


def texts(h5py, file):
    file["label"] = ["a", "b"]


def five_axes(h5py, file):
    file["label"] = np.zeros((1, 2, 3, 4, 5), np.uint8)


def compound(h5py, file):
    file["label"] = np.zeros(3, [("a", "u1"), ("b", "f4")])


def complex_values(h5py, file):
    file["label"] = np.zeros(3, complex)


volume, labels, array = nifti_mha.read_volume, images.read_labels, made.read_h5
mask, picture, table, film = raster.read_label_map, raster.read_picture, made.read_scores, video.read_frames

# name, suffix, bytes (or a function of the path that makes the file), reader, code
BAD = [
    ("empty volume", ".nii.gz", b"", volume, "file.corrupt"),
    ("empty picture", ".png", b"", mask, "file.corrupt"),
    ("empty table", ".csv", b"", table, "data.column_missing"),
    ("text as volume", ".nii.gz", b"hello", volume, "file.corrupt"),
    ("NIfTI cut in its header", ".nii", GOOD[:200], volume, "file.corrupt"),
    ("NIfTI cut in its values", ".nii", GOOD[:-100], volume, "file.corrupt"),
    ("NIfTI with no axes", ".nii", replaced(GOOD, 40, struct.pack("<h", 0)), volume, "file.corrupt"),
    ("NIfTI with nine axes", ".nii", replaced(GOOD, 40, struct.pack("<h", 9)), volume, "file.corrupt"),
    ("NIfTI with one axis", ".nii", replaced(GOOD, 40, struct.pack("<h", 1)), volume, "data.axes"),
    ("NIfTI with five axes", ".nii",
     replaced(GOOD, 40, struct.pack("<6h", 5, 2, 2, 2, 2, 2)), volume, "data.axes"),
    ("NIfTI with a negative size", ".nii", replaced(GOOD, 42, struct.pack("<h", -14)), volume, "file.corrupt"),
    ("NIfTI far larger than its values", ".nii",
     replaced(GOOD, 42, struct.pack("<3h", 32000, 32000, 32000)), volume, "file.too_large"),
    ("NIfTI-2 with 2 to the 62 voxels", ".nii",
     replaced(made.nifti(version=2), 24, struct.pack("<q", 1 << 62)), volume, "file.corrupt"),
    ("NIfTI whose values lie beyond the file", ".nii",
     replaced(GOOD, 108, struct.pack("<f", 3e7)), volume, "file.corrupt"),
    ("NIfTI whose values begin at NaN", ".nii",
     replaced(GOOD, 108, struct.pack("<f", np.nan)), volume, "file.corrupt"),
    ("NIfTI of complex numbers", ".nii", replaced(GOOD, 70, struct.pack("<hh", 32, 64)), volume, "data.not_real"),
    ("NIfTI of colours", ".nii", replaced(GOOD, 70, struct.pack("<hh", 128, 24)), volume, "data.not_real"),
    ("NIfTI of an unknown type", ".nii", replaced(GOOD, 70, struct.pack("<hh", 99, 8)), volume, "file.corrupt"),
    ("NIfTI with NaN as its affine", ".nii",
     replaced(GOOD, 280, struct.pack("<f", np.nan)), volume, "file.corrupt"),
    ("NIfTI with an infinite intercept", ".nii",
     replaced(GOOD, 112, struct.pack("<ff", 1, np.inf)), volume, "file.corrupt"),
    ("NIfTI that scales to infinity", ".nii",
     replaced(GOOD, 112, struct.pack("<ff", 3e38, 3e38)), volume, "data.not_finite"),
    ("NIfTI with NaN", ".nii", made.nifti(float_volume(np.nan)), labels, "data.not_finite"),
    ("NIfTI with infinity", ".nii", made.nifti(float_volume(-np.inf)), volume, "data.not_finite"),
    ("NIfTI of probabilities", ".nii", made.nifti(float_volume(0.4)), labels, "data.not_a_label_map"),
    ("NIfTI of labels beyond int32", ".nii", made.nifti(float_volume(1e12)), labels, "data.not_a_label_map"),
    ("gzip with a wrong checksum", ".nii.gz", GZ[:-6] + bytes([GZ[-6] ^ 1]) + GZ[-5:], volume, "file.corrupt"),
    ("gzip with a wrong length", ".nii.gz", GZ[:-1] + bytes([GZ[-1] ^ 1]), volume, "file.corrupt"),
    ("gzip cut before its checksum", ".nii.gz", GZ[:-8], volume, "file.corrupt"),
    ("gzip bomb", ".nii.gz", gzip.compress(GOOD + bytes(64 << 20), 9), volume, "file.corrupt"),
    ("gzip followed by text", ".nii.gz", GZ + b"trailing text", volume, "file.corrupt"),
    ("NIfTI that is not packed, named .nii.gz", ".nii.gz", GOOD, volume, "file.corrupt"),
    ("image without its header", ".img", made.nifti(pair=True)[1], volume, "file.corrupt"),
    ("MetaImage without values", ".mha", made.metaimage()[:-1680], volume, "file.corrupt"),
    ("MetaImage with more values", ".mha", made.metaimage() + b"\0", volume, "file.corrupt"),
    ("MetaImage without sizes", ".mha", made.metaimage(DimSize=None), volume, "file.corrupt"),
    ("MetaImage with other axes than sizes", ".mha", made.metaimage(NDims=2), volume, "file.corrupt"),
    ("MetaImage of vast size", ".mha", made.metaimage(DimSize="99999 99999 99999"), volume, "file.too_large"),
    ("MetaImage of an unknown type", ".mha", made.metaimage(kind="MET_STRING"), volume, "file.corrupt"),
    ("MetaImage with infinite spacing", ".mha", made.metaimage(ElementSpacing="inf 1 1"), volume, "file.corrupt"),
    ("MetaImage with text values", ".mha", made.metaimage(BinaryData=False), volume, "file.codec"),
    ("MetaImage of another file", ".mha", made.metaimage(values_in="reference.raw"), volume, "file.refers_elsewhere"),
    ("MetaImage of a system file", ".mhd", made.metaimage(values_in="/etc/passwd"), volume, "file.refers_elsewhere"),
    ("MetaImage of a list of files", ".mhd", made.metaimage(values_in="LIST"), volume, "file.refers_elsewhere"),
    ("MetaImage that is a mesh", ".mha", made.metaimage(ObjectType="Mesh"), volume, "file.type_unknown"),
    ("MetaImage with a cut stream", ".mha", made.metaimage(packed=True)[:-9], volume, "file.corrupt"),
    ("MetaImage with a field twice", ".mha",
     b"DimSize = 1 1 1\n" + made.metaimage(), volume, "file.corrupt"),
    ("NRRD of another file", ".nrrd", made.nrrd(**{"data file": "reference.raw"}), volume, "file.refers_elsewhere"),
    ("NRRD of hexadecimal text", ".nrrd", made.nrrd(encoding="hex"), volume, "file.codec"),
    ("NRRD of layers", ".nrrd",
     made.nrrd(dimension=4, sizes="2 14 12 10", kinds="list domain domain domain",
               **{"space directions": "none (0.9,0,0) (0,1.2,0) (0,0,2.5)"}), volume, "data.axes"),
    ("NRRD without an end of its header", ".nrrd", made.nrrd().split(b"\n\n")[0], volume, "file.corrupt"),
    ("NRRD of vast size", ".nrrd", made.nrrd(sizes="99999 99999 9999"), volume, "file.too_large"),
    ("FreeSurfer volume cut", ".mgh", made.mgh()[:-900], volume, "file.corrupt"),
    ("PNG with a damaged chunk", ".png", replaced(made.png(), 60, b"\xff"), mask, "file.corrupt"),
    ("PNG cut", ".png", made.png()[:-20], mask, "file.corrupt"),
    ("PNG of vast size", ".png", ihdr(width=1 << 20, height=1 << 20), mask, "file.too_large"),
    ("PNG without a column", ".png", ihdr(width=0), mask, "file.corrupt"),
    ("PNG of five bits", ".png", ihdr(bits=5), mask, "file.corrupt"),
    ("PNG larger than its pixels", ".png", ihdr(height=100), mask, "file.corrupt"),
    ("PNG with a stream that decodes to nothing", ".png",
     made.png_of([PNG[0], (b"IDAT", zlib.compress(b"")), PNG[-1]]), mask, "file.corrupt"),
    ("PNG without pixels", ".png", made.png_of([PNG[0], PNG[-1]]), mask, "file.corrupt"),
    ("PNG that is an animation", ".png",
     made.png_of([PNG[0], (b"acTL", struct.pack(">II", 1, 0)), *PNG[1:]]), mask, "file.codec"),
    ("PNG followed by a second file", ".png", made.png() * 2, mask, "file.corrupt"),
    ("PNG palette without colours", ".png", ihdr(colour=3), mask, "file.corrupt"),
    ("colour picture as mask", ".png", made.png(made.colours()), mask, "data.not_a_label_map"),
    ("GIF named PNG", ".png", b"GIF89a" + bytes(40), picture, "file.corrupt"),
    ("JPEG cut", ".jpg", made.encoded(".jpg")[:-60], picture, "file.corrupt"),
    ("lossless JPEG", ".jpg", made.encoded(".jpg").replace(b"\xff\xc0", b"\xff\xc3"), picture, "file.codec"),
    ("BMP cut", ".bmp", made.encoded(".bmp")[:-60], picture, "file.corrupt"),
    ("BMP packed by runs", ".bmp", replaced(made.encoded(".bmp"), 28, struct.pack("<HI", 8, 1)), picture, "file.codec"),
    ("TIFF without a directory", ".tif", b"II*\0" + struct.pack("<I", 1 << 30), picture, "file.corrupt"),
    ("TIFF cut", ".tif", made.tiff()[:-200], mask, "file.corrupt"),
    ("TIFF of vast size", ".tif", tiff_tag(made.tiff(np.zeros((300, 64), np.uint8)), 256, 1 << 23), mask, "file.too_large"),
    ("TIFF wider than its strips", ".tif", tiff_tag(made.tiff(), 256, 65), mask, "file.corrupt"),
    ("TIFF with too few strips", ".tif", tiff_tag(made.tiff(), 257, 480), mask, "file.corrupt"),
    ("TIFF of JPEG XL", ".tif", made.tiff(compression="jpegxl"), mask, "file.codec"),
    ("TIFF of LERC", ".tif", made.tiff(compression="lerc"), mask, "file.codec"),
    ("TIFF of WebP", ".tif", made.tiled(compression="webp"), picture, "file.codec"),
    ("TIFF of an unknown codec", ".tif", tiff_tag(made.tiff(), 259, 4242), mask, "file.codec"),
    ("TIFF in which 0 is white", ".tif", made.tiff(photometric="miniswhite"), mask, "data.white_is_zero"),
    ("TIFF of fractions", ".tif", made.tiff(made.mask().astype(np.float32) / 510), mask, "data.not_a_label_map"),
    ("TIFF of another meaning", ".tif", tiff_tag(made.tiff(), 262, 32803), picture, "file.codec"),
    ("slide of an unknown codec", ".tif", tiff_tag(made.tiled(), 259, 4242), made.read_slide, "file.codec"),
    ("slide cut", ".tif", made.tiled()[:-500], made.read_slide, "file.corrupt"),
    ("array of objects", ".npy", made.npy(np.array([{}], object), allow_pickle=True), labels, "file.corrupt"),
    ("array of texts", ".npy", made.npy(np.array(["a"])), labels, "data.not_real"),
    ("array of complex numbers", ".npy", made.npy(np.zeros(3, complex)), labels, "data.not_real"),
    ("array cut", ".npy", made.npy()[:-5], labels, "file.corrupt"),
    ("array with NaN", ".npy", made.npy(np.array([np.nan, 1])), labels, "data.not_finite"),
    ("array of five axes", ".npy", made.npy(np.zeros((1, 1, 1, 1, 2))), labels, "data.axes"),
    ("array whose header runs code", ".npy",
     b"\x93NUMPY\x01\0" + struct.pack("<H", 48) + b"__import__('os').system('true')".ljust(48), labels, "file.corrupt"),
    ("zip without the array", ".npz", zipped(["image.npy"]), array, "data.array_missing"),
    ("zip with the array twice", ".npz", zipped(["label.npy", "label"]), array, "file.corrupt"),
    ("zip bomb", ".npz", zip_bomb(), array, "file.too_large"),
    ("zip by another method", ".npz", zipped(["label.npy"], method=zipfile.ZIP_BZIP2), array, "file.codec"),
    ("HDF5 external link", ".h5", h5_with(external_link), array, "file.refers_elsewhere"),
    ("HDF5 soft link", ".h5", h5_with(soft_link), array, "file.refers_elsewhere"),
    ("HDF5 external storage", ".h5", h5_with(external_storage), array, "file.refers_elsewhere"),
    ("HDF5 virtual dataset", ".h5", h5_with(virtual), array, "file.refers_elsewhere"),
    ("HDF5 dataset never written", ".h5", h5_with(never_written), array, "file.corrupt"),
    ("HDF5 of vast size", ".h5", h5_with(vast), array, "file.too_large"),
    ("HDF5 of texts", ".h5", h5_with(texts), array, "data.not_real"),
    ("HDF5 compound", ".h5", h5_with(compound), array, "data.not_real"),
    ("HDF5 of complex numbers", ".h5", h5_with(complex_values), array, "data.not_real"),
    ("HDF5 of five axes", ".h5", h5_with(five_axes), array, "data.axes"),
    ("HDF5 cut", ".h5", made.h5()[:-900], array, "file.corrupt"),
    ("video cut", ".avi", made.avi()[:-3000], film, "file.corrupt"),
    ("video with a damaged picture", ".avi",
     made.avi().replace(b"\xff\xd8\xff", b"\0\0\0", 3), film, "file.corrupt"),
    ("playlist named video", ".avi", b"#EXTM3U\n/etc/passwd\n", film, "file.corrupt"),
    ("concatenation list named video", ".avi", b"ffconcat version 1.0\nfile a.avi\n", film, "file.corrupt"),
    ("table in UTF-16", ".csv", "frame,score\n0,1\n".encode("utf-16"), table, "file.unreadable"),
    ("table in Latin-1", ".csv", b"frame,score\n0,\xe9\n", table, "file.unreadable"),
    ("table with decimal commas", ".csv", b'frame,score\n0,"0,5"\n', table, "data.table"),
    ("table with semicolons", ".csv", b"frame;score\n0;0,5\n", table, "data.column_missing"),
    ("table with a column twice", ".csv", b"frame,score,score\n0,1,1\n", table, "data.table"),
    ("table with a short row", ".csv", b"frame,score\n0\n", table, "data.table"),
    ("table with NaN", ".csv", b"frame,score\n0,nan\n", table, "data.table"),
    ("table out of bounds", ".csv", b"frame,score\n0,1.5\n", table, "data.table"),
    ("table of half frames", ".csv", b"frame,score\n0.5,1\n", table, "data.table"),
    ("table with NUL", ".csv", b"frame,score\n0,1\0\n", table, "file.unreadable"),
    ("table with an open quote", ".csv", b'frame,score\n0,"1\n', table, "data.table"),
]  # fmt: skip


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
    from medbench.core.files import sha256_file

    for form in made.FORMATS:
        path = tmp_path / f"a{form.suffix}"
        path.write_bytes(form.make())
        kinds = {
            ".avi": "video",
            ".tiff": "slide",
            ".csv": "table",
            ".npy": "array",
            ".npz": "arrays",
            ".h5": "arrays",
        }
        pictures_too = (".png", ".jpg", ".bmp", ".tif")
        kind = kinds.get(form.suffix, "picture" if form.suffix in pictures_too else "volume")
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
            assert np.array_equal(pictures.read_binary_mask(path), made.mask() > 0)
        else:
            with pytest.raises(MedbenchError) as caught:
                pictures.read_binary_mask(path)
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


def test_a_slide_of_a_codec_that_is_not_read_is_refused_as_the_picture_is(tmp_path):
    path = tmp_path / "a.tiff"
    path.write_bytes(made.tiled(compression="jpegxl"))
    messages = []
    for read in (raster.read_picture, made.read_slide, lambda file: slides.slide_facts(file, channels=3)):
        with pytest.raises(MedbenchError) as caught:
            read(path)
        messages.append((caught.value.code, caught.value.message))
    assert len(set(messages)) == 1
    assert "JPEG XL" in messages[0][1]
