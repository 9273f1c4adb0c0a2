"""Small undamaged files of every format that is read, made by script, and ways to damage them."""

import gzip
import io
import re
import struct
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import tifffile

from medbench.core.case import Volume
from medbench.io import hdf5, images, nifti_mha, radiographs, raster, slides, tables, video

SPACING, ORIGIN = (2.5, 1.2, 0.9), (4.0, -5.0, 6.0)


def label_volume(shape=(10, 12, 14), n_labels=4, seed=0):
    """A few boxes of labels with some speckle."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint8)
    for label in range(1, n_labels):
        low = [rng.integers(0, side // 2) for side in shape]
        labels[tuple(slice(start, start + side // 2) for start, side in zip(low, shape, strict=True))] = label
    speckle = rng.random(shape) < 0.02
    labels[speckle] = rng.integers(0, n_labels, int(speckle.sum()))
    return labels


def mask(shape=(48, 64)):
    rows, columns = np.indices(shape)
    disk = ((rows - 20) / 12) ** 2 + ((columns - 30) / 18) ** 2 < 1
    return disk.astype(np.uint8) * 255


def colours(shape=(48, 64)):
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_LINEAR)


def nifti(labels=None, version=1, affine=None, pair=False):
    """The bytes of a NIfTI file, or of a pair's header and image."""
    import nibabel

    labels = label_volume() if labels is None else labels
    affine = np.diag([-0.9, -1.2, 2.5, 1.0]) if affine is None else affine
    kind = nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image
    if not pair:
        return kind(labels.T, affine).to_bytes()
    with tempfile.TemporaryDirectory() as folder:
        nibabel.save(nibabel.Nifti1Pair(labels.T, affine), Path(folder) / "a.img")
        return Path(folder, "a.hdr").read_bytes(), Path(folder, "a.img").read_bytes()


def mgh():
    import nibabel

    image = nibabel.freesurfer.MGHImage(label_volume().T.astype(np.int32), np.diag([-0.9, -1.2, 2.5, 1.0]))
    return image.to_bytes()


def metaimage(labels=None, packed=False, spacing=SPACING, values_in="LOCAL", kind="MET_UCHAR", **further):
    """The bytes of a MetaImage; further fields as keyword arguments."""
    labels = label_volume() if labels is None else labels
    body = zlib.compress(labels.tobytes()) if packed else labels.tobytes()
    fields = {
        "ObjectType": "Image",
        "NDims": labels.ndim,
        "BinaryData": True,
        "BinaryDataByteOrderMSB": False,
        "CompressedData": packed,
        **({"CompressedDataSize": len(body)} if packed else {}),
        "TransformMatrix": " ".join(str(int(x)) for x in np.eye(labels.ndim).ravel()),
        "Offset": " ".join(str(x) for x in ORIGIN[: labels.ndim][::-1]),
        **({"ElementSpacing": " ".join(str(x) for x in spacing[::-1])} if spacing else {}),
        "DimSize": " ".join(str(side) for side in labels.shape[::-1]),
        "ElementType": kind,
        **further,
        "ElementDataFile": values_in,
    }
    head = "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    return head.encode() + (body if values_in == "LOCAL" else b"")


def nrrd(packed=False, **further):
    labels = label_volume()
    fields = {
        "type": "unsigned char",
        "dimension": 3,
        "space": "left-posterior-superior",
        "sizes": " ".join(str(side) for side in labels.shape[::-1]),
        "space directions": "(0.9,0,0) (0,1.2,0) (0,0,2.5)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "gzip" if packed else "raw",
        "space origin": "(6,-5,4)",
        **further,
    }
    head = "NRRD0004\n" + "".join(f"{key}: {value}\n" for key, value in fields.items()) + "\n"
    return head.encode() + (gzip.compress(labels.tobytes(), mtime=0) if packed else labels.tobytes())


def png(picture=None):
    return cv2.imencode(".png", mask() if picture is None else picture)[1].tobytes()


def png_of(chunks):
    """A PNG of the given chunks, with right checksums."""
    parts = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_chunks(content):
    at, chunks = 8, []
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + length]))
        at += 12 + length
    return chunks


def encoded(suffix, picture=None):
    return cv2.imencode(suffix, colours() if picture is None else picture)[1].tobytes()


def tiff(picture=None, **options):
    stream = io.BytesIO()
    options = {"photometric": "minisblack", "rowsperstrip": 16, **options}
    tifffile.imwrite(stream, mask() if picture is None else picture, **options)
    return stream.getvalue()


def tiled(picture=None, **options):
    options = {"photometric": "rgb", "tile": (16, 16), "rowsperstrip": None, "compression": "zlib", **options}
    return tiff(colours() if picture is None else picture, **options)


def npy(array=None, **options):
    stream = io.BytesIO()
    np.save(stream, label_volume() if array is None else array, **options)
    return stream.getvalue()


def _written(suffix, write):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write(path)
        return path.read_bytes()


def npz():
    return _written(".npz", lambda path: hdf5.write_arrays(path, {"label": label_volume()}))


def h5(**options):
    import h5py

    def write(path):
        with h5py.File(path, "w") as file:
            file.create_dataset("label", data=label_volume(), **options)

    return _written(".h5", write)


def avi():
    frames = np.repeat(np.arange(8, dtype=np.uint8) * 25, 32 * 48).reshape(8, 32, 48)
    return _written(".avi", lambda path: video.write_video(path, frames))


def dicom(packed="", pixels=None, **tags):
    """The bytes of a DICOM file of 16-bit grey values.

    ``packed`` is ``deflate``, ``rle``, ``jpeg`` (of pixels that are given encapsulated) or nothing.
    """
    from pydicom import uid
    from pydicom.dataset import FileDataset, FileMetaDataset

    pixels = colours()[:, :, 0].astype(np.uint16) * 16 if pixels is None else pixels
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = uid.UID("1.2.3")
    syntaxes = {"deflate": uid.DeflatedExplicitVRLittleEndian, "jpeg": uid.JPEGBaseline8Bit}
    meta.TransferSyntaxUID = syntaxes.get(packed, uid.ExplicitVRLittleEndian)
    stream = io.BytesIO()
    data = FileDataset(stream, {}, file_meta=meta, preamble=bytes(128))
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.PhotometricInterpretation = "MONOCHROME2"
    data.PixelData = pixels.tobytes()
    if packed == "rle":
        data.compress(uid.RLELossless)
    for name, value in {"WindowCenter": 2000, "WindowWidth": 3000, **tags}.items():
        setattr(data, name, value)
    data.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def table():
    return b"frame,score\n" + b"".join(b"%d,0.%d\n" % (row, row) for row in range(9))


def read_h5(path):
    return Volume(hdf5.read_arrays(path, "label")["label"])


def read_video(path):
    return Volume(video.read_frames(path))


def read_slide(path):
    with slides.open_slide(path) as slide:
        return Volume(slide.read((0, slide.shape[0]), (0, slide.shape[1])))


def read_scores(path):
    columns = tables.Column("frame", "int", 0, 99), tables.Column("score", "float", 0, 1)
    rows = tables.read_typed_table(path, *columns)
    return Volume(np.array([[row["frame"], row["score"]] for row in rows], float))


def read_dicom(path):
    return Volume(radiographs.read_radiograph(path))


def read_image(path):
    return Volume(raster.read_image(path))


@dataclass(frozen=True)
class Format:
    """A format: how a file is named, made and read, and what its checksums cover.

    Attributes:
        name: as in docs/gate.md.
        suffix: of its files.
        make: gives the bytes of an undamaged file.
        read: gives a volume.
        checked: ``all``, ``values`` or ``none``: what a checksum covers.
        values_at: first byte that a checksum of the values covers.
    """

    name: str
    suffix: str
    make: object
    read: object
    checked: str = "none"
    values_at: object = None


def after(text):
    return lambda content: content.index(text) + len(text)


FORMATS = [
    Format("NIfTI-1", ".nii", nifti, nifti_mha.read_volume),
    Format("NIfTI-1, gzip", ".nii.gz", lambda: gzip.compress(nifti(), mtime=0), images.read_labels, "all"),
    Format(
        "NIfTI-2, gzip", ".nii.gz", lambda: gzip.compress(nifti(version=2), mtime=0),
        images.read_labels, "all",
    ),
    Format("MetaImage", ".mha", metaimage, images.read_labels),
    Format(
        "MetaImage, zlib", ".mha", lambda: metaimage(packed=True), images.read_labels, "values",
        after(b"LOCAL\n"),
    ),
    Format("NRRD", ".nrrd", nrrd, images.read_labels),
    Format("NRRD, gzip", ".nrrd", lambda: nrrd(True), images.read_labels, "values", after(b"\n\n")),
    Format("FreeSurfer", ".mgh", mgh, images.read_labels),
    Format("FreeSurfer, gzip", ".mgz", lambda: gzip.compress(mgh(), mtime=0), images.read_labels, "all"),
    Format("PNG, grey", ".png", png, images.read_labels, "all"),
    Format("PNG, RGB", ".png", lambda: png(colours()), read_image, "all"),
    Format("JPEG", ".jpg", lambda: encoded(".jpg"), read_image),
    Format("BMP", ".bmp", lambda: encoded(".bmp"), read_image),
    Format("TIFF", ".tif", tiff, images.read_labels),
    Format("TIFF, LZW", ".tif", lambda: tiff(compression="lzw"), images.read_labels),
    Format("TIFF, deflate", ".tif", lambda: tiff(compression="zlib"), images.read_labels),
    Format("TIFF, PackBits", ".tif", lambda: tiff(compression="packbits"), images.read_labels),
    Format("TIFF, JPEG", ".tif", lambda: tiled(compression="jpeg"), read_image),
    Format("TIFF, Zstandard", ".tif", lambda: tiff(compression="zstd"), images.read_labels),
    Format("TIFF, LZMA", ".tif", lambda: tiff(compression="lzma"), images.read_labels),
    Format("TIFF, JPEG 2000", ".tif", lambda: tiff(compression="jpeg2000"), images.read_labels),
    Format("BigTIFF, tiled", ".tif", lambda: tiled(bigtiff=True), read_image),
    Format("slide", ".tiff", tiled, read_slide),
    Format("NumPy", ".npy", npy, images.read_labels),
    Format("NumPy, zip", ".npz", npz, read_h5, "all"),
    Format("HDF5", ".h5", h5, read_h5),
    Format("HDF5, gzip", ".h5", lambda: h5(compression="gzip"), read_h5),
    Format("AVI, Motion-JPEG", ".avi", avi, read_video),
    Format("DICOM", ".dcm", dicom, read_dicom),
    Format("DICOM, deflate", ".dcm", lambda: dicom("deflate"), read_dicom),
    Format("DICOM, RLE", ".dcm", lambda: dicom("rle"), read_dicom),
    Format("CSV", ".csv", table, read_scores),
]  # fmt: skip

_EXTREMES = [0, 1, 2, *((1 << bits) - less for bits in (7, 8, 15, 16, 31, 32, 62, 64) for less in (0, 1))]
_TEXTS = [
    b"0",
    b"-1",
    b"99999999999",
    b"4294967296",
    b"1e400",
    b"nan",
    b"3,5",
    b"",
    b"%s%n",
    b"../../etc/passwd",
]


def edited(content, rng, until):
    """One to three edits before byte ``until``: bits, bytes, extreme numbers, pieces cut or repeated."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(0, max(1, min(until, len(content)))))
        kind = rng.integers(0, 7)
        if kind == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[at] = int(rng.integers(256))
        elif kind == 2:
            width, order = int(rng.choice([1, 2, 4, 8])), str(rng.choice(["little", "big"]))
            value = int(_EXTREMES[rng.integers(len(_EXTREMES))]) & ((1 << 8 * width) - 1)
            content[at : at + width] = value.to_bytes(width, order)
        elif kind == 3:
            del content[at : at + int(rng.integers(1, 9))]
        elif kind == 4:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        elif kind == 5:
            numbers = list(re.finditer(rb"-?\d[\d.]*", bytes(content[:until])))
            if numbers:
                number = numbers[rng.integers(len(numbers))]
                content[number.start() : number.end()] = _TEXTS[rng.integers(len(_TEXTS))]
        else:
            other = int(rng.integers(0, max(1, min(until, len(content)))))
            content[at : at + 8] = content[other : other + 8]
        if not content:
            content = bytearray(b"\0")
    return bytes(content)


def edited_header(form, content, rng):
    """A file with edits in its header, and with right checksums where a checksum would stop them early."""
    if form.suffix in (".nii.gz", ".mgz"):
        return gzip.compress(edited(gzip.decompress(content), rng, 560), mtime=0)
    if form.suffix == ".png":
        chunks = png_chunks(content)
        which = int(rng.integers(len(chunks)))
        name, body = chunks[which]
        chunks[which] = (
            (name, edited(body or b"\0", rng, 64))
            if rng.random() < 0.8
            else (edited(name, rng, 4)[:4].ljust(4, b"a"), body)
        )
        if rng.random() < 0.2:
            chunks.insert(int(rng.integers(len(chunks))), chunks[int(rng.integers(len(chunks)))])
        return png_of(chunks)
    if form.name == "DICOM, deflate":
        start = 144 + struct.unpack_from("<I", content, 140)[0]
        inner = edited(zlib.decompress(content[start:], -15), rng, 400)
        return content[:start] + zlib.compress(inner, wbits=-15)
    if form.suffix == ".npz" and rng.random() < 0.5:
        import zipfile

        inner = edited(npy(), rng, 128)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("label.npy", inner)
        return stream.getvalue()
    until = {".nii": 360, ".bmp": 60, ".mgh": 300, ".npy": 128, ".dcm": 600}.get(form.suffix, len(content))
    if form.suffix == ".avi" and rng.random() < 0.5:
        until = 600
    if form.suffix in (".mha", ".nrrd"):
        until = 500
    if form.suffix in (".tif", ".tiff"):
        until = 700
    return edited(content, rng, until)


def alike(one, other):
    """Whether two volumes are the same in values and geometry."""
    return (
        one.array.shape == other.array.shape
        and np.array_equal(one.array, other.array)
        and (one.spacing, one.origin, one.direction) == (other.spacing, other.origin, other.direction)
    )
