"""The editions of BraTS: file names, labels, regions and protocols. Sources as in :mod:`.challenge`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from medbench.core.result_table import MetricSpec
from medbench.core.score import Better

OLD_NAMES = {"t2f": "flair", "t1c": "t1ce", "t1n": "t1", "t2w": "t2"}
NEW_NAMES = {name: name for name in OLD_NAMES}
UNTIL_2022 = {0: "background", 1: "necrosis and non-enhancing tumour", 2: "oedema", 4: "enhancing tumour"}
FROM_2023 = {0: "background", 1: "necrosis", 2: "surrounding oedema", 3: "enhancing tumour"}
CAVITY = {4: "resection cavity"}
GLIOMA_UNTIL_2022 = {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
GLIOMA = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
PAEDIATRIC_REGIONS = {"WT": (1, 2, 3, 4), "TC": (1, 2, 3), "ET": (1,)}
PAEDIATRIC_TISSUES = {**PAEDIATRIC_REGIONS, "NET": (2,), "CC": (3,), "ED": (4,)}
PAEDIATRIC = {0: "background", 1: "enhancing tumour", 2: "non-enhancing tumour", 3: "cyst", 4: "oedema"}


REGION_NAMES: Mapping[str, tuple[str, ...]] = {
    "WT": ("whole tumour", "whole tumor", "whole"),
    "TC": ("tumour core", "tumor core", "core"),
    "ET": ("enhancing tumour", "enhancing tumor", "enhancing"),
}
"""Region -> what others call it."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure that a protocol reports for every region.

    Attributes:
        name: column name before the region.
        title: heading before the region.
        convention: metric id, ``{rule}`` to be filled in.
        unit: ``mm`` or empty.
        better: direction.
        penalty: score of a failed or missing case.
        empty: rule for empty masks, where it is not that of the convention.
        headline: shown in the short table.
        variant: suffix of the protocol's name; columns of two variants never share a table.
    """

    name: str
    title: str
    convention: str
    unit: str
    better: Better
    penalty: float
    empty: str = "definition"
    headline: bool = True
    variant: str = ""


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
_LINEAGE = "as papers on missing modalities"
_CORRECTED = "corrected"
PROTOCOLS: Mapping[str, tuple[Measure, ...]] = {
    "brats2022": (
        *_overlap("agree", Measure("hd95", "HD95", "hd95.pooled", "mm", "lower", 374.0, "diagonal")),
        Measure("lineage_dice", "Dice", "dice.epsilon", "", "higher", 0.0, variant=_LINEAGE),
        Measure(
            "lineage_hd95", "HD95", "hd95.pooled", "mm", "lower", 1.0, "incomplete_modality", variant=_LINEAGE
        ),
    ),
    "brats2023": (
        *_LESIONWISE,
        *_overlap("agree", Measure("hd95", "HD95", "hd95.area", "mm", "lower", 374.0, "brats2023", False)),
    ),
    "brats2024": (
        *_LESIONWISE,
        Measure("lesion_nsd", "LW NSD 1 mm", "nsd.lesionwise.{rule}", "", "higher", 0.0),
    ),
    "brats2025_lesionwise": (
        _LESIONWISE[0],
        Measure("lesion_nsd_half", "LW NSD 0.5 mm", "nsd.lesionwise.{rule}.half_mm", "", "higher", 0.0),
        Measure("lesion_nsd", "LW NSD 1 mm", "nsd.lesionwise.{rule}", "", "higher", 0.0),
        dataclasses.replace(_LESIONWISE[1], headline=False),
    ),
    "brats2025": (
        Measure("dice", "Dice", "dice", "", "higher", 0.0),
        Measure("hd95", "HD95", "hd95.brats2025", "mm", "lower", 373.0),
        Measure("nsd", "NSD", "nsd.brats2025", "", "higher", 0.0),
        Measure("f1", "F1", "f1.brats2025", "", "higher", 0.0),
        Measure(
            "corrected_hd95", "HD95", "hd95.brats2025.corrected", "mm", "lower", 373.0, variant=_CORRECTED
        ),
        Measure("corrected_nsd", "NSD", "nsd.brats2025.corrected", "", "higher", 0.0, variant=_CORRECTED),
    ),
    "brats2025_mets": (
        Measure("lesion_dice", "LW Dice", "dice.brats2025_mets", "", "higher", 0.0),
        Measure("lesion_nsd", "LW NSD", "nsd.brats2025_mets", "", "higher", 0.0),
        Measure("lesion_hd95", "LW HD95", "hd95.brats2025_mets", "mm", "lower", 373.0),
        Measure(
            "corrected_lesion_nsd",
            "LW NSD",
            "nsd.brats2025_mets.corrected",
            "",
            "higher",
            0.0,
            variant=_CORRECTED,
        ),
        Measure(
            "corrected_lesion_hd95",
            "LW HD95",
            "hd95.brats2025_mets.corrected",
            "mm",
            "lower",
            373.0,
            variant=_CORRECTED,
        ),
    ),
}


@dataclass(frozen=True, slots=True)
class Edition:
    """Facts of one edition of BraTS: a year and cohort.

    Attributes:
        protocol: key of :data:`PROTOCOLS`.
        labels: label -> name.
        regions: region -> labels.
        rule: lesion rule of the metrics, where the protocol is lesion-wise.
        tissue_rules: region -> lesion rule, for regions whose lesions join through other tissues.
        suffixes: modality -> its suffix in file names, in the order of a volume's channels.
        separator: between the case and the modality.
        reference: suffix of the label map in file names.
        example: name of a case, with ``{}`` for its number.
        penalty_mm: lesion-wise HD95 of a failed case; ``None`` is the image's diagonal in voxels.
        assumptions: what of the protocol no public document states; it stands beside the protocol's name.
    """

    protocol: str
    labels: Mapping[int, str] = field(default_factory=lambda: FROM_2023)
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: GLIOMA)
    rule: str = ""
    tissue_rules: Mapping[str, str] = field(default_factory=dict)
    suffixes: Mapping[str, str] = field(default_factory=lambda: NEW_NAMES)
    separator: str = "-"
    reference: str = "seg"
    example: str = ""
    penalty_mm: float | None = 374.0
    assumptions: str = ""

    def named_regions(self) -> dict[str, tuple[int, ...]]:
        """Labels of every region by each of its names."""
        return {
            name: labels
            for region, labels in self.regions.items()
            for name in (region, *REGION_NAMES.get(region, ()))
        }

    def columns(self) -> list[tuple[MetricSpec, Measure, str]]:
        """Every column with its measure and region."""
        return [
            (
                MetricSpec(
                    f"{measure.name}_{region.lower()}",
                    f"{measure.title} {region}",
                    measure.unit,
                    measure.better,
                    measure.convention.format(rule=self.tissue_rules.get(region, self.rule)),
                    (0.0, None if measure.unit else 1.0),
                    headline=measure.headline,
                    protocol=", ".join(
                        part for part in (self.protocol, measure.variant, self.assumptions) if part
                    ),
                ),
                measure,
                region,
            )
            for measure in PROTOCOLS[self.protocol]
            for region in self.regions
        ]


_TISSUES = {region: f"brats2024_gli_{region.lower()}" for region in ("ET", "NETC", "SNFH", "RC")}
_GLIOMA_AND_TISSUES = {**GLIOMA, "NETC": (1,), "SNFH": (2,), "RC": (4,)}
_WITH_CAVITY = {**FROM_2023, **CAVITY}


def _until_2022(example: str) -> Edition:
    return Edition(
        "brats2022", UNTIL_2022, GLIOMA_UNTIL_2022, suffixes=OLD_NAMES, separator="_", example=example
    )


def _lesionwise(year: int, cohort: str, **others: Any) -> Edition:
    facts = {"rule": f"brats{year}_{cohort}", "example": f"BraTS-{cohort.upper()}-{{:05d}}-000", **others}
    return Edition(f"brats{year}", **facts)


def _lesionwise_2025(cohort: str, **others: Any) -> Edition:
    """An edition of 2025 with lesion-wise Dice and surface Dice at 0.5 and 1 mm, as entrants report them.

    Sources: arXiv 2507.23256 (SSA) and 2511.00449 (PED), results of the validation board. No public document
    states which lesions are joined or left out; those of the 2024 program, whose columns these are, stand in.
    """
    facts = {"rule": f"brats2024_{cohort}", "example": f"BraTS-{cohort.upper()}-{{:05d}}-000", **others}
    return Edition("brats2025_lesionwise", assumptions="lesions as in 2024 (assumed)", **facts)


EDITIONS: Mapping[str, tuple[str, Edition]] = {
    "brats2018": ("BraTS 2018", _until_2022("Brats18_MED_{:03d}_1")),
    "brats2019": ("BraTS 2019", _until_2022("BraTS19_MED_{:03d}_1")),
    "brats2020": ("BraTS 2020", _until_2022("BraTS20_Training_{:03d}")),
    "brats2021": ("BraTS 2021", _until_2022("BraTS2021_{:05d}")),
    "brats2023_gli": ("BraTS 2023 glioma", _lesionwise(2023, "gli")),
    "brats2023_ssa": ("BraTS 2023 Africa", _lesionwise(2023, "ssa")),
    "brats2023_ped": ("BraTS 2023 paediatric", _lesionwise(2023, "ped")),
    "brats2023_men": ("BraTS 2023 meningioma", _lesionwise(2023, "men")),
    "brats2023_met": ("BraTS 2023 metastases", _lesionwise(2023, "met")),
    "brats2024_gli": (
        "BraTS 2024 glioma after treatment",
        _lesionwise(
            2024, "gli", labels=_WITH_CAVITY, regions=_GLIOMA_AND_TISSUES, tissue_rules=_TISSUES,
            example="BraTS-GLI-{:05d}-100", penalty_mm=337.0,
        ),
    ),
    "brats2024_ssa": ("BraTS 2024 Africa", _lesionwise(2024, "ssa")),
    "brats2024_met": ("BraTS 2024 metastases", _lesionwise(2024, "met", penalty_mm=None)),
    "brats2024_ped": (
        "BraTS 2024 paediatric",
        _lesionwise(2024, "ped", labels=PAEDIATRIC, regions=PAEDIATRIC_REGIONS),
    ),
    "brats2024_men_rt": (
        "BraTS 2024 meningioma before radiotherapy",
        _lesionwise(
            2024, "men_rt", labels={0: "background", 1: "gross tumour volume"}, regions={"GTV": (1,)},
            suffixes={"t1c": "t1c"}, separator="_", reference="gtv", example="BraTS-MEN-RT-{:04d}-1",
            penalty_mm=None,
        ),
    ),
    "brats2025_gli": (
        "BraTS 2025 glioma",
        Edition(
            "brats2025", _WITH_CAVITY, _GLIOMA_AND_TISSUES, example="BraTS-GLI-{:05d}-100",
            penalty_mm=373.0,
        ),
    ),
    "brats2025_ssa": ("BraTS 2025 Africa", _lesionwise_2025("ssa")),
    "brats2025_ped": (
        "BraTS 2025 paediatric",
        _lesionwise_2025("ped", labels=PAEDIATRIC, regions=PAEDIATRIC_TISSUES),
    ),
    "brats2025_met": (
        "BraTS 2025 metastases",
        Edition(
            "brats2025_mets", _WITH_CAVITY, {**GLIOMA, "RC": (4,)}, example="BraTS-MET-{:05d}-000",
            penalty_mm=373.0,
        ),
    ),
}  # fmt: skip
