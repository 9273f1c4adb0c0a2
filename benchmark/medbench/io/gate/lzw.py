"""TIFF's LZW (codes of growing length, highest bit first), counted. Source: TIFF 6.0, section 13."""

from __future__ import annotations

from collections.abc import Iterator

from medbench.core.text import counted
from medbench.io.gate.refusal import corrupt

_CLEAR, _END = 256, 257
_FULL = 4096
_BYTES = [bytes([value]) for value in range(256)] + [b"", b""]


def decode_lzw(strip: bytes | memoryview, length: int) -> bytes:
    """The first ``length`` bytes of an LZW strip or tile.

    Raises:
        Reject: ``file.corrupt`` for a code that no table holds, or too few bytes.
    """
    table: list[bytes] = []
    parts: list[bytes] = []
    n_bytes, previous = 0, b""
    for code in _codes(strip, table):
        if code == _CLEAR:
            table[:], previous = _BYTES, b""
            continue
        if code == _END or n_bytes >= length:
            break
        text = _text(code, table, previous)
        parts.append(text)
        n_bytes += len(text)
        if previous and len(table) < _FULL:
            table.append(previous + text[:1])
        previous = text
    if n_bytes < length:
        raise corrupt(f"a strip decodes to {counted(n_bytes, 'byte')} where {length:,} are announced")
    return b"".join(parts)[:length]


def _codes(strip: bytes | memoryview, table: list[bytes]) -> Iterator[int]:
    """The codes of a strip, whose number of bits grows with the table."""
    pending = n_bits = 0
    for byte in strip:
        pending = (pending << 8) | byte
        n_bits += 8
        width = 9 if len(table) < 511 else (len(table) + 1).bit_length()
        width = min(width, 12)
        if n_bits >= width:
            n_bits -= width
            yield pending >> n_bits
            pending &= (1 << n_bits) - 1


def _text(code: int, table: list[bytes], previous: bytes) -> bytes:
    if not table:
        raise corrupt("a strip does not begin with a clear code")
    if code < len(table):
        return table[code]
    if previous and code == len(table):
        return previous + previous[:1]
    raise corrupt("a strip holds a code that its table lacks")


def decode_packbits(strip: bytes | memoryview, length: int) -> bytes:
    """Content of a PackBits strip or tile of ``length`` bytes.

    Raises:
        Reject: ``file.corrupt`` for more or fewer bytes.

    >>> decode_packbits(bytes([254, 7, 1, 8, 9]), 5)
    b'\\x07\\x07\\x07\\x08\\t'
    """
    parts, n_bytes, at = [], 0, 0
    strip = bytes(strip)
    while at < len(strip) and n_bytes <= length:
        count = strip[at]
        if count < 128:
            part = strip[at + 1 : at + 2 + count]
            if len(part) != count + 1:
                break
            at += 2 + count
        elif count > 128:
            part = strip[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            part, at = b"", at + 1
        parts.append(part)
        n_bytes += len(part)
    if n_bytes != length or at < len(strip) - 1:
        raise corrupt(f"a strip decodes to {counted(n_bytes, 'byte')} where {length:,} are announced")
    return b"".join(parts)
