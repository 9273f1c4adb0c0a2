"""Training with modalities that some patients never have, each modality missing at a rate of its own.

The protocol of "imperfect data training" and its random numbers: Jun-Jie-Shi/PASSION@fd308b5 (Apache-2.0),
whose eight assignments for the 219 training patients of BraTS 2020 :func:`imbalanced_masks` reproduces.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from medbench.core.errors import MedbenchError
from medbench.core.registry import nearest_names

if TYPE_CHECKING:
    from medbench.core.sample import TrainingVolume

SEED = 1037
_SKIPPED_DRAWS = 4
_FOUR = "1111 1101 1110 1100 1011 1010 1001 1000 0111 0101 0110 0100 0011 0010 0001"


def imbalanced_masks(count: int, missing_rates: Sequence[float], seed: int = SEED) -> npt.NDArray[np.bool_]:
    """Which of ``M`` modalities each of ``count`` patients has; patients are in the order of their names.

    Every pattern of modalities gets its expected share of the patients, at least one; each patient left over
    draws again until a modality is present. The order of the modalities decides the random numbers: the eight
    published assignments take T1, T1ce, FLAIR, T2.

    Args:
        count: patients.
        missing_rates: rate of each modality, from 0 to below 1.
        seed: of numpy's legacy generator, whose stream the published lists come from.

    Returns:
        Boolean ``(count, M)``, in the order of the rates; every patient has at least one modality.
    """
    number = len(missing_rates)
    _check_rates(missing_rates)
    stream = np.random.RandomState(seed)
    for _ in range(_SKIPPED_DRAWS):
        stream.rand(count)
    masks = np.zeros((count, number), bool)
    row = 0
    for pattern in _patterns(number):
        share = float(count)
        for there, rate in zip(pattern, missing_rates, strict=True):
            share *= 1 - rate if there else rate
        rows = max(1, int(share))
        masks[row : row + rows] = pattern
        row += rows
    state = stream.get_state()
    for column in masks.T:
        stream.set_state(state)
        stream.shuffle(column)
    for mask in masks:
        while not mask.any():
            mask[:] = [float(stream.rand(1)[0]) > rate for rate in missing_rates]
    return masks


def _check_rates(rates: Sequence[float]) -> None:
    if not rates or not all(0 <= rate < 1 for rate in rates):
        raise MedbenchError(
            "training.missing_rates",
            f"The missing rates {list(rates)} are not numbers from 0 to below 1.",
            "Give one for each modality, such as 't1=0.2 t1ce=0.4 flair=0.6 t2=0.8'.",
        )


def _patterns(number: int) -> list[tuple[bool, ...]]:
    """All non-empty subsets of modalities, in the order of the published program."""
    if number == 4:
        return [tuple(mark == "1" for mark in pattern) for pattern in _FOUR.split()]
    return [pattern for pattern in itertools.product((True, False), repeat=number) if any(pattern)]


def rates_by_channel(
    text: str, modalities: Mapping[str, Sequence[str]]
) -> tuple[tuple[float, ...], list[int]]:
    """Missing rates in the order of the text, and the channel of each.

    Args:
        text: such as ``t1=0.2 t1ce=0.4 flair=0.6 t2=0.8``.
        modalities: name of every channel -> other names of it.

    Raises:
        MedbenchError: ``training.missing_rates`` or ``modality.unknown``.
    """
    channels = {
        other.lower(): channel
        for channel, (name, others) in enumerate(modalities.items())
        for other in (name, *others)
    }
    rates, places = [], []
    for part in text.replace(",", " ").split():
        name, _, rate = part.partition("=")
        if name.lower() not in channels:
            near = nearest_names(name.lower(), channels)[:1]
            hint = (
                f"{f'Did you mean {near[0]}? ' if near else ''}Set missing_rates to shares for "
                f"{', '.join(modalities)}, such as '{_example(modalities)}'."
            )
            raise MedbenchError("modality.unknown", f"missing_rates: there is no modality '{name}'.", hint)
        places.append(channels[name.lower()])
        try:
            rates.append(float(rate))
        except ValueError:
            places.append(-1)
    if sorted(places) != list(range(len(modalities))):
        raise MedbenchError(
            "training.missing_rates",
            f"The missing rates '{text}' do not name every modality once, each with a number.",
            f"Give one for each of {', '.join(modalities)}, such as '{_example(modalities)}'.",
        )
    _check_rates(rates)
    return tuple(rates), places


def _example(modalities: Mapping[str, Sequence[str]]) -> str:
    return " ".join(f"{name}=0.5" for name in modalities)


Listing = Callable[[Mapping[str, float]], Mapping[str, Sequence[str]]]
"""From the missing rate of every modality to a published list: patient -> modalities that the patient has."""


def patient_masks(
    groups: Sequence[str],
    text: str,
    modalities: Mapping[str, Sequence[str]],
    listing: Listing | None = None,
) -> npt.NDArray[np.bool_]:
    """Which modalities each case has, the same for all cases of a patient; ``(cases, channels)``.

    Args:
        groups: the patient of every case.
        text: missing rates as :func:`rates_by_channel` takes them.
        modalities: name of every channel -> other names of it.
        listing: gives the patients of a published list their modalities; the others draw theirs.

    Raises:
        MedbenchError: as :func:`rates_by_channel`.
    """
    rates, places = rates_by_channel(text, modalities)
    names = list(modalities)
    rate_of = {names[place]: rate for place, rate in zip(places, rates, strict=True)}
    by_patient = listing({name: rate_of[name] for name in names}) if listing is not None else {}
    masks = {
        patient: np.array([name in by_patient[patient] for name in names])
        for patient in set(groups)
        if patient in by_patient
    }
    others = sorted(set(groups) - set(masks))
    draws = np.zeros((len(others), len(places)), bool)
    if others:
        draws[:, places] = imbalanced_masks(len(others), rates)
    masks.update(zip(others, draws, strict=True))
    return np.stack([masks[group] for group in groups])


def with_missing(
    volumes: Sequence[TrainingVolume],
    text: str,
    modalities: Mapping[str, Sequence[str]],
    listing: Listing | None = None,
) -> list[TrainingVolume]:
    """Volumes limited to the modalities of :func:`patient_masks`; a volume with none of these keeps its own.

    Args:
        volumes: of all patients.
        text: missing rates as :func:`rates_by_channel` takes them.
        modalities: name of every channel -> other names of it.
        listing: as for :func:`patient_masks`.

    Raises:
        MedbenchError: as :func:`rates_by_channel`.
    """
    masks = patient_masks([volume.group for volume in volumes], text, modalities, listing)
    visible = []
    for volume, mask in zip(volumes, masks, strict=True):
        both = mask & np.array(volume.visible or (True,) * len(mask), bool)
        visible.append(dataclasses.replace(volume, visible=tuple(map(bool, both))) if both.any() else volume)
    return visible


def random_subset(present: npt.NDArray[np.bool_], rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A random non-empty subset of the present modalities, all subsets equally likely."""
    there = np.flatnonzero(present)
    pattern = int(rng.integers(1, 2 ** len(there)))
    subset = np.zeros_like(present)
    subset[there] = [bool(pattern >> place & 1) for place in range(len(there))]
    return subset


def expected_counts(masks: npt.NDArray[np.bool_], *, subsets: bool) -> npt.NDArray[np.float64]:
    """Expected number of samples of an epoch that show each modality, ``(channels,)``.

    Args:
        masks: which modalities every sample has, ``(samples, channels)``.
        subsets: whether each sample shows a random non-empty subset of its modalities.

    >>> expected_counts(np.ones((15, 4), bool), subsets=True)
    array([8., 8., 8., 8.])
    """
    shares = [
        float(Fraction(2 ** (int(n) - 1), 2 ** int(n) - 1)) if subsets else 1.0 for n in masks.sum(axis=1)
    ]
    return np.asarray(masks.T @ np.array(shares), np.float64)
