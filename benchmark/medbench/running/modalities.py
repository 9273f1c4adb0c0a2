"""Selection of the modalities that a network may see."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from medbench.challenges.base import Challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.registry import unknown_name


def known_modalities(challenge: Challenge, names: Sequence[str]) -> tuple[str, ...] | None:
    """Modalities by the challenge's own names, in its order; ``None`` where they are all of its modalities.

    Raises:
        MedbenchError: ``challenge.no_modalities``, ``modality.unknown``, or ``modality.none`` for an empty
            list.
    """
    if not challenge.card.modalities:
        raise MedbenchError(
            "challenge.no_modalities", f"{challenge.title} has one kind of image.", "Leave out --modalities."
        )
    own = {
        other.lower(): name for name, others in challenge.card.modalities.items() for other in (name, *others)
    }
    visible = set()
    for name in names:
        if name.lower() not in own:
            raise unknown_name("modality", name, own)
        visible.add(own[name.lower()])
    if not visible:
        raise MedbenchError(
            "modality.none",
            "No modality is left to see.",
            f"Name some of {', '.join(challenge.card.modalities)}.",
        )
    return (
        None
        if visible == set(challenge.card.modalities)
        else tuple(m for m in challenge.card.modalities if m in visible)
    )


def with_modalities(case: Case, modalities: Sequence[str]) -> Case:
    """The case with the files of some modalities alone.

    Raises:
        MedbenchError: ``data.no_modality`` when the case has none of them.
    """
    inputs = {name: path for name, path in case.inputs.items() if name in modalities}
    if not inputs:
        raise MedbenchError(
            "data.no_modality",
            f"{case.id}: has none of the modalities asked for ({', '.join(modalities)}).",
            f"It has {', '.join(case.inputs) or 'none at all'}.",
        )
    return dataclasses.replace(case, inputs=inputs)


def all_combinations(challenge: Challenge) -> list[tuple[str, ...]]:
    """All non-empty sets of the challenge's modalities, in the order of published tables.

    Raises:
        MedbenchError: ``challenge.no_modalities``.
    """
    known_modalities(challenge, tuple(challenge.card.modalities))
    names = tuple(challenge.card.modalities)
    by_size = (itertools.combinations(names, count) for count in range(1, len(names) + 1))
    return list(challenge.card.modality_combinations or itertools.chain(*by_size))
