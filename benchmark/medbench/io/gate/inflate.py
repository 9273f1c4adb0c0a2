"""Decompressing exactly what a header announces: counted, checksummed, and never more than that."""

from __future__ import annotations

import zlib

from medbench.io.gate.refusal import corrupt

TRAILING_BYTES = 1 << 20
_GZIP, _EITHER, _ZLIB = 31, 47, 15
_PIECE = 1 << 17
MOST_MEMBERS = 200_000

Bytes = bytes | bytearray | memoryview


def gzip_head(packed: Bytes, count: int) -> bytes:
    """The first ``count`` bytes of a gzip file, fewer where it holds fewer.

    Raises:
        Reject: ``file.corrupt``.
    """
    try:
        return zlib.decompressobj(_GZIP).decompress(memoryview(packed)[: count + 4096], count)
    except zlib.error as error:
        raise corrupt(_told(error)) from error


def gunzip(packed: Bytes, wanted: int, trailing: int = TRAILING_BYTES) -> bytes:
    """All members of a gzip file, whose length and checksum must agree.

    Args:
        packed: the file.
        wanted: bytes that its header announces; decompression stops soon after them.
        trailing: bytes that may follow them, and are left out of what is returned.

    Raises:
        Reject: ``file.corrupt`` for a wrong checksum, or more or fewer bytes than announced.
    """
    rest, parts, held = memoryview(packed), [], 0
    for member in range(MOST_MEMBERS):
        if not rest or (member and not any(rest[:_PIECE])):
            break
        values, rest = _member(rest, wanted + trailing - held, whole=not member)
        parts.append(values)
        held += len(values)
    else:
        raise corrupt(f"it has more than {MOST_MEMBERS:,} gzip members")
    if held < wanted:
        raise corrupt(f"{held:,} bytes where its header announces {wanted:,}")
    whole = parts[0] if len(parts) == 1 else b"".join(parts)
    return whole if held == wanted else whole[:wanted]


def _member(packed: memoryview, most: int, *, whole: bool) -> tuple[bytes, memoryview]:
    """One gzip member, checked, and what follows it.

    The first member is usually the only one and is decompressed at once; later ones piece by piece, so that
    many small ones cost no more than their length.
    """
    stream = zlib.decompressobj(_GZIP)
    parts, held, at = [], 0, 0
    try:
        while not stream.eof and at < len(packed):
            piece = packed if whole else packed[at : at + _PIECE]
            parts.append(stream.decompress(piece, most + 1 - held))
            held += len(parts[-1])
            at += len(piece)
            if not stream.eof and held >= most:
                _drain(stream, held, most)
    except zlib.error as error:
        raise corrupt(_told(error)) from error
    if not stream.eof:
        raise corrupt("its compressed stream ends too early")
    return parts[0] if len(parts) == 1 else b"".join(parts), packed[at - len(stream.unused_data) :]


def _drain(stream: zlib._Decompress, held: int, most: int) -> None:
    """See that a stream ends where it should, checksum included."""
    if held > most:
        raise corrupt(f"it unpacks to more than the {most:,} bytes that its header announces")
    more = stream.decompress(stream.unconsumed_tail, 1)
    if more:
        raise corrupt(f"it unpacks to more than the {most:,} bytes that its header announces")
    if not stream.eof:
        raise corrupt("its compressed stream ends too early")


def inflate(packed: Bytes, wanted: int, *, raw_gzip: bool = False) -> bytes:
    """A zlib (or gzip) stream that holds exactly ``wanted`` bytes, with its checksum.

    Raises:
        Reject: ``file.corrupt``.
    """
    stream = zlib.decompressobj(_EITHER if raw_gzip else _ZLIB)
    try:
        values = stream.decompress(packed, wanted + 1)
        if len(values) == wanted and not stream.eof:
            _drain(stream, wanted, wanted)
    except zlib.error as error:
        raise corrupt(_told(error)) from error
    if len(values) != wanted or not stream.eof:
        announced = "more" if len(values) > wanted else f"{len(values):,}"
        raise corrupt(f"its compressed stream holds {announced} bytes where {wanted:,} are announced")
    return values


def _told(error: zlib.error) -> str:
    text = str(error)
    if "incorrect data check" in text or "incorrect length check" in text:
        return "the checksum of its compressed stream does not agree: it is damaged"
    return "its compressed stream is damaged"
