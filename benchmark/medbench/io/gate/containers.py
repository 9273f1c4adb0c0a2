"""Checks that a video file is complete, by the structure of its container, before a decoder opens it.

The number of frames in a container's header proves nothing: with pauses and edit lists it exceeds the frames
that are played. A truncated file is detected by the lengths of its parts; where every stored frame is
independent (Motion-JPEG and the like in AVI files), the stored frames are counted.

Sources: Microsoft's AVI RIFF file reference and OpenDML 1.02, ISO/IEC 14496-12, and the specification of
Matroska.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from medbench.core.text import counted
from medbench.io.gate.refusal import corrupt

MOST_CHUNKS = 1 << 22
_ALONE = {b"MJPG", b"\0\0\0\0", b"DIB ", b"FFV1", b"HFYU", b"FFVH", b"ULRG", b"PNG ", b"Y800", b"I420"}
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT = b"\x18\x53\x80\x67"
_STREAMS = {b"FLV\x01": "FLV", b"OggS": "Ogg"}
_ASF = b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"


@dataclass(frozen=True, slots=True)
class VideoHeader:
    """Facts in the container of a video.

    Attributes:
        container: ``AVI``, ``MP4``, ``Matroska``, ``MPEG``, ``ASF``, ``FLV`` or ``Ogg``.
        stored_frames: number of frames in the file, where each is independent; else ``None``.
    """

    container: str
    stored_frames: int | None = None


def parse_video(stream: BinaryIO, size: int) -> VideoHeader:
    """The header of a video file that is complete.

    Raises:
        Reject: ``file.corrupt`` for a file that is no video or ends early.
    """
    stream.seek(0)
    head = stream.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return VideoHeader("AVI", _avi(stream, size))
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip"):
        _boxes(stream, size)
        return VideoHeader("MP4")
    if head[:4] == _EBML:
        _matroska(stream, size)
        return VideoHeader("Matroska")
    if head[:8] == _ASF:
        return VideoHeader("ASF")
    if head[:4] in _STREAMS:
        return VideoHeader(_STREAMS[head[:4]])
    if head[:4] in (b"\0\0\1\xba", b"\0\0\1\xb3") or (head[:1] == b"\x47" and _at(stream, 188) == b"\x47"):
        return VideoHeader("MPEG")
    raise corrupt(f"it is no video ({counted(size, 'byte')})")


def _at(stream: BinaryIO, place: int) -> bytes:
    stream.seek(place)
    return stream.read(1)


class _Avi:
    """Walks the chunks of an AVI file and counts the frames of its video stream."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream = stream
        self.size = size
        self.n_streams = 0
        self.video: int | None = None
        self.codec = b""
        self.n_frames = 0
        self.n_chunks = 0
        self.movie = False

    def walk(self, start: int, end: int, depth: int = 0) -> None:
        """Visit the chunks between two places."""
        at = start
        while at + 8 <= end:
            self.n_chunks += 1
            if self.n_chunks > MOST_CHUNKS:
                raise corrupt("it has too many chunks")
            self.stream.seek(at)
            head = self.stream.read(12)
            if len(head) < 8:
                raise corrupt("it ends too early")
            name, length = struct.unpack_from("<4sI", head)
            body = at + 8
            if body + length > end:
                if depth == 0 and length == 0xFFFFFFFF:
                    length = end - body
                else:
                    raise corrupt("it ends too early")
            if name in (b"RIFF", b"LIST"):
                self.movie |= head[8:12] == b"movi"
                if depth > 5:
                    raise corrupt("its lists lie in one another too deep")
                self.walk(body + 4, body + length, depth + 1)
            else:
                self.visit(name, body, length)
            at = body + length + length % 2

    def visit(self, name: bytes, body: int, length: int) -> None:
        """Check and count one chunk."""
        if name == b"strh":
            self.stream.seek(body)
            if self.stream.read(4) == b"vids" and self.video is None:
                self.video = self.n_streams
            self.n_streams += 1
        elif name == b"strf" and self.video == self.n_streams - 1 and length >= 20 and not self.codec:
            self.stream.seek(body + 16)
            self.codec = self.stream.read(4)
        elif name[2:] in (b"dc", b"db") and name[:2] == b"%02d" % (self.video or 0):
            self.n_frames += length > 0
            if length and self.codec.upper() == b"MJPG":
                self.check_frame(body, length)

    def check_frame(self, body: int, length: int) -> None:
        """Refuse a Motion-JPEG frame that is no JPEG, which the decoder would skip without an error."""
        self.stream.seek(body)
        frame = self.stream.read(length)
        if not frame.startswith(b"\xff\xd8") or b"\xff\xda" not in frame:
            raise corrupt(f"its frame {self.n_frames - 1} is damaged")


def _avi(stream: BinaryIO, size: int) -> int | None:
    avi = _Avi(stream, size)
    avi.walk(0, size)
    if avi.video is None or not avi.movie:
        raise corrupt("it holds no video stream")
    return avi.n_frames if avi.codec.upper() in _ALONE else None


def _boxes(stream: BinaryIO, size: int) -> None:
    at = n_boxes = 0
    names: set[bytes] = set()
    while at < size:
        stream.seek(at)
        head = stream.read(16)
        if len(head) < 8:
            raise corrupt("it ends too early")
        n_boxes += 1
        if n_boxes > MOST_CHUNKS:
            raise corrupt("it has too many chunks")
        length, name = struct.unpack_from(">I4s", head)
        if length == 1:
            if len(head) < 16:
                raise corrupt("it ends too early")
            (length,) = struct.unpack_from(">Q", head, 8)
        elif length == 0:
            length = size - at
        if length < 8 or at + length > size:
            raise corrupt("it ends too early")
        names.add(name)
        at += length
    if b"moov" not in names:
        raise corrupt("it has no index (moov)")


def _matroska(stream: BinaryIO, size: int) -> None:
    stream.seek(4)
    head = stream.read(64)
    length, n_bytes = _variable(head)
    stream.seek(4 + n_bytes + length)
    if stream.read(4) != _SEGMENT:
        raise corrupt("it has no segment")
    place = stream.tell()
    length, n_bytes = _variable(stream.read(8))
    unknown = length == (1 << (7 * n_bytes)) - 1
    if not unknown and place + n_bytes + length > size:
        raise corrupt("it ends too early")


def _variable(data: bytes) -> tuple[int, int]:
    """A length field of EBML, and the number of its bytes."""
    if not data or not data[0]:
        raise corrupt("its header is damaged")
    n_bytes = 9 - data[0].bit_length()
    value = int.from_bytes(data[:n_bytes], "big") & ((1 << (7 * n_bytes)) - 1)
    return value, n_bytes
