"""Bad files of every kind, made by script, with the code of their refusal."""

import gzip
import io
import struct
import zipfile
import zlib

import gate_samples as made
import numpy as np

from medbench.io import images, nifti_mha, raster, video

GOOD = made.nifti()
PNG = made.png_chunks(made.png())
IHDR = PNG[0][1]
WIDE = np.zeros((300, 64), np.uint8)
CUT_JPEG = made.encoded(".jpg")[: -len(made.encoded(".jpg")) // 4] + b"\xff\xd9"
SCAN = made.encoded(".jpg")[made.encoded(".jpg").index(b"\xff\xda") : -2]
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


def exif(orientation):
    """An Exif block that states an orientation."""
    return b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHIHH", 274, 3, 1, orientation, 0) + bytes(4)


def turned_jpeg():
    content, block = made.encoded(".jpg", made.mask()), b"Exif\0\0" + exif(6)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def dicom_with(packed="", pixels=None, **tags):
    def make(path):
        path.write_bytes(made.dicom(packed, pixels, **tags))

    return make


def dicom_cut(path):
    path.write_bytes(made.dicom()[:-100])


def dicom_jpeg(path, shape=(48, 64)):
    """Its compressed image has the given size, the data set states 48 by 64."""
    from pydicom.encaps import encapsulate

    frame = made.encoded(".jpg", made.colours(shape)[:, :, 0])
    tags = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "WindowCenter": 128, "WindowWidth": 256}
    path.write_bytes(made.dicom("jpeg", PixelData=encapsulate([frame]), **tags))


def dicom_of_two_sizes(path):
    dicom_jpeg(path, (400, 600))


volume, labels, array = nifti_mha.read_volume, images.read_labels, made.read_h5
mask, picture, table, film = raster.read_label_map, raster.read_image, made.read_scores, video.read_frames

xray, NO_DICOM = made.read_dicom, "dicom.unreadable"
CORRUPT, LARGE, CODEC, ELSEWHERE = "file.corrupt", "file.too_large", "file.codec", "file.refers_elsewhere"
NO_LABELS, NOT_REAL = "data.not_a_label_map", "data.not_real"

# name, suffix, bytes (or a function of the path that makes the file), reader, code
BAD = [
    ("empty volume", ".nii.gz", b"", volume, CORRUPT),
    ("empty image", ".png", b"", mask, CORRUPT),
    ("empty table", ".csv", b"", table, "data.column_missing"),
    ("text as volume", ".nii.gz", b"hello", volume, CORRUPT),
    ("NIfTI cut in its header", ".nii", GOOD[:200], volume, CORRUPT),
    ("NIfTI cut in its values", ".nii", GOOD[:-100], volume, CORRUPT),
    ("NIfTI with no axes", ".nii", replaced(GOOD, 40, struct.pack("<h", 0)), volume, CORRUPT),
    ("NIfTI with nine axes", ".nii", replaced(GOOD, 40, struct.pack("<h", 9)), volume, CORRUPT),
    ("NIfTI with one axis", ".nii", replaced(GOOD, 40, struct.pack("<h", 1)), volume, "data.axes"),
    ("NIfTI with five axes", ".nii",
     replaced(GOOD, 40, struct.pack("<6h", 5, 2, 2, 2, 2, 2)), volume, "data.axes"),
    ("NIfTI with a negative size", ".nii", replaced(GOOD, 42, struct.pack("<h", -14)), volume, CORRUPT),
    ("NIfTI far larger than its values", ".nii",
     replaced(GOOD, 42, struct.pack("<3h", 32000, 32000, 32000)), volume, LARGE),
    ("NIfTI-2 with 2 to the 62 voxels", ".nii",
     replaced(made.nifti(version=2), 24, struct.pack("<q", 1 << 62)), volume, CORRUPT),
    ("NIfTI whose values lie beyond the file", ".nii",
     replaced(GOOD, 108, struct.pack("<f", 3e7)), volume, CORRUPT),
    ("NIfTI whose values begin at NaN", ".nii",
     replaced(GOOD, 108, struct.pack("<f", np.nan)), volume, CORRUPT),
    ("NIfTI of complex numbers", ".nii", replaced(GOOD, 70, struct.pack("<hh", 32, 64)), volume, NOT_REAL),
    ("NIfTI of colours", ".nii", replaced(GOOD, 70, struct.pack("<hh", 128, 24)), volume, NOT_REAL),
    ("NIfTI of an unknown type", ".nii", replaced(GOOD, 70, struct.pack("<hh", 99, 8)), volume, CORRUPT),
    ("NIfTI with NaN as its affine", ".nii",
     replaced(GOOD, 280, struct.pack("<f", np.nan)), volume, CORRUPT),
    ("NIfTI with an infinite intercept", ".nii",
     replaced(GOOD, 112, struct.pack("<ff", 1, np.inf)), volume, CORRUPT),
    ("NIfTI that scales to infinity", ".nii",
     replaced(GOOD, 112, struct.pack("<ff", 3e38, 3e38)), volume, "data.not_finite"),
    ("NIfTI with NaN", ".nii", made.nifti(float_volume(np.nan)), labels, "data.not_finite"),
    ("NIfTI with infinity", ".nii", made.nifti(float_volume(-np.inf)), volume, "data.not_finite"),
    ("NIfTI of probabilities", ".nii", made.nifti(float_volume(0.4)), labels, NO_LABELS),
    ("NIfTI of labels beyond int32", ".nii", made.nifti(float_volume(1e12)), labels, NO_LABELS),
    ("gzip with a wrong checksum", ".nii.gz", GZ[:-6] + bytes([GZ[-6] ^ 1]) + GZ[-5:], volume, CORRUPT),
    ("gzip with a wrong length", ".nii.gz", GZ[:-1] + bytes([GZ[-1] ^ 1]), volume, CORRUPT),
    ("gzip cut before its checksum", ".nii.gz", GZ[:-8], volume, CORRUPT),
    ("gzip bomb", ".nii.gz", gzip.compress(GOOD + bytes(64 << 20), 9), volume, CORRUPT),
    ("gzip followed by text", ".nii.gz", GZ + b"trailing text", volume, CORRUPT),
    ("NIfTI that is not packed, named .nii.gz", ".nii.gz", GOOD, volume, CORRUPT),
    ("image without its header", ".img", made.nifti(pair=True)[1], volume, CORRUPT),
    ("MetaImage without values", ".mha", made.metaimage()[:-1680], volume, CORRUPT),
    ("MetaImage with more values", ".mha", made.metaimage() + b"\0", volume, CORRUPT),
    ("MetaImage without sizes", ".mha", made.metaimage(DimSize=None), volume, CORRUPT),
    ("MetaImage with other axes than sizes", ".mha", made.metaimage(NDims=2), volume, CORRUPT),
    ("MetaImage of vast size", ".mha", made.metaimage(DimSize="99999 99999 99999"), volume, LARGE),
    ("MetaImage of an unknown type", ".mha", made.metaimage(kind="MET_STRING"), volume, CORRUPT),
    ("MetaImage with infinite spacing", ".mha", made.metaimage(ElementSpacing="inf 1 1"), volume, CORRUPT),
    ("MetaImage with text values", ".mha", made.metaimage(BinaryData=False), volume, CODEC),
    ("MetaImage of another file", ".mha", made.metaimage(values_in="reference.raw"), volume, ELSEWHERE),
    ("MetaImage of a system file", ".mhd", made.metaimage(values_in="/etc/passwd"), volume, ELSEWHERE),
    ("MetaImage of a list of files", ".mhd", made.metaimage(values_in="LIST"), volume, ELSEWHERE),
    ("MetaImage that is a mesh", ".mha", made.metaimage(ObjectType="Mesh"), volume, "file.type_unknown"),
    ("MetaImage with a cut stream", ".mha", made.metaimage(packed=True)[:-9], volume, CORRUPT),
    ("MetaImage with a field twice", ".mha",
     b"DimSize = 1 1 1\n" + made.metaimage(), volume, CORRUPT),
    ("NRRD of another file", ".nrrd", made.nrrd(**{"data file": "reference.raw"}), volume, ELSEWHERE),
    ("NRRD of hexadecimal text", ".nrrd", made.nrrd(encoding="hex"), volume, CODEC),
    ("NRRD of layers", ".nrrd",
     made.nrrd(dimension=4, sizes="2 14 12 10", kinds="list domain domain domain",
               **{"space directions": "none (0.9,0,0) (0,1.2,0) (0,0,2.5)"}), volume, "data.axes"),
    ("NRRD without an end of its header", ".nrrd", made.nrrd().split(b"\n\n")[0], volume, CORRUPT),
    ("NRRD of vast size", ".nrrd", made.nrrd(sizes="99999 99999 9999"), volume, LARGE),
    ("FreeSurfer volume cut", ".mgh", made.mgh()[:-900], volume, CORRUPT),
    ("PNG with a damaged chunk", ".png", replaced(made.png(), 60, b"\xff"), mask, CORRUPT),
    ("PNG cut", ".png", made.png()[:-20], mask, CORRUPT),
    ("PNG of vast size", ".png", ihdr(width=1 << 20, height=1 << 20), mask, LARGE),
    ("PNG without a column", ".png", ihdr(width=0), mask, CORRUPT),
    ("PNG of five bits", ".png", ihdr(bits=5), mask, CORRUPT),
    ("PNG larger than its pixels", ".png", ihdr(height=100), mask, CORRUPT),
    ("PNG with a stream that decodes to nothing", ".png",
     made.png_of([PNG[0], (b"IDAT", zlib.compress(b"")), PNG[-1]]), mask, CORRUPT),
    ("PNG without pixels", ".png", made.png_of([PNG[0], PNG[-1]]), mask, CORRUPT),
    ("PNG that is an animation", ".png",
     made.png_of([PNG[0], (b"acTL", struct.pack(">II", 1, 0)), *PNG[1:]]), mask, CODEC),
    ("PNG followed by a second file", ".png", made.png() * 2, mask, CORRUPT),
    ("PNG palette without colours", ".png", ihdr(colour=3), mask, CORRUPT),
    ("colour image as mask", ".png", made.png(made.colours()), mask, NO_LABELS),
    ("GIF named PNG", ".png", b"GIF89a" + bytes(40), picture, CORRUPT),
    ("JPEG cut", ".jpg", made.encoded(".jpg")[:-60], picture, CORRUPT),
    ("JPEG that lost its middle", ".jpg", CUT_JPEG, picture, CORRUPT),
    ("JPEG without a piece of its pixels", ".jpg",
     made.encoded(".jpg")[:900] + made.encoded(".jpg")[1100:], picture, CORRUPT),
    ("JPEG of very many scans", ".jpg",
     made.encoded(".jpg")[:-2] + 300 * SCAN + b"\xff\xd9", picture, CORRUPT),
    ("lossless JPEG", ".jpg", made.encoded(".jpg").replace(b"\xff\xc0", b"\xff\xc3"), picture, CODEC),
    ("BMP cut", ".bmp", made.encoded(".bmp")[:-60], picture, CORRUPT),
    ("BMP packed by runs", ".bmp", replaced(made.encoded(".bmp"), 28, b"\x08\0\1\0\0\0"), picture, CODEC),
    ("TIFF without a directory", ".tif", b"II*\0" + struct.pack("<I", 1 << 30), picture, CORRUPT),
    ("TIFF cut", ".tif", made.tiff()[:-200], mask, CORRUPT),
    ("TIFF of vast size", ".tif", tiff_tag(made.tiff(WIDE), 256, 1 << 23), mask, LARGE),
    ("TIFF wider than its strips", ".tif", tiff_tag(made.tiff(), 256, 65), mask, CORRUPT),
    ("TIFF with too few strips", ".tif", tiff_tag(made.tiff(), 257, 480), mask, CORRUPT),
    ("TIFF of JPEG XL", ".tif", made.tiff(compression="jpegxl"), mask, CODEC),
    ("TIFF of LERC", ".tif", made.tiff(compression="lerc"), mask, CODEC),
    ("TIFF of WebP", ".tif", made.tiled(compression="webp"), picture, CODEC),
    ("TIFF of an unknown codec", ".tif", tiff_tag(made.tiff(), 259, 4242), mask, CODEC),
    ("TIFF in which 0 is white", ".tif", made.tiff(photometric="miniswhite"), mask, "data.white_is_zero"),
    ("TIFF to be mirrored", ".tif",
     made.tiff(extratags=[(274, 3, 1, 4, True)]), mask, "data.turned"),
    ("PNG to be turned", ".png",
     made.png_of([PNG[0], (b"eXIf", exif(8)), *PNG[1:]]), mask, "data.turned"),
    ("JPEG to be turned", ".jpg", turned_jpeg(), mask, "data.turned"),
    ("TIFF of fractions", ".tif", made.tiff(made.mask().astype(np.float32) / 510), mask, NO_LABELS),
    ("TIFF of another meaning", ".tif", tiff_tag(made.tiff(), 262, 32803), picture, CODEC),
    ("TIFF of several images", ".tif",
     made.tiff(np.stack([made.mask()] * 3), metadata=None), mask, "data.axes"),
    ("slide of an unknown codec", ".tif", tiff_tag(made.tiled(), 259, 4242), made.read_slide, CODEC),
    ("slide cut", ".tif", made.tiled()[:-500], made.read_slide, CORRUPT),
    ("array of objects", ".npy", made.npy(np.array([{}], object), allow_pickle=True), labels, CORRUPT),
    ("array of texts", ".npy", made.npy(np.array(["a"])), labels, NOT_REAL),
    ("array of complex numbers", ".npy", made.npy(np.zeros(3, complex)), labels, NOT_REAL),
    ("array cut", ".npy", made.npy()[:-5], labels, CORRUPT),
    ("array with NaN", ".npy", made.npy(np.array([np.nan, 1])), labels, "data.not_finite"),
    ("array of five axes", ".npy", made.npy(np.zeros((1, 1, 1, 1, 2))), labels, "data.axes"),
    ("array whose header runs code", ".npy",
     b"\x93NUMPY\x01\0" + struct.pack("<H", 48) + b"__import__('os').system('true')".ljust(48),
     labels, CORRUPT),
    ("zip without the array", ".npz", zipped(["image.npy"]), array, "data.array_missing"),
    ("zip with the array twice", ".npz", zipped(["label.npy", "label"]), array, CORRUPT),
    ("zip bomb", ".npz", zip_bomb(), array, LARGE),
    ("zip by another method", ".npz", zipped(["label.npy"], method=zipfile.ZIP_BZIP2), array, CODEC),
    ("HDF5 external link", ".h5", h5_with(external_link), array, ELSEWHERE),
    ("HDF5 soft link", ".h5", h5_with(soft_link), array, ELSEWHERE),
    ("HDF5 external storage", ".h5", h5_with(external_storage), array, ELSEWHERE),
    ("HDF5 virtual dataset", ".h5", h5_with(virtual), array, ELSEWHERE),
    ("HDF5 dataset never written", ".h5", h5_with(never_written), array, CORRUPT),
    ("HDF5 of vast size", ".h5", h5_with(vast), array, LARGE),
    ("HDF5 of texts", ".h5", h5_with(texts), array, NOT_REAL),
    ("HDF5 compound", ".h5", h5_with(compound), array, NOT_REAL),
    ("HDF5 of complex numbers", ".h5", h5_with(complex_values), array, NOT_REAL),
    ("HDF5 of five axes", ".h5", h5_with(five_axes), array, "data.axes"),
    ("HDF5 cut", ".h5", made.h5()[:-900], array, CORRUPT),
    ("video cut", ".avi", made.avi()[:-3000], film, CORRUPT),
    ("video with a damaged image", ".avi",
     made.avi().replace(b"\xff\xd8\xff", b"\0\0\0", 3), film, CORRUPT),
    ("playlist named video", ".avi", b"#EXTM3U\n/etc/passwd\n", film, CORRUPT),
    ("concatenation list named video", ".avi", b"ffconcat version 1.0\nfile a.avi\n", film, CORRUPT),
    ("text named DICOM", ".dcm", b"hello" * 99, xray, NO_DICOM),
    ("DICOM cut", ".dcm", dicom_cut, xray, NO_DICOM),
    ("DICOM without pixels", ".dcm", dicom_with(PixelData=b""), xray, NO_DICOM),
    ("DICOM with more pixels", ".dcm", dicom_with(PixelData=bytes(48 * 64 * 2 + 2)), xray, NO_DICOM),
    ("DICOM of five bits", ".dcm", dicom_with(BitsAllocated=5), xray, NO_DICOM),
    ("DICOM of no rows", ".dcm", dicom_with(Rows=0), xray, NO_DICOM),
    ("DICOM of vast size", ".dcm", dicom_with(Rows=65535, Columns=65535), xray, LARGE),
    ("DICOM of colours", ".dcm", dicom_with(SamplesPerPixel=3), xray, "dicom.not_grey"),
    ("DICOM of a palette", ".dcm",
     dicom_with(PhotometricInterpretation="PALETTE COLOR"), xray, "dicom.not_grey"),
    ("DICOM of several frames", ".dcm", dicom_with(NumberOfFrames=2), xray, "dicom.not_grey"),
    ("DICOM with no width of its window", ".dcm", dicom_with(WindowWidth=0), xray, NO_DICOM),
    ("DICOM rescaled to infinity", ".dcm",
     dicom_with(RescaleSlope="1e308", RescaleIntercept="1e308"), xray, "data.not_finite"),
    ("DICOM of two sizes", ".dcm", dicom_of_two_sizes, xray, NO_DICOM),
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
