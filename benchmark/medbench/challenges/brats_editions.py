"""The editions of BraTS: file names, labels, regions and protocols. Sources as in :mod:`.brats`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from medbench.challenges.base import MetricSpec
from medbench.core.score import Better

OLD_NAMES = {"t1n": "t1", "t1c": "t1ce", "t2w": "t2", "t2f": "flair"}
NEW_NAMES = {name: name for name in OLD_NAMES}
UNTIL_2022 = {0: "background", 1: "necrosis and non-enhancing tumour", 2: "oedema", 4: "enhancing tumour"}
FROM_2023 = {0: "background", 1: "necrosis", 2: "surrounding oedema", 3: "enhancing tumour"}
CAVITY = {4: "resection cavity"}
GLIOMA_UNTIL_2022 = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
GLIOMA = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
PAEDIATRIC = {0: "background", 1: "enhancing tumour", 2: "non-enhancing tumour", 3: "cyst", 4: "oedema"}


@dataclass(frozen=True, slots=True)
class Measure:
    """What a protocol reports of every region.

    Attributes:
        name: column name before the region.
        title: heading before the region.
        convention: metric id, ``{rule}`` to be filled in.
        unit: ``mm`` or empty.
        better: direction.
        penalty: what a failed or missing case scores.
        empty: rule for empty masks, if not the definition's.
        headline: shown in the short table.
    """

    name: str
    title: str
    convention: str
    unit: str
    better: Better
    penalty: float
    empty: str = "definition"
    headline: bool = True


def _overlap(empty_dice: str, hd95: Measure) -> tuple[Measure, ...]:
    return (
        Measure("dice", "Dice", "dice", "", "higher", 0.0, empty_dice, hd95.headline),
        hd95,
        Measure("sensitivity", "Sens", "sensitivity", "", "higher", 0.0, "brats_sensitivity", headline=False),
        Measure("specificity", "Spec", "specificity", "", "higher", 0.0, headline=False),
    )


_LESIONWISE = (
    Measure("lesion_dice", "LW Dice", "dice.lesionwise.{rule}", "", "higher", 0.0),
    Measure("lesion_hd95", "LW HD95", "hd95.lesionwise.{rule}", "mm", "lower", math.nan),
)
PROTOCOLS: Mapping[str, tuple[Measure, ...]] = {
    "brats2022": _overlap("agree", Measure("hd95", "HD95", "hd95.pooled", "mm", "lower", 374.0, "diagonal")),
    "brats2023": (
        *_LESIONWISE,
        *_overlap("agree", Measure("hd95", "HD95", "hd95.area", "mm", "lower", 374.0, "brats2023", False)),
    ),
    "brats2024": (
        *_LESIONWISE,
        Measure("lesion_nsd", "LW NSD 1 mm", "nsd.lesionwise.{rule}", "", "higher", 0.0),
    ),
    "brats2025": (
        Measure("dice", "Dice", "dice", "", "higher", 0.0),
        Measure("hd95", "HD95", "hd95.brats2025", "mm", "lower", 373.0),
        Measure("nsd", "NSD", "nsd.brats2025", "", "higher", 0.0),
        Measure("f1", "F1", "f1.brats2025", "", "higher", 0.0),
    ),
    "brats2025_mets": (
        Measure("lesion_dice", "LW Dice", "dice.brats2025_mets", "", "higher", 0.0),
        Measure("lesion_nsd", "LW NSD", "nsd.brats2025_mets", "", "higher", 0.0),
        Measure("lesion_hd95", "LW HD95", "hd95.brats2025_mets", "mm", "lower", 373.0),
    ),
}


@dataclass(frozen=True, slots=True)
class Edition:
    """What differs between the years and cohorts.

    Attributes:
        protocol: key of :data:`PROTOCOLS`.
        labels: label -> name.
        regions: region -> labels.
        rule: lesion rule of the metrics, where the protocol is lesion-wise.
        suffixes: modality -> how the file name calls it.
        separator: between the case and the modality.
        penalty_mm: lesion-wise HD95 of a failed case.
    """

    protocol: str
    labels: Mapping[int, str] = field(default_factory=lambda: FROM_2023)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: GLIOMA)
    rule: str = ""
    suffixes: Mapping[str, str] = field(default_factory=lambda: NEW_NAMES)
    separator: str = "-"
    penalty_mm: float = 374.0

    def columns(self) -> list[tuple[MetricSpec, Measure, str]]:
        """Every column with its measure and region."""
        return [
            (
                MetricSpec(
                    f"{measure.name}_{region.lower()}",
                    f"{measure.title} {region}",
                    measure.unit,
                    measure.better,
                    measure.convention.format(rule=self.rule),
                    (0.0, None if measure.unit else 1.0),
                    headline=measure.headline,
                    protocol=self.protocol,
                ),
                measure,
                region,
            )
            for measure in PROTOCOLS[self.protocol]
            for region in self.regions
        ]


_OLD = Edition("brats2022", UNTIL_2022, GLIOMA_UNTIL_2022, suffixes=OLD_NAMES, separator="_")
EDITIONS: Mapping[str, tuple[str, Edition]] = {
    "brats2018": ("BraTS 2018", _OLD),
    "brats2019": ("BraTS 2019", _OLD),
    "brats2020": ("BraTS 2020", _OLD),
    "brats2021": ("BraTS 2021", _OLD),
    "brats2023_gli": ("BraTS 2023 glioma", Edition("brats2023", rule="brats2023_gli")),
    "brats2023_ssa": ("BraTS 2023 Africa", Edition("brats2023", rule="brats2023_ssa")),
    "brats2023_ped": ("BraTS 2023 paediatric", Edition("brats2023", rule="brats2023_ped")),
    "brats2023_men": ("BraTS 2023 meningioma", Edition("brats2023", rule="brats2023_men")),
    "brats2023_met": ("BraTS 2023 metastases", Edition("brats2023", rule="brats2023_met")),
    "brats2024_ssa": ("BraTS 2024 Africa", Edition("brats2024", rule="brats2024_ssa")),
    "brats2024_met": ("BraTS 2024 metastases", Edition("brats2024", rule="brats2024_met")),
    "brats2024_ped": (
        "BraTS 2024 paediatric",
        Edition(
            "brats2024", PAEDIATRIC, {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,)}, "brats2024_ped"
        ),
    ),
    "brats2025_gli": (
        "BraTS 2025 glioma",
        Edition("brats2025", {**FROM_2023, **CAVITY}, {**GLIOMA, "RC": (4,)}, penalty_mm=373.0),
    ),
    "brats2025_met": (
        "BraTS 2025 metastases",
        Edition("brats2025_mets", {**FROM_2023, **CAVITY}, {**GLIOMA, "RC": (4,)}, penalty_mm=373.0),
    ),
}  # fmt: skip
