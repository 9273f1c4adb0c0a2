"""From the words of a command to a request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.models import list_models, model_entry
from medbench.profiling.profile import MEASURES, Request
from medbench.profiling.workload import PRECISIONS

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def parse_shape(text: str) -> tuple[int, ...]:
    """``1x3x256x256`` to numbers.

    Raises:
        MedbenchError: ``profile.input``.

    >>> parse_shape("1x3x256x256")
    (1, 3, 256, 256)
    """
    parts = re.split(r"[x×,]", text.strip())
    if len(parts) < 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise MedbenchError("profile.input", f"'{text}' is no shape.", "For example --input 1x3x256x256.")
    return tuple(map(int, parts))


def parse_bytes(text: str) -> int:
    """``512MiB``, ``2GB``, ``1000000``.

    Raises:
        MedbenchError: ``profile.bytes``.

    >>> parse_bytes("2 GiB")
    2147483648
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", text.strip().lower())
    if found is None or found[2] not in _UNITS or float(found[1]) <= 0:
        raise MedbenchError("profile.bytes", f"'{text}' is no amount of memory.", "For example 2GiB.")
    return int(float(found[1]) * _UNITS[found[2]])


def choose_models(patterns: Sequence[str]) -> tuple[str, ...]:
    """Names, aliases and shell-style patterns to names.

    Raises:
        MedbenchError: ``model.unknown``, or ``profile.no_model`` when none is asked for.
    """
    if not patterns:
        raise MedbenchError("profile.no_model", "No model is named.", "For example -m dssau_net -m smp/unet.")
    names: list[str] = []
    for pattern in patterns:
        found = (
            list_models(pattern) if any(mark in pattern for mark in "*?[") else [model_entry(pattern).name]
        )
        if not found:
            raise unknown_name("model", pattern, list_models())
        names += found
    return tuple(dict.fromkeys(names))


def make_request(
    models: Sequence[str],
    *,
    input_shape: str | None,
    devices: str,
    batches: str | None,
    precisions: str,
    measures: str,
    num_classes: int | None,
    options: dict[str, Any],
    **others: Any,
) -> Request:
    """Check what the command says, before anything heavy begins.

    Raises:
        MedbenchError: for a word that means nothing.
    """
    shape = parse_shape(input_shape) if input_shape else None
    sizes = _words(batches) if batches else [str(shape[0]) if shape else "1"]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise MedbenchError("profile.batch", f"'{batches}' are no batch sizes.", "For example --batch 1,8.")
    return Request(
        choose_models(models),
        shape=shape[1:] if shape else None,
        num_classes=num_classes,
        options=options,
        devices=tuple(_words(devices)),
        batches=tuple(map(int, sizes)),
        precisions=_known("precision", precisions, PRECISIONS),
        measures=_known("measure", measures, MEASURES),
        **others,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _known(kind: str, text: str, known: Sequence[str]) -> tuple[str, ...]:
    words = tuple(_words(text))
    for word in words:
        if word not in known:
            raise unknown_name(kind, word, known)
    return words
