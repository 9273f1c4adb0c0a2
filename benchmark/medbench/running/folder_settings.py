"""Settings of scoring two folders of label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Literal, TypedDict


class FolderKeywords(TypedDict, total=False):
    """Keywords of :func:`medbench.running.folders.evaluate_folders`; see :class:`FolderSettings`."""

    labels: Sequence[int] | None
    spacing: Sequence[float] | Literal["pixel"] | None
    empty: str | None
    rename: tuple[str, str] | None
    group_of: Callable[[str], str] | None
    resample_to_reference: bool
    workers: int | Executor
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderSettings:
    """Settings of scoring two folders.

    Attributes:
        labels: labels to score; every label of the references but 0 if not given.
        spacing: mm along each array axis, or ``"pixel"``; the reference file's if not given.
        empty: rule for empty masks; each definition's own if not given.
        rename: how predictions are named, as in :func:`medbench.running.pairs.pair_files`.
        group_of: name -> patient, for the intervals; each pair is its own group if not given.
        resample_to_reference: bring predictions to the reference's grid (nearest neighbour) instead of
            refusing another geometry.
        workers: number of threads, or an executor whose workers see the files under the same paths.
        seed: of the resampling.
    """

    labels: Sequence[int] | None = None
    spacing: Sequence[float] | Literal["pixel"] | None = None
    empty: str | None = None
    rename: tuple[str, str] | None = None
    group_of: Callable[[str], str] | None = None
    resample_to_reference: bool = False
    workers: int | Executor = 2
    seed: int = 0
