"""Radiographs and reports: DICOM by its own rules, squares, sentences, and what is refused by name."""

import json

import numpy as np
import pytest

from golden_files import golden
from medbench.core.errors import MedbenchError
from medbench.io.radiographs import read_radiograph, square
from medbench.io.report_text import read_report, report_sections, report_sentences

pydicom = pytest.importorskip("pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid  # noqa: E402


def dicom(path, values, syntax=ExplicitVRLittleEndian, **tags):
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = syntax
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.PixelData = values.astype("<u2").tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


RAMP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 100


def test_dicom_is_shown_by_its_range_its_window_and_its_photometry(tmp_path):
    plain = read_radiograph(dicom(tmp_path / "a.dcm", RAMP))
    assert plain.dtype == np.uint8
    assert np.array_equal(plain, np.rint(RAMP * (255 / 1100)))
    inverted = read_radiograph(dicom(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, np.rint(255 - RAMP * (255 / 1100)))
    windowed = read_radiograph(dicom(tmp_path / "c.dcm", RAMP, WindowCenter=550, WindowWidth=301))
    assert windowed[RAMP <= 400].max() == 0
    assert windowed[RAMP >= 700].min() == 255
    assert windowed[1, 1] == 85, "500 lies a third into the window from 400 to 700"
    rescaled = dicom(tmp_path / "d.dcm", RAMP, RescaleSlope=2, RescaleIntercept=-1024)
    assert np.array_equal(read_radiograph(rescaled), plain)


def test_dicom_that_cannot_be_read_is_refused_by_name(tmp_path):
    (tmp_path / "noise.dcm").write_bytes(b"not a radiograph" * 30)
    whole = dicom(tmp_path / "whole.dcm", RAMP).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[:-10])
    packed = tmp_path / "packed.dcm"
    pixels = pydicom.encaps.encapsulate([b"\0" * 64])
    dicom(packed, RAMP, syntax=JPEG2000Lossless, PixelData=pixels)
    dicom(tmp_path / "frames.dcm", RAMP, NumberOfFrames=2)
    for name, codes in (
        ("noise.dcm", {"dicom.unreadable"}),
        ("cut.dcm", {"dicom.unreadable"}),
        ("packed.dcm", {"dicom.compressed", "dicom.unreadable"}),
        ("frames.dcm", {"dicom.not_grey"}),
    ):
        with pytest.raises(MedbenchError) as caught:
            read_radiograph(tmp_path / name)
        assert caught.value.code in codes
        assert name in caught.value.message


def test_compressed_dicom_reads_as_plain_dicom(tmp_path):
    from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGBaseline8Bit, RLELossless

    plain = read_radiograph(dicom(tmp_path / "a.dcm", RAMP))
    dicom(tmp_path / "b.dcm", RAMP, syntax=DeflatedExplicitVRLittleEndian)
    packed = pydicom.dcmread(tmp_path / "a.dcm")
    packed.compress(RLELossless)
    packed.save_as(tmp_path / "c.dcm")
    for name in "bc":
        assert np.array_equal(read_radiograph(tmp_path / f"{name}.dcm"), plain)
    cv2 = pytest.importorskip("cv2")
    grey = np.kron(np.arange(16, dtype=np.uint8).reshape(4, 4) * 16, np.ones((8, 8), np.uint8))
    frame = cv2.imencode(".jpg", grey)[1].tobytes()
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    pixels = pydicom.encaps.encapsulate([frame])
    dicom(tmp_path / "d.dcm", grey, syntax=JPEGBaseline8Bit, PixelData=pixels, **bits)
    shown = read_radiograph(tmp_path / "d.dcm").astype(int)
    assert np.abs(shown - np.rint(grey * (255 / 240))).max() <= 3


def test_a_compression_without_decoder_is_named(tmp_path, monkeypatch):
    import pydicom.pixels

    class Absent:
        is_available = False

    monkeypatch.setattr(pydicom.pixels, "get_decoder", lambda syntax: Absent)
    packed = dicom(
        tmp_path / "p.dcm", RAMP, syntax=JPEG2000Lossless, PixelData=pydicom.encaps.encapsulate([b"\0" * 8])
    )
    with pytest.raises(MedbenchError, match="JPEG 2000") as caught:
        read_radiograph(packed)
    assert caught.value.code == "dicom.compressed"
    assert "pip install" in caught.value.hint


def test_squares_are_those_of_the_authors_program():
    arrays = golden("cmcgns_seg_metrics.npz")
    assert np.array_equal(square(arrays["img"], 32), arrays["resize32"])
    assert np.array_equal(square(arrays["img"].T.copy(), 40), arrays["resize40_T"])


REPORT = """ FINAL REPORT
 EXAMINATION: CHEST (PA AND LAT)

 FINDINGS:
 1. The lungs are clear.  2. No pleural
 effusion.  Stable.

 IMPRESSION: No acute process.
"""


def test_sentences_of_a_report(tmp_path):
    assert report_sections(REPORT)["impression"] == "No acute process."
    (tmp_path / "r.txt").write_text(REPORT)
    assert read_report(tmp_path / "r.txt") == (
        "no acute process",
        "the lungs are clear",
        "no pleural effusion",
    )
    assert report_sentences("Größe 12 mm. Normal.") == ("gre 12 mm",)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "report.missing"),
        ("", "report.empty"),
        ("  \n", "report.empty"),
        ("INDICATION: cough", "report.empty"),
        ("IMPRESSION: Normal.", "report.short"),
        ("FINDINGS: Clear lungs.", "report.short"),
    ],
    ids=json.dumps,
)
def test_reports_that_say_nothing_are_refused(text, code, tmp_path):
    path = tmp_path / "report.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MedbenchError) as caught:
        read_report(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
