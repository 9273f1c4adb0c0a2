"""Findings of a check: groups that several splits share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from medbench.challenges.stray import Finding
from medbench.core.text import agreeing, named


class GroupedImage(Protocol):
    """An image of a release, with the patient, lesion or video that it shows."""

    @property
    def group(self) -> str:
        """The group; empty when the image stands alone."""
        ...


def leaks(owners: Mapping[str, Sequence[GroupedImage]]) -> Iterator[Finding]:
    """Groups that lie in more than one of the splits.

    Args:
        owners: split -> its images.
    """
    groups: dict[str, set[str]] = {}
    for split, pairs in owners.items():
        for pair in pairs:
            if pair.group:
                groups.setdefault(pair.group, set()).add(split)
    in_several = sorted(group for group, splits in groups.items() if len(splits) > 1)
    if in_several:
        lie = agreeing(len(in_several), "lies", "lie")
        yield Finding(
            "warning",
            f"{', '.join(owners)}: {len(in_several)} of {len(groups)} groups {lie} in more than one of these "
            f"splits ({named(in_several)}).",
            "Their images are near duplicates, so that scores are too good; use a split by group.",
        )
