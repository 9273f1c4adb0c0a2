"""BraTS, the brain tumour segmentation challenges, 2018 to 2025.

Sources: label schemes, file names and scoring of each year from the organisers' public programs:
CBICA/CaPTk@cce8818 (until 2022), rachitsaluja/BraTS-2023-Metrics@43c9052, BraTS-2024-Metrics@f1131e3,
BraTS_evaluation 0.0.8 (2025), Sage-Bionetworks-Challenges/brats-infra@4d6b4b8 (names of predictions).

Enhancing tumour is label 4 until 2022 and label 3 from 2023 on, where 4 may be a resection cavity. A label
that the edition does not have is an error here; the organisers' programs silently take it for background.
Each edition has one protocol, so numbers of two protocols never share a column. CaPTk's program for HD95 is
not public; the pooled HD95 (medpy) stands for it.

Two-dimensional networks see axial slices with t1c, t2f and t2w as their three channels; t1n is left out, and
a file that is not there is an empty channel.
"""

from __future__ import annotations

import functools
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.brats.editions import EDITIONS, OLD_NAMES, Edition
from medbench.challenges.brats.exchange import BraTSExchange
from medbench.challenges.brats.files import BraTSRelease
from medbench.challenges.brats.scoring import FAILURE_RULE, BraTSScorer
from medbench.challenges.card import Card

_PUBLISHED_ORDER = (
    "t2w", "t1c", "t1n", "t2f", "t1c t2w", "t1c t1n", "t2f t1n", "t1n t2w", "t2f t2w", "t2f t1c",
    "t2f t1c t1n", "t2f t1n t2w", "t2f t1c t2w", "t1c t1n t2w", "t2f t1c t1n t2w",
)  # fmt: skip


def brats(name: str) -> Challenge:
    """Segmentation of brain tumours: one edition of BraTS.

    Args:
        name: key of :data:`EDITIONS`.
    """
    title, edition = EDITIONS[name]
    several = len(edition.suffixes) > 1
    card = Card(
        name=name,
        title=title,
        summary=(
            "three-dimensional segmentation of brain tumours in four MR modalities"
            if several
            else "segmentation of gross tumour volumes in MR"
        ),
        labels=edition.labels,
        regions=edition.named_regions(),
        metrics=tuple(spec for spec, _, _ in edition.columns()),
        failure_rule=FAILURE_RULE,
        modalities={modality: (OLD_NAMES[modality],) for modality in edition.suffixes},
        modality_combinations=_combinations(edition),
        published_file=Path(__file__).parent / "published.toml",
        citation=(
            "The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), doi 10.1109/TMI.2014.2377694"
        ),
        license="by registration with the organisers; CC BY-NC 4.0 for most cohorts",
        homepage="https://www.synapse.org/brats",
    )
    release = BraTSRelease(card, edition)
    return Challenge(card, release, BraTSExchange(card, release), BraTSScorer(card, release))


def _combinations(edition: Edition) -> tuple[tuple[str, ...], ...]:
    """All 15 subsets of four modalities in the order of RFNet, mmFormer and PASSION; else empty."""
    if len(edition.suffixes) < len(OLD_NAMES):
        return ()
    return tuple(tuple(names.split()) for names in _PUBLISHED_ORDER)


brats2018 = functools.partial(brats, "brats2018")
brats2019 = functools.partial(brats, "brats2019")
brats2020 = functools.partial(brats, "brats2020")
brats2021 = functools.partial(brats, "brats2021")
brats2023_gli = functools.partial(brats, "brats2023_gli")
brats2023_ssa = functools.partial(brats, "brats2023_ssa")
brats2023_ped = functools.partial(brats, "brats2023_ped")
brats2023_men = functools.partial(brats, "brats2023_men")
brats2023_met = functools.partial(brats, "brats2023_met")
brats2024_gli = functools.partial(brats, "brats2024_gli")
brats2024_men_rt = functools.partial(brats, "brats2024_men_rt")
brats2024_ssa = functools.partial(brats, "brats2024_ssa")
brats2024_met = functools.partial(brats, "brats2024_met")
brats2024_ped = functools.partial(brats, "brats2024_ped")
brats2025_gli = functools.partial(brats, "brats2025_gli")
brats2025_ssa = functools.partial(brats, "brats2025_ssa")
brats2025_ped = functools.partial(brats, "brats2025_ped")
brats2025_met = functools.partial(brats, "brats2025_met")
