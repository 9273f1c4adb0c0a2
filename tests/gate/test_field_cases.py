"""Inputs that failed in the field, made by script, with the values that are right."""

import gzip
import re
import struct
import subprocess
import zlib

import cv2
import gate_samples as made
import nibabel
import numpy as np
import pytest
import tifffile

from medbench.core.errors import MedbenchError
from medbench.io import hdf5, nifti_mha, raster, video
from medbench.io.gate.listing import check_alone, list_folder
from medbench.io.geometry import check_geometry
from medbench.io.images import SUFFIXES, read_labels
from medbench.running.handed_in import alike_hint


def dice(reference, prediction, label=1):
    one, other = reference == label, prediction == label
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def refused(read, path):
    with pytest.raises(MedbenchError) as caught:
        read(path)
    assert path.name in caught.value.message
    return caught.value.code


def cube(side=20, shift=0):
    values = np.zeros((side,) * 3, np.uint8)
    values[5:15, 5:15, 5:15] = 1
    return np.roll(values, shift, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_gz_crc(tmp_path, dtype):
    """One flipped bit that the deflate decoder itself does not notice."""
    rng = np.random.default_rng(0)
    labels = made.label_volume((60, 80, 80), 4).astype(dtype)
    path = tmp_path / "a.nii.gz"
    nibabel.save(nibabel.Nifti1Image(labels.T, np.eye(4)), path)
    good = path.read_bytes()
    right = gzip.decompress(good)
    start = 10 + (good[10:].index(0) + 1 if good[3] & 8 else 0)
    while True:
        bad = bytearray(good)
        bad[200 + int(rng.integers(len(good) - 300))] ^= 1 << int(rng.integers(8))
        raw = zlib.decompressobj(-15)
        try:
            values = raw.decompress(bytes(bad[start:-8]))
        except zlib.error:
            continue
        if (
            raw.eof
            and len(values) == len(right)
            and values[352:] != right[352:]
            and values[:352] == right[:352]
        ):
            break
    path.write_bytes(bad)
    assert refused(read_labels, path) == "file.corrupt"


@pytest.mark.parametrize("kind", ["flip", "zeroed", "cut"])
def test_mha_damaged_stream(tmp_path, kind):
    rng = np.random.default_rng(0)
    good = made.metaimage(rng.integers(0, 3, (256, 256)).astype(np.uint8), packed=True, spacing=(1, 1))
    head = good.index(b"LOCAL\n") + 6
    middle = head + (len(good) - head) // 2
    bad = bytearray(good)
    if kind == "flip":
        bad[middle] ^= 0x10
    elif kind == "zeroed":
        bad[middle : middle + 40] = bytes(40)
    else:
        bad = re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = 12", good[:head]) + bytes(12)
    path = tmp_path / "a.mha"
    path.write_bytes(bad)
    assert refused(read_labels, path) == "file.corrupt"


def test_mha_damaged_stream_never_reads_as_the_file_before(tmp_path):
    """Predictions without pixels once took the reference's own memory."""
    for index in range(20):
        labels = made.label_volume((256, 256), 3, seed=index)
        reference, prediction = tmp_path / "r.mha", tmp_path / "p.mha"
        reference.write_bytes(made.metaimage(labels, packed=True, spacing=(1, 1)))
        content = made.metaimage(labels * 0, packed=True, spacing=(1, 1))
        head = content.index(b"LOCAL\n") + 6
        for length in (12, 2):
            cut = re.sub(rb"CompressedDataSize = \d+", b"CompressedDataSize = %d" % length, content[:head])
            prediction.write_bytes(cut + content[head : head + length])
            read_labels(reference)
            assert refused(read_labels, prediction) == "file.corrupt"


@pytest.mark.parametrize("swap", [False, True])
def test_nifti2(tmp_path, swap):
    one, two = tmp_path / "one.nii.gz", tmp_path / "two.nii.gz"
    nibabel.save(nibabel.Nifti1Image(cube(), np.eye(4)), one)
    nibabel.save(nibabel.Nifti2Image(cube(), np.eye(4)), two)
    reference, prediction = (read_labels(path) for path in ((two, one) if swap else (one, two)))
    check_geometry(reference, prediction, "b")
    assert dice(reference.array, prediction.array) == 1


def test_scaled_labels(tmp_path):
    labels = np.zeros((28, 24, 20), np.uint8)
    labels[5:20, 6:18, 4:14] = 1
    labels[8:12, 8:12, 6:10] = 2
    image = nibabel.Nifti1Image(labels.astype(np.float64), np.diag([1, 1.2, 2.5, 1]))
    image.set_data_dtype(np.uint8)
    path = tmp_path / "a.nii.gz"
    nibabel.save(image, path)
    stored = np.unique(nibabel.load(path).get_fdata())
    assert stored[1] == pytest.approx(0.99608, abs=1e-5)
    read = read_labels(path).array
    assert read.dtype == np.int32
    assert dice(labels.T, read, 1) == dice(labels.T, read, 2) == 1


def sheared():
    turn = 0.3
    rotated = np.eye(4)
    rotated[:3, :3] = np.array(
        [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    ) @ np.diag([1, 1.2, 2.5])
    rounded = rotated.copy()
    rounded[:3, :3] += np.random.default_rng(0).normal(size=(3, 3)) * 2e-4
    tilt = np.diag([0.5, 0.5, 3, 1.0])
    tilt[1, 2] = 3 * np.tan(np.radians(15))
    return {"rounded": rounded, "gantry_tilt": tilt}


@pytest.mark.parametrize("name", ["rounded", "gantry_tilt"])
def test_sheared_affine(tmp_path, name):
    affine = sheared()[name]
    labels = np.zeros((28, 24, 20), np.uint8)
    labels[5:20, 6:18, 4:14] = 1
    volumes = []
    for file, values in (("r.nii.gz", labels), ("p.nii.gz", np.roll(labels, 1, 0))):
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / file)
        volumes.append(read_labels(tmp_path / file))
    check_geometry(*volumes, "a")
    assert dice(*(volume.array for volume in volumes)) == pytest.approx(2 * 1680 / 3600)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    assert volumes[0].spacing == pytest.approx(lengths[::-1], rel=1e-6)


def test_unit_columns_with_another_pixdim(tmp_path):
    """The affine decides, not the voxel sizes that contradict it."""
    image = nibabel.Nifti1Image(cube(), np.eye(4))
    content = bytearray(image.to_bytes())
    content[80:92] = struct.pack("<3f", 3, 4, 5)
    (tmp_path / "a.nii").write_bytes(content)
    assert nifti_mha.read_volume(tmp_path / "a.nii").spacing == (1, 1, 1)


def test_suffix_vanishes(tmp_path):
    for folder, values in (("r", cube()), ("p", cube() * 0)):
        home = tmp_path / folder
        home.mkdir()
        nibabel.save(nibabel.Nifti1Image(cube(), np.eye(4)), home / "c1.nii.gz")
        nibabel.save(nibabel.Nifti1Pair(values, np.eye(4)), home / "c2.img")
        nibabel.save(nibabel.freesurfer.MGHImage(values.astype(np.int32), np.eye(4)), home / "c3.mgz")
        (home / "c4.seg.nrrd").write_bytes(made.nrrd())
        (home / "c5.dcm").write_bytes(b"DICM")
    listing = list_folder(tmp_path / "r", SUFFIXES)
    assert [entry.name for entry in listing.entries] == ["c1.nii.gz", "c2.img", "c3.mgz", "c4.seg.nrrd"]
    assert [(one.code, one.path) for one in listing.unknown] == [("file.type_unknown", "c5.dcm")]
    scores = []
    for entry in listing.entries[:3]:
        volumes = [read_labels(tmp_path / folder / entry.name) for folder in "rp"]
        check_geometry(*volumes, entry.name)
        scores.append(dice(*(volume.array for volume in volumes)))
    assert scores == [1, 0, 0]
    assert np.array_equal(read_labels(tmp_path / "r" / "c4.seg.nrrd").array, made.label_volume())
    assert np.array_equal(
        nibabel.load(tmp_path / "r" / "c3.mgz").dataobj, read_labels(tmp_path / "r/c3.mgz").array.T
    )


@pytest.mark.parametrize("compression", ["lzw", "zlib", "packbits"])
@pytest.mark.parametrize("library", [True, False])
def test_tiff_damaged_strip(tmp_path, monkeypatch, compression, library):
    if not library:
        monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    rows, columns = np.indices((288, 384))
    mask = ((((rows - 140) / 90.0) ** 2 + ((columns - 180) / 120.0) ** 2) < 1).astype(np.uint8) * 255
    rng = np.random.default_rng(0)
    path = tmp_path / "a.tif"
    path.write_bytes(tiffs(mask)[compression])
    assert np.array_equal(raster.read_label_map(path), mask)
    with tifffile.TiffFile(path) as file:
        offsets, counts = file.pages[0].dataoffsets, file.pages[0].databytecounts
    content = bytearray(path.read_bytes())
    for index in range(6, 11):
        length = counts[index]
        damage = bytes(length) if compression == "lzw" else rng.bytes(length)
        content[offsets[index] : offsets[index] + length] = damage
    path.write_bytes(content)
    assert refused(raster.read_label_map, path) == "file.corrupt"


_TIFFS = {}


def tiffs(mask):
    """Encoded once, while imagecodecs can be imported."""
    if not _TIFFS:
        for name in ("lzw", "zlib", "packbits"):
            _TIFFS[name] = made.tiff(mask, compression=name)
    return _TIFFS


def test_lzw_is_the_same_with_and_without_the_library(tmp_path, monkeypatch):
    rng = np.random.default_rng(3)
    for index, picture in enumerate(
        [made.mask(), rng.integers(0, 256, (200, 300)).astype(np.uint8), np.zeros((300, 300), np.uint16)]
    ):
        for predictor in (False, True):
            path = tmp_path / f"{index}.tif"
            path.write_bytes(made.tiff(picture, compression="lzw", predictor=predictor))
            assert np.array_equal(raster.read_label_map(path), picture)
            with monkeypatch.context() as patch:
                patch.setitem(__import__("sys").modules, "imagecodecs", None)
                assert np.array_equal(raster.read_label_map(path), picture)


def test_twin_nii(tmp_path):
    reference, predicted = cube(), cube(shift=2)
    nibabel.save(nibabel.Nifti1Image(predicted, np.eye(4)), tmp_path / "c4.nii.gz")
    nibabel.save(nibabel.Nifti1Image(reference, np.eye(4)), tmp_path / "c4.nii")
    assert dice(reference.T, read_labels(tmp_path / "c4.nii.gz").array) == pytest.approx(0.8)
    with pytest.raises(MedbenchError, match=r"could be the case, and so could c4\.nii beside it") as error:
        check_alone(tmp_path / "c4.nii.gz", SUFFIXES)
    assert error.value.code == "file.ambiguous"
    listing = list_folder(tmp_path, SUFFIXES)
    assert [[entry.name for entry in group] for group in listing.twins()] == [["c4.nii", "c4.nii.gz"]]


def test_h5_external_link(tmp_path):
    import h5py

    (tmp_path / "reference.h5").write_bytes(made.h5())
    path = tmp_path / "case0001.npy.h5"
    with h5py.File(path, "w") as file:
        file["label"] = h5py.ExternalLink(str(tmp_path / "reference.h5"), "label")
    with h5py.File(path) as file:
        assert file["label"].shape == (10, 12, 14)
    with pytest.raises(MedbenchError) as caught:
        hdf5.read_arrays(path, "label")
    assert caught.value.code == "file.refers_elsewhere"


@pytest.mark.parametrize("name", ["boolean", "eight_bit"])
def test_white_is_zero(tmp_path, name):
    rows, columns = np.indices((96, 128))
    mask = (((rows - 40) / 25.0) ** 2 + ((columns - 60) / 35.0) ** 2) < 1
    path = tmp_path / f"{name}.tif"
    if name == "boolean":
        tifffile.imwrite(path, mask)
    else:
        tifffile.imwrite(path, mask.astype(np.uint8) * 255, photometric="miniswhite")
    assert refused(read_labels, path) == "data.white_is_zero"
    assert np.array_equal(raster.read_image(path), np.where(mask, 0, 255))
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), np.where(mask, 0, 255))


def sidecar():
    head = struct.pack(">II16sH", 0x00051607, 0x00020000, b"Mac OS X        ", 2)
    head += struct.pack(">III", 9, 50, 3760) + struct.pack(">III", 2, 3810, 286)
    return head + bytes(4096 - len(head))


def test_appledouble(tmp_path):
    for name in ("a.mha", "b.mha"):
        (tmp_path / name).write_bytes(made.metaimage())
    plain = list_folder(tmp_path, SUFFIXES)
    for name in ("._a.mha", "._b.mha", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(sidecar())
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "__MACOSX" / "._a.mha").write_bytes(sidecar())
    listing = list_folder(tmp_path, SUFFIXES)
    assert (listing.entries, listing.unknown) == (plain.entries, ())
    assert (plain.n_hidden, listing.n_hidden) == (0, 5)


def test_the_one_folder_at_the_top_of_an_archive_is_opened(tmp_path):
    (tmp_path / "__MACOSX").mkdir()
    inner = tmp_path / "my_submission"
    inner.mkdir()
    (inner / "a.mha").write_bytes(made.metaimage())
    listing = list_folder(tmp_path, SUFFIXES)
    assert listing.folder == inner
    assert [entry.path for entry in listing.entries] == [inner / "a.mha"]
    assert listing.n_hidden == 1
    (tmp_path / "notes.txt").write_text("x")
    listing = list_folder(tmp_path, SUFFIXES)
    assert [one.code for one in listing.unknown] == ["file.not_regular", "file.type_unknown"]


def test_a_name_that_differs_by_case_only_is_hinted(tmp_path):
    (tmp_path / "Case1.PNG").write_bytes(made.png())
    assert alike_hint(tmp_path, "case1.png") == "; Case1.PNG differs by case only"
    (entry,) = list_folder(tmp_path, SUFFIXES).entries
    assert (entry.stem, entry.path) == ("Case1", tmp_path / "Case1.PNG")


def test_video_frame_count(tmp_path):
    """A pause in the time stamps: the container announces more frames than it shows."""
    paused = tmp_path / "paused.avi"
    content = made.avi()
    pause = b"00dc" + bytes(4)
    chunks = list(re.finditer(b"00dc", content[content.index(b"movi") : content.index(b"idx1")]))
    at = content.index(b"movi") + chunks[4].start()
    bad = bytearray(content[:at] + 3 * pause + content[at:])
    for place in (content.index(b"RIFF") + 4, content.index(b"movi") - 4):
        bad[place : place + 4] = struct.pack("<I", struct.unpack_from("<I", content, place)[0] + 24)
    for name, place in ((b"avih", 24), (b"strh", 40)):
        start = content.index(name) + place
        bad[start : start + 4] = struct.pack("<I", 11)
    index = content.index(b"idx1")
    bad = bad[: index + 24]
    struct.pack_into("<I", bad, 4, len(bad) - 8)
    paused.write_bytes(bad)
    capture = cv2.VideoCapture(str(paused))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 11
    capture.release()
    (tmp_path / "a.avi").write_bytes(content)
    assert video.count_frames(paused) == 8
    assert np.array_equal(video.read_frames(paused), video.read_frames(tmp_path / "a.avi"))


def test_video_of_ffmpeg_with_a_pause(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    for name, codec, count in (
        ("paused.avi", "mjpeg", 40),
        ("paused.mp4", "mpeg4", 40),
        ("paused.mkv", "mjpeg", 40),
    ):
        path = tmp_path / name
        subprocess.run(
            [ffmpeg, "-y", "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=96x64:rate=25:duration=2",
             "-vf", "select='not(between(n,10,19))'", "-fps_mode", "vfr", "-c:v", codec, str(path)],
            check=True,
        )  # fmt: skip
        assert video.read_frames(path).shape == (count, 64, 96, 3)
        assert video.count_frames(path) == count
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
        assert refused(video.read_frames, path) == "file.corrupt"


def test_frames_of_a_turned_video_are_as_stored_for_every_reader(tmp_path):
    """Telephones store frames on their side and say how to turn them; one of two decoders does so."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    plain, turned = tmp_path / "plain.mp4", tmp_path / "turned.mp4"
    source = ["-f", "lavfi", "-i", "testsrc=size=96x64:rate=25:duration=0.4", "-c:v", "mpeg4", str(plain)]
    turn = ["-display_rotation", "90", "-i", str(plain), "-c", "copy", str(turned)]
    for words in (source, turn):
        subprocess.run([ffmpeg, "-y", "-loglevel", "error", *words], check=True)
    assert np.array_equal(video.read_frames(turned), video.read_frames(plain))
    assert video.frame_size(turned) == video.frame_size(plain) == (64, 96)
    pytest.importorskip("av")
    from medbench.io.video_stream import video_facts

    facts = video_facts(turned)
    assert (facts.height, facts.width) == (64, 96)


def test_no_voxel_size_is_no_voxel_size(tmp_path):
    """Distances in mm need sizes that the file states; a library's default of 1 is not one."""
    (tmp_path / "a.mha").write_bytes(made.metaimage(spacing=None))
    (tmp_path / "b.nrrd").write_bytes(
        made.nrrd()
        .replace(b"space directions: (0.9,0,0) (0,1.2,0) (0,0,2.5)\n", b"")
        .replace(b"space origin: (6,-5,4)\n", b"")
    )
    image = nibabel.Nifti1Image(cube(), None)
    content = bytearray(image.to_bytes())
    content[80:92] = bytes(12)
    content[252:256] = bytes(4)
    (tmp_path / "c.nii").write_bytes(content)
    for name in ("a.mha", "b.nrrd", "c.nii"):
        volume = nifti_mha.read_volume(tmp_path / name)
        assert volume.spacing is None
    assert nifti_mha.read_volume(tmp_path / "c.nii").direction is None
