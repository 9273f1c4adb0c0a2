"""TIFF's LZW (codes of growing length, highest bit first), counted. Source: TIFF 6.0, section 13."""

from __future__ import annotations

from medbench.io.gate.refusal import corrupt

_CLEAR, _END = 256, 257
_BYTES = [bytes([value]) for value in range(256)] + [b"", b""]


def decode_lzw(packed: bytes | memoryview, wanted: int) -> bytes:
    """Decode a strip or tile that holds at least ``wanted`` bytes; what exceeds them is left out.

    Raises:
        Reject: ``file.corrupt`` for a code that no table holds, or too few bytes.
    """
    table: list[bytes] = []
    parts: list[bytes] = []
    held, width, pending, n_bits, previous = 0, 9, 0, 0, b""
    for byte in packed:
        pending = (pending << 8) | byte
        n_bits += 8
        if n_bits < width:
            continue
        n_bits -= width
        code = pending >> n_bits
        pending &= (1 << n_bits) - 1
        if code == _CLEAR:
            table, width, previous = _BYTES.copy(), 9, b""
            continue
        if code == _END or held >= wanted:
            break
        if not table:
            raise corrupt("a strip does not begin with a clear code")
        if code < len(table):
            text = table[code]
        elif previous and code == len(table):
            text = previous + previous[:1]
        else:
            raise corrupt("a strip holds a code that its table lacks")
        parts.append(text)
        held += len(text)
        if previous and len(table) < 4096:
            table.append(previous + text[:1])
            if len(table) in (511, 1023, 2047):
                width += 1
        previous = text
    if held < wanted:
        raise corrupt(f"a strip decodes to {held:,} bytes where {wanted:,} are announced")
    return b"".join(parts)[:wanted]


def decode_packbits(packed: bytes | memoryview, wanted: int) -> bytes:
    """Decode a PackBits strip or tile of ``wanted`` bytes.

    Raises:
        Reject: ``file.corrupt`` for more or fewer bytes.

    >>> decode_packbits(bytes([254, 7, 1, 8, 9]), 5)
    b'\\x07\\x07\\x07\\x08\\t'
    """
    parts, held, at = [], 0, 0
    packed = bytes(packed)
    while at < len(packed) and held <= wanted:
        count = packed[at]
        if count < 128:
            part = packed[at + 1 : at + 2 + count]
            if len(part) != count + 1:
                break
            at += 2 + count
        elif count > 128:
            part = packed[at + 1 : at + 2] * (257 - count)
            at += 2
        else:
            part, at = b"", at + 1
        parts.append(part)
        held += len(part)
    if held != wanted or at < len(packed) - 1:
        raise corrupt(f"a strip decodes to {held:,} bytes where {wanted:,} are announced")
    return b"".join(parts)
