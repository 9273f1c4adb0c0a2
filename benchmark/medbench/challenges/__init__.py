"""Challenges: one file each, with its layout, labels, official scoring, declared rules and sample."""

from __future__ import annotations

from medbench.challenges.base import Challenge
from medbench.core.registry import Registry

REGISTRY: Registry[type[Challenge]] = Registry(
    "challenge",
    {
        "cvc_clinicdb": "medbench.challenges.cvc_clinicdb.challenge:CVCClinicDB",
        "brats2018": "medbench.challenges.brats.challenge:BRATS2018",
        "brats2019": "medbench.challenges.brats.challenge:BRATS2019",
        "brats2020": "medbench.challenges.brats.challenge:BRATS2020",
        "brats2021": "medbench.challenges.brats.challenge:BRATS2021",
        "brats2023_gli": "medbench.challenges.brats.challenge:BRATS2023_GLI",
        "brats2023_ssa": "medbench.challenges.brats.challenge:BRATS2023_SSA",
        "brats2023_ped": "medbench.challenges.brats.challenge:BRATS2023_PED",
        "brats2023_men": "medbench.challenges.brats.challenge:BRATS2023_MEN",
        "brats2023_met": "medbench.challenges.brats.challenge:BRATS2023_MET",
        "brats2024_gli": "medbench.challenges.brats.challenge:BRATS2024_GLI",
        "brats2024_men_rt": "medbench.challenges.brats.challenge:BRATS2024_MEN_RT",
        "brats2024_ssa": "medbench.challenges.brats.challenge:BRATS2024_SSA",
        "brats2024_met": "medbench.challenges.brats.challenge:BRATS2024_MET",
        "brats2024_ped": "medbench.challenges.brats.challenge:BRATS2024_PED",
        "brats2025_gli": "medbench.challenges.brats.challenge:BRATS2025_GLI",
        "brats2025_met": "medbench.challenges.brats.challenge:BRATS2025_MET",
        "hc18": "medbench.challenges.hc18.challenge:hc18",
        "isic2018": "medbench.challenges.isic2018.challenge:ISIC2018",
        "iugc2024": "medbench.challenges.iugc2024.challenge:iugc2024",
        "kpis_patch": "medbench.challenges.kpis.patches:kpis_patch",
        "kpis_slide": "medbench.challenges.kpis.slides:kpis_slide",
        "myops2020": "medbench.challenges.myops2020.challenge:MyoPS2020",
        "psfhs": "medbench.challenges.psfhs.challenge:PSFHS",
        "synapse": "medbench.challenges.synapse.challenge:synapse",
    },
)


def list_challenges(pattern: str = "*") -> list[str]:
    """Names of the challenges that match a shell-style pattern."""
    return REGISTRY.names(pattern)


def load_challenge(name: str) -> Challenge:
    """The challenge of that name.

    Raises:
        MedbenchError: ``challenge.unknown`` with the nearest names.
    """
    return REGISTRY.get(name)()


def load_data_set(name: str) -> Challenge:
    """The challenge of that name, or the first of those that share a release of that name.

    Raises:
        MedbenchError: ``challenge.unknown`` with the nearest names.
    """
    names = list_challenges()
    sharing = [other for other in names if other.startswith(name)] if name not in names else []
    found = (load_challenge(other) for other in sharing)
    return next((challenge for challenge in found if challenge.data_set == name), None) or load_challenge(
        name
    )
