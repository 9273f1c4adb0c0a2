"""Admission of files: a file is opened, read once and its header parsed, or it is refused with a reason."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Literal

from medbench.core.files import LFS_POINTER
from medbench.io.gate import source
from medbench.io.gate.containers import VideoHeader, parse_video
from medbench.io.gate.expected import Expected, check_budget
from medbench.io.gate.image_header import ImageHeader, parse_image
from medbench.io.gate.inflate import gunzip, gzip_head
from medbench.io.gate.metaimage import parse_metaimage
from medbench.io.gate.mgh import parse_mgh
from medbench.io.gate.nifti import HEAD_BYTES, parse_nifti
from medbench.io.gate.nrrd import parse_nrrd
from medbench.io.gate.refusal import Refusal, Reject, corrupt, refusal_of
from medbench.io.gate.tiff import SIGNATURES, TiffPage, parse_tiff
from medbench.io.gate.tiff_pixels import check_codec
from medbench.io.gate.volume_header import VolumeHeader

Kind = Literal["volume", "image", "array", "arrays", "table", "video", "slide", "dicom"]
Header = VolumeHeader | ImageHeader | TiffPage | VideoHeader | None

VOLUME_SUFFIXES = (".nii.gz", ".nii", ".mha", ".mhd", ".nrrd", ".img", ".hdr", ".mgz", ".mgh")
_STREAMED = ("video", "slide")
_HASH_BYTES = 1 << 20


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, ``.nii.gz`` as one.

    >>> suffix_of("BraTS.NII.GZ"), suffix_of("a.seg.nrrd")
    ('.nii.gz', '.nrrd')
    """
    lower = name.lower()
    return ".nii.gz" if lower.endswith(".nii.gz") else os.path.splitext(lower)[1]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A file with a checked header, ready to decode.

    Attributes:
        path: the file.
        kind: kind of content that the file is read as.
        header: the parsed header; ``None`` for tables and named arrays.
        content: bytes of the file; empty for videos and slides, which are read in parts from ``stream``.
        companion: bytes of the file of values beside a header (``.mhd``, ``.hdr``), else ``None``.
        stream: the open file of a video or slide.
        budget_bytes: limit on the bytes of the file and its values together.
    """

    path: Path
    kind: Kind
    header: Header
    content: bytearray
    companion: bytearray | None
    stream: BufferedReader | None
    budget_bytes: int

    def sha256(self) -> str:
        """SHA-256 of the bytes to decode, as hexadecimal; with a companion, of header and values in turn."""
        digest = hashlib.sha256(self.content)
        if self.companion is not None:
            digest.update(self.companion)
        if self.stream is not None:
            self.stream.seek(0)
            while piece := self.stream.read(_HASH_BYTES):
                digest.update(piece)
        return digest.hexdigest()


def admit(path: Path, root: Path, kind: Kind, expected: Expected | None = None) -> Admitted | Refusal:
    """Open a file and parse its header, or refuse the file.

    A release (``expected.role``) may hold symbolic links to regular files anywhere, as laboratories keep
    their data; a prediction is one regular file below its root, reached without leaving it.

    Args:
        path: the file, below ``root``.
        root: folder of the submission or of ``--data``.
        kind: kind of content: ``volume``, ``image``, ``array`` (``.npy``), ``arrays`` (``.h5`` or
            ``.npz``), ``table`` (also packed, ``.gz``), ``video``, ``slide`` or ``dicom``.
        expected: role and memory limit of the file.

    Returns:
        The admitted file, or the refusal; the caller closes the ``stream`` of a video or slide.
    """
    expected = expected or Expected()
    try:
        return _admitted(path, root, kind, expected)
    except Reject as reject:
        return refusal_of(reject, _relative(path, root), unreadable(path, kind))


@contextlib.contextmanager
def entrance(
    path: Path, kind: Kind, *, root: Path | None = None, expected: Expected | None = None
) -> Iterator[Admitted]:
    """The admitted file for a block; a refusal by :func:`admit` or a decoder in it becomes an error.

    Raises:
        MedbenchError: with the refusal's code, facts and hint.
    """
    root = path.parent if root is None else root
    file = admit(path, root, kind, expected)
    if isinstance(file, Refusal):
        raise file.error(root)
    try:
        yield file
    except Reject as reject:
        raise refusal_of(reject, _relative(path, root), unreadable(path, kind)).error(root) from reject
    except MemoryError as error:
        facts = "takes more memory than there is"
        refusal = Refusal("file.too_large", _relative(path, root), facts, "Allow it more memory.")
        raise refusal.error(root) from error
    finally:
        if file.stream is not None:
            file.stream.close()


def unreadable(path: Path, kind: Kind) -> str:
    """Phrase for a damaged file of a kind, for messages."""
    if kind == "slide":
        return "is no readable TIFF file"
    if kind == "video":
        return "cannot be decoded to its end"
    return f"not a readable {suffix_of(path.name) + ' file' if kind == 'arrays' else kind}"


def _relative(path: Path, root: Path) -> str:
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def _admitted(path: Path, root: Path, kind: Kind, expected: Expected) -> Admitted:
    if kind in _STREAMED:
        return _streamed(path, root, kind, expected)
    budget = expected.budget_bytes
    content, companion = source.read_whole(path, root, expected.role, budget), None
    if content.startswith(LFS_POINTER):
        raise Reject(
            "file.corrupt", "it is a pointer of Git LFS, not the file itself", "Fetch it: git lfs pull."
        )
    header: Header = None
    if kind == "volume":
        header, companion = _volume(path, root, expected, content)
        n_bytes = len(content) + (0 if companion is None else len(companion))
        check_budget(max(n_bytes + header.memory_bytes, header.value_bytes), budget)
    elif kind == "image":
        header = _image(content)
        facts = header.header if isinstance(header, TiffPage) else header
        check_budget(len(content) + facts.memory_bytes, budget)
    elif kind == "table" and path.suffix.lower() == ".gz":
        length = int.from_bytes(content[-4:], "little")
        check_budget(len(content) + length, budget)
        content = gunzip(content, length)
    return Admitted(path, kind, header, content, companion, None, budget)


def _streamed(path: Path, root: Path, kind: Kind, expected: Expected) -> Admitted:
    stream = source.opened(path, root, expected.role)
    try:
        size = os.fstat(stream.fileno()).st_size
        header: Header
        if kind == "video":
            header = parse_video(stream, size)
        else:
            header = parse_tiff(lambda at, count: _piece(stream, at, count), size)
            check_codec(header)
        stream.seek(0)
    except Reject:
        stream.close()
        raise
    return Admitted(path, kind, header, bytearray(), None, stream, expected.memory_bytes)


def _piece(stream: BinaryIO, at: int, count: int) -> bytes:
    stream.seek(at)
    piece = stream.read(count)
    if len(piece) < count:
        raise corrupt("it ends too early")
    return piece


def _volume(
    path: Path, root: Path, expected: Expected, content: bytearray
) -> tuple[VolumeHeader, bytearray | None]:
    suffix = suffix_of(path.name)
    if suffix in (".nii", ".nii.gz", ".mgh", ".mgz"):
        is_gzip = suffix in (".nii.gz", ".mgz")
        parse = parse_nifti if suffix.startswith(".nii") else parse_mgh
        head = gzip_head(content, HEAD_BYTES) if is_gzip else bytes(content[:HEAD_BYTES])
        return parse(head, is_gzip=is_gzip), None
    if suffix == ".nrrd":
        return parse_nrrd(content), None
    if suffix in (".img", ".hdr"):
        return _pair(path, root, expected, content)
    if suffix not in (".mha", ".mhd"):
        raise Reject(
            "file.type_unknown",
            f"'{suffix}' is no volume type known here",
            f"Known: {', '.join(VOLUME_SUFFIXES)}.",
        )
    header, values_in = parse_metaimage(content)
    if values_in == "LOCAL":
        return header, None
    own = Path(values_in).name == values_in and Path(values_in).stem == path.stem
    if expected.role == "prediction" or suffix != ".mhd" or not own:
        raise Reject(
            "file.refers_elsewhere",
            "keeps its values in another file",
            "Save it as one .mha file (ElementDataFile = LOCAL).",
        )
    return header, source.read_whole(path.with_name(values_in), root, expected.role, expected.budget_bytes)


def _pair(path: Path, root: Path, expected: Expected, content: bytearray) -> tuple[VolumeHeader, bytearray]:
    """Header and values of a NIfTI pair, given either of its two files."""
    suffix = ".hdr" if path.suffix.lower() == ".img" else ".img"
    other = path.with_suffix(suffix.upper() if path.suffix.isupper() else suffix)
    try:
        beside = source.read_whole(other, root, expected.role, expected.budget_bytes)
    except Reject as reject:
        raise corrupt(f"{other.name} beside it: {reject.facts}") from reject
    head, values = (beside, content) if path.suffix.lower() == ".img" else (content, beside)
    return parse_nifti(bytes(head[:HEAD_BYTES]), is_gzip=False, pair=True), values


def _image(content: bytearray) -> ImageHeader | TiffPage:
    if content[:4] not in SIGNATURES:
        return parse_image(content)
    view = memoryview(content)
    page = parse_tiff(lambda at, count: view[at : at + count], len(content), alone=True)
    check_codec(page)
    return page
