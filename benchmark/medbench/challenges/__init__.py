"""Challenges: each a folder with its card, files, official scoring, failure rule and synthetic sample."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterator
from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.core.errors import MedbenchError
from medbench.core.plugins import broken
from medbench.core.project import Project, current_project
from medbench.core.registry import Registry, unknown_name

REGISTRY: Registry[Callable[[], Challenge]] = Registry(
    "challenge",
    {
        "cvc_clinicdb": "medbench.challenges.cvc_clinicdb.challenge:cvc_clinicdb",
        "cvc_clinicdb_boxes": "medbench.challenges.cvc_clinicdb_boxes.challenge:cvc_clinicdb_boxes",
        "kvasir_polyp": "medbench.challenges.kvasir_polyp.challenge:kvasir_polyp",
        "brats2018": "medbench.challenges.brats.challenge:brats2018",
        "brats2019": "medbench.challenges.brats.challenge:brats2019",
        "brats2020": "medbench.challenges.brats.challenge:brats2020",
        "brats2021": "medbench.challenges.brats.challenge:brats2021",
        "brats2023_gli": "medbench.challenges.brats.challenge:brats2023_gli",
        "brats2023_ssa": "medbench.challenges.brats.challenge:brats2023_ssa",
        "brats2023_ped": "medbench.challenges.brats.challenge:brats2023_ped",
        "brats2023_men": "medbench.challenges.brats.challenge:brats2023_men",
        "brats2023_met": "medbench.challenges.brats.challenge:brats2023_met",
        "brats2024_gli": "medbench.challenges.brats.challenge:brats2024_gli",
        "brats2024_men_rt": "medbench.challenges.brats.challenge:brats2024_men_rt",
        "brats2024_ssa": "medbench.challenges.brats.challenge:brats2024_ssa",
        "brats2024_met": "medbench.challenges.brats.challenge:brats2024_met",
        "brats2024_ped": "medbench.challenges.brats.challenge:brats2024_ped",
        "brats2025_gli": "medbench.challenges.brats.challenge:brats2025_gli",
        "brats2025_ssa": "medbench.challenges.brats.challenge:brats2025_ssa",
        "brats2025_ped": "medbench.challenges.brats.challenge:brats2025_ped",
        "brats2025_met": "medbench.challenges.brats.challenge:brats2025_met",
        "acdc": "medbench.challenges.acdc.challenge:acdc",
        "brain_tumor_mri": "medbench.challenges.brain_tumor_mri.challenge:brain_tumor_mri",
        "chexpert": "medbench.challenges.chexpert.challenge:chexpert",
        "covidx": "medbench.challenges.covidx.challenge:covidx",
        "siim_pneumothorax": "medbench.challenges.siim_pneumothorax.challenge:siim_pneumothorax",
        "colonpath": "medbench.challenges.colonpath.challenge:colonpath",
        "isic2018_task3": "medbench.challenges.isic2018_task3.challenge:isic2018_task3",
        "hc18": "medbench.challenges.hc18.challenge:hc18",
        "isic2018": "medbench.challenges.isic2018.challenge:isic2018",
        "iugc2024": "medbench.challenges.iugc2024.challenge:iugc2024",
        "iugc2025": "medbench.challenges.iugc2025.challenge:iugc2025",
        "kpis_patch": "medbench.challenges.kpis.patches:kpis_patch",
        "kpis_slide": "medbench.challenges.kpis.slides:kpis_slide",
        "mimic_cxr": "medbench.challenges.mimic_cxr.challenge:mimic_cxr",
        "myops2020": "medbench.challenges.myops2020.challenge:myops2020",
        "object_cxr": "medbench.challenges.object_cxr.challenge:object_cxr",
        "rsna_pneumonia": "medbench.challenges.rsna_pneumonia.challenge:rsna_pneumonia",
        "rsna_pneumonia_boxes": "medbench.challenges.rsna_pneumonia.challenge:rsna_pneumonia_boxes",
        "rsna_pneumonia_masks": "medbench.challenges.rsna_pneumonia.challenge:rsna_pneumonia_masks",
        "psfhs": "medbench.challenges.psfhs.challenge:psfhs",
        "summe": "medbench.challenges.summe.challenge:summe",
        "synapse": "medbench.challenges.synapse.challenge:synapse",
        "tvsum": "medbench.challenges.tvsum.challenge:tvsum",
    },
)


def register_challenge(name: str, factory: Callable[[], Challenge]) -> Callable[[], Challenge]:
    """Register a challenge under its name.

    An installed package registers by an entry point of the group ``medbench.challenges``, with the
    challenge's name and the factory as object, and is imported on first use.

    Args:
        name: name on the command line, equal to the card's.
        factory: called without arguments, returns the :class:`Challenge`; must be fast, as every command
            calls it.

    Raises:
        MedbenchError: ``challenge.factory`` when the factory does not return a challenge of that name,
            ``challenge.clash`` when the name is taken.
    """
    _checked(name, factory)
    REGISTRY.add(name, factory)
    return factory


def _checked(name: str, factory: Callable[[], Challenge]) -> Challenge:
    try:
        challenge = factory()
    except MedbenchError:
        raise
    except Exception as error:
        raise broken(f"challenge {name}", error) from error
    if not isinstance(challenge, Challenge):
        raise MedbenchError(
            "challenge.factory",
            f"The factory of challenge '{name}' returns {type(challenge).__name__}, not a Challenge.",
            "Return medbench.challenges.base.Challenge(card, release, exchange, scorer).",
        )
    if challenge.name != name:
        raise MedbenchError(
            "challenge.factory",
            f"The challenge registered as '{name}' calls itself '{challenge.name}' on its card.",
            "Give both the same name.",
        )
    return challenge


def list_challenges(pattern: str = "*") -> list[str]:
    """Names of the challenges that match a shell-style pattern, those of the project file included."""
    return sorted({*REGISTRY.names(pattern), *fnmatch.filter(_declared().data, pattern)})


def _declared() -> Project:
    """The project of the working folder; one that cannot be read is logged and left out."""
    try:
        return current_project()
    except MedbenchError as error:
        REGISTRY.report(error)
        return Project()


def challenge_factory(name: str) -> Callable[[], Challenge]:
    """The factory of a challenge of the registry or of the project file.

    Raises:
        MedbenchError: ``challenge.unknown`` with the nearest names, ``challenge.folder`` for the name of a
            folder, ``challenge.clash`` for a declared data set with the name of a challenge, or as the
            project file's and the declaration's own reading.
    """
    if name in REGISTRY:
        if name in _declared().data:
            raise MedbenchError(
                "challenge.clash",
                f"{_declared().path}: [data.{name}] has the name of a challenge that medbench has.",
                "Rename the data set.",
            )
        return REGISTRY.get(name)
    project = current_project()
    if name in project.data:
        from medbench.challenges.declared.challenge import declared_factory

        return declared_factory(project, name)
    if Path(name).is_dir():
        raise MedbenchError(
            "challenge.folder",
            f"'{name}' is no challenge, but it is a folder.",
            f"For your own data: medbench data init {name}.",
        )
    raise unknown_name("challenge", name, list_challenges())


def all_challenges(pattern: str = "*") -> Iterator[Challenge]:
    """Challenges that match a shell-style pattern; one that cannot be loaded is logged and left out."""
    for name in list_challenges(pattern):
        try:
            yield load_challenge(name)
        except MedbenchError as error:
            REGISTRY.report(error)


def load_challenge(name: str) -> Challenge:
    """The challenge of that name, of the registry or declared in the project file.

    Raises:
        MedbenchError: as :func:`challenge_factory`; ``challenge.factory`` or ``plugin.broken`` where a
            plug-in's factory fails.
    """
    return _checked(name, challenge_factory(name))


def load_data_set(name: str) -> Challenge:
    """The challenge of that name, or the first challenge whose release has that name.

    Raises:
        MedbenchError: ``challenge.unknown`` with the nearest names.
    """
    names = list_challenges()
    sharing = [other for other in names if other.startswith(name)] if name not in names else []
    challenges = (load_challenge(other) for other in sharing)
    owner = next((challenge for challenge in challenges if challenge.release.data_set == name), None)
    return owner or load_challenge(name)
