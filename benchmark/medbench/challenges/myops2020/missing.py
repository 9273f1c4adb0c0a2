"""Modalities that the training patients of papers on missing modalities have.

The lists of Jun-Jie-Shi/HGA@f20ef65 (``MyoPS2020_longtail_split_357.csv`` and five more; Apache-2.0): each
patient lacks the same modalities in all epochs, at the rates 0.3, 0.5 and 0.7. The six lists are one, whose
rates go to other modalities.
"""

from __future__ import annotations

from collections.abc import Mapping

RATES = (0.3, 0.5, 0.7)
"""Missing rates in the order of the marks."""
MARKS: Mapping[int, str] = {
    101: "111",
    102: "001",
    103: "101",
    104: "100",
    105: "100",
    106: "100",
    108: "101",
    109: "010",
    110: "010",
    112: "100",
    113: "101",
    114: "100",
    116: "110",
    118: "111",
    119: "110",
    121: "111",
    122: "110",
    123: "011",
    124: "110",
    125: "110",
}
"""Number of a patient -> whether the patient has the modality missing at each of the rates."""


def listed_modalities(rates: Mapping[str, float]) -> dict[str, tuple[str, ...]]:
    """Modalities of each listed patient; empty for rates that no list was made for.

    Args:
        rates: missing rate of every modality.

    >>> listed_modalities({"C0": 0.3, "DE": 0.5, "T2": 0.7})["myops_training_103"]
    ('C0', 'T2')
    """
    if tuple(sorted(rates.values())) != RATES:
        return {}
    place = {modality: RATES.index(rate) for modality, rate in rates.items()}
    return {
        f"myops_training_{number}": tuple(name for name in rates if marks[place[name]] == "1")
        for number, marks in MARKS.items()
    }
