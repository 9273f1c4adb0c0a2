"""Classes that weights learnt beside those that a challenge demands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medbench.challenges.base import Challenge


def differing_classes(
    classes: Mapping[str, Sequence[str]], challenge: Challenge
) -> tuple[list[str], list[str]] | None:
    """The classes of the first task that were learnt otherwise, and the challenge's; ``None`` if all agree.

    Case and punctuation do not count, and neither does what a label map calls its background.

    Args:
        classes: task -> names of the classes in the order of the outputs.
        challenge: the challenge.
    """
    for task, names in challenge.card.demands.items():
        first = 1 if task == "label_map" else 0
        own, other = list(names)[first:], list(classes.get(task, ()))[first:]
        if list(map(_plain, own)) != list(map(_plain, other)):
            return other, own
    return None


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())
