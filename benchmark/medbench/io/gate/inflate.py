"""Decompression to exactly the announced length, with checksum and a limit.

zlib-ng decodes the same streams as zlib, checks the same checksums and takes a sixth of the time; Python's
zlib takes its place where it is not installed.
"""

from __future__ import annotations

import zlib as _standard
from types import ModuleType
from typing import Any

from medbench.core.text import counted
from medbench.io.gate.refusal import corrupt

_zlib: ModuleType
try:
    from zlib_ng import zlib_ng as _zlib
except ImportError:  # pragma: no cover - the package depends on it; images of submissions may leave it out
    _zlib = _standard

TRAILING_BYTES = 1 << 20
MOST_MEMBERS, _MEMBERS_OF_A_HEAD = 200_000, 1000
_GZIP, _EITHER, _ZLIB = 31, 47, 15
_IN, _OUT, _HEAD_IN = 1 << 16, 1 << 18, 1 << 12
_ERRORS: tuple[type[Exception], ...] = (_standard.error, _zlib.error)

Bytes = bytes | bytearray | memoryview


def crc32(content: Bytes) -> int:
    """The CRC-32 of PNG chunks and gzip members."""
    return int(_zlib.crc32(content))


class _Sink:
    """A buffer of decompressed bytes that refuses more than its limit."""

    def __init__(self, length: int, trailing: int) -> None:
        self.values = bytearray(length)
        self.length = length
        self.most = length + trailing
        self.held = 0

    def take(self, piece: bytes) -> None:
        """Append the next bytes."""
        if self.held + len(piece) > self.most:
            raise corrupt(
                f"it unpacks to more than the {counted(self.length, 'byte')} that its header announces"
            )
        part = piece[: max(0, self.length - self.held)]
        self.values[self.held : self.held + len(part)] = part
        self.held += len(piece)


def gzip_head(stream_bytes: Bytes, count: int) -> bytes:
    """The first ``count`` bytes of a gzip file, fewer where it holds fewer.

    Raises:
        Reject: ``file.corrupt``.
    """
    rest, head = memoryview(stream_bytes), b""
    try:
        for _ in range(_MEMBERS_OF_A_HEAD):
            if len(head) >= count or not any(rest[:_IN]):
                break
            stream: Any = _zlib.decompressobj(_GZIP)
            while len(head) < count and len(rest) and not stream.eof:
                piece, rest = rest[:_HEAD_IN], rest[_HEAD_IN:]
                head += stream.decompress(piece, count - len(head))
            if stream.eof:
                rest = memoryview(stream_bytes)[len(stream_bytes) - len(rest) - len(stream.unused_data) :]
    except _ERRORS as error:
        raise corrupt(_facts_of(error)) from error
    return head


def gunzip(stream_bytes: Bytes, length: int, trailing: int = TRAILING_BYTES) -> bytearray:
    """Content of all members of a gzip file, after a check of length and checksum.

    Args:
        stream_bytes: the file.
        length: number of bytes that the header announces; decompression stops soon after them.
        trailing: number of bytes that may follow and are dropped.

    Raises:
        Reject: ``file.corrupt`` for a wrong checksum, or more or fewer bytes than announced.
    """
    rest, sink = memoryview(stream_bytes), _Sink(length, trailing)
    for member in range(MOST_MEMBERS):
        if not rest or (member and not any(rest[:_IN])):
            break
        rest = rest[_stream(rest, sink, _GZIP) :]
    else:
        raise corrupt(f"it has more than {MOST_MEMBERS:,} gzip members")
    return _whole(sink)


def inflate(stream_bytes: Bytes, length: int, *, or_gzip: bool = False) -> bytearray:
    """Content of a zlib (or gzip) stream of exactly ``length`` bytes, after a check of its checksum.

    Raises:
        Reject: ``file.corrupt``.
    """
    sink = _Sink(length, 0)
    _stream(memoryview(stream_bytes), sink, _EITHER if or_gzip else _ZLIB)
    return _whole(sink)


def _stream(stream_bytes: memoryview, sink: _Sink, kind: int) -> int:
    """Decompress one stream to its end and check it; the number of compressed bytes."""
    stream: Any = _zlib.decompressobj(kind)
    at = 0
    try:
        while not stream.eof and at < len(stream_bytes):
            piece: Bytes = stream_bytes[at : at + _IN]
            at += len(piece)
            while piece and not stream.eof:
                sink.take(stream.decompress(piece, _OUT))
                piece = stream.unconsumed_tail
        while not stream.eof:
            last = stream.decompress(b"", _OUT)
            if not last:
                break
            sink.take(last)
    except _ERRORS as error:
        raise corrupt(_facts_of(error)) from error
    if not stream.eof:
        raise corrupt("its compressed stream ends too early")
    return at - len(stream.unused_data)


def _whole(sink: _Sink) -> bytearray:
    if sink.held < sink.length:
        raise corrupt(f"{counted(sink.held, 'byte')} where its header announces {sink.length:,}")
    return sink.values


def _facts_of(error: Exception) -> str:
    text = str(error)
    if "incorrect data check" in text or "incorrect length check" in text:
        return "the checksum of its compressed stream does not agree: it is damaged"
    return "its compressed stream is damaged"
