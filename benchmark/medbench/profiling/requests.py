"""Requests of profiles from the text of command-line options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name
from medbench.models import list_models, model_entry
from medbench.models.entry import usual_models
from medbench.profiling.profile import MEASURES, ProfileRequest
from medbench.profiling.workload import PRECISIONS

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}


def parse_shape(text: str) -> tuple[int, ...]:
    """Shape from text such as ``1x3x256x256``.

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
    """Bytes from text such as ``512MiB``, ``2GB`` or ``1000000``.

    Raises:
        MedbenchError: ``profile.bytes``.

    >>> parse_bytes("2 GiB")
    2147483648
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmg]?i?)b?", text.strip().lower())
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise MedbenchError("profile.bytes", f"'{text}' is no amount of memory.", "For example 2GiB.")
    return int(float(match[1]) * _UNITS[match[2]])


def choose_models(patterns: Sequence[str]) -> tuple[str, ...]:
    """Model names that match names, aliases or shell-style patterns.

    Raises:
        MedbenchError: ``model.unknown``, or ``profile.no_model`` without a pattern.
    """
    if not patterns:
        raise MedbenchError("profile.no_model", "No model is named.", "For example -m dssau_net -m smp/unet.")
    names: list[str] = []
    for pattern in patterns:
        matches = (
            list_models(pattern) if any(mark in pattern for mark in "*?[") else [model_entry(pattern).name]
        )
        if not matches:
            raise unknown_name("model", pattern, usual_models(list_models()))
        names += matches
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
) -> ProfileRequest:
    """The request of a command's options, checked before anything is built or measured.

    Raises:
        MedbenchError: naming the option that has no meaning.
    """
    shape = parse_shape(input_shape) if input_shape else None
    sizes = _words(batches) if batches else [str(shape[0]) if shape else "1"]
    if not all(size.isdecimal() and int(size) > 0 for size in sizes):
        raise MedbenchError("profile.batch", f"'{batches}' are no batch sizes.", "For example --batch 1,8.")
    return ProfileRequest(
        choose_models(models),
        shape=shape[1:] if shape else None,
        num_classes=num_classes,
        options=options,
        devices=tuple(_words(devices)),
        batches=tuple(map(int, sizes)),
        precisions=_choice("precision", precisions, PRECISIONS),
        measures=_choice("measure", measures, MEASURES),
        **others,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _choice(kind: str, text: str, vocabulary: Sequence[str]) -> tuple[str, ...]:
    words = tuple(_words(text))
    for word in words:
        if word not in vocabulary:
            raise unknown_name(kind, word, vocabulary)
    return words
