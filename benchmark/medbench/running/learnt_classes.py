"""Classes and modalities that weights learnt beside those of a challenge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medbench.challenges.base import Challenge
from medbench.core.text import plain_name


def differing_classes(
    classes: Mapping[str, Sequence[str]], challenge: Challenge
) -> tuple[list[str], list[str]] | None:
    """The classes of the first task that were learnt otherwise, and the challenge's; ``None`` if all agree.

    Case and punctuation do not count but for signs such as in HER2+, and neither does what a label map calls
    its background.

    Args:
        classes: task -> names of the classes in the order of the outputs.
        challenge: the challenge.
    """
    for task, names in challenge.card.demands.items():
        first = 1 if task == "label_map" else 0
        own, other = list(names)[first:], list(classes.get(task, ()))[first:]
        if list(map(plain_name, own)) != list(map(plain_name, other)):
            return other, own
    return None


def differing_modalities(other: Challenge, challenge: Challenge) -> tuple[list[str], list[str]] | None:
    """Modalities of another challenge in the order of its channels, and the challenge's; ``None`` if alike.

    They agree where they share one of their names each. One modality has no order, and another number of
    them is another network.
    """
    theirs, own = other.card.modalities, challenge.card.modalities
    if len(own) < 2 or len(own) != len(theirs):
        return None
    names, their_names = (
        [{plain_name(name) for name in (key, *aliases)} for key, aliases in modalities.items()]
        for modalities in (own, theirs)
    )
    if all(one & two for one, two in zip(names, their_names, strict=True)):
        return None
    return list(theirs), list(own)
