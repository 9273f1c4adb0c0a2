"""Findings of a check: images and groups that several splits share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from medbench.challenges.release import Finding


class GroupedImage(Protocol):
    """An image of a release, with the patient, lesion or video that it shows."""

    @property
    def image(self) -> Path:
        """Path of the image."""
        ...

    @property
    def group(self) -> str:
        """The group; empty when the image stands alone."""
        ...


def leaks(owners: Mapping[str, Sequence[GroupedImage]], digests: Mapping[Path, str]) -> Iterator[Finding]:
    """Images and groups that lie in more than one of the splits.

    Args:
        owners: split -> its images.
        digests: path -> hash of the decoded image; images without one count as distinct.
    """
    seen: dict[str, tuple[str, GroupedImage]] = {}
    groups: dict[str, set[str]] = {}
    for split, pairs in owners.items():
        for pair in pairs:
            if pair.group:
                groups.setdefault(pair.group, set()).add(split)
            other, first = seen.setdefault(digests.get(pair.image, str(pair.image)), (split, pair))
            if first is not pair:
                yield Finding(
                    "warning" if other == split else "error",
                    f"{pair.image}: the same image as {first.image}, in {split} and {other}.",
                    "Scores on it would be of training data: remove one of them." if other != split else "",
                )
    shared = sorted(group for group, splits in groups.items() if len(splits) > 1)
    if shared:
        yield Finding(
            "warning",
            f"{', '.join(owners)}: {len(shared)} of {len(groups)} groups lie in more than one of these "
            f"splits ({', '.join(shared[:4])}{', …' if len(shared) > 4 else ''}).",
            "Their images are near duplicates, so that scores are too good; use a split by group.",
        )
