"""ACDC as the TransUNet lineage scores it: ventricles and myocardium in cine MRI of 100 patients.

A volume goes slice by slice through a network, as for Synapse; see
:mod:`medbench.challenges.families.sliced_volumes` for the two protocols. The prepared files have no spacing,
so that distances in mm are undefined on them.

Sources: acdc.creatis.insa-lyon.fr (Bernard et al. 2018); MSLAU-Net's authors released neither the list of
their split nor a program for this set.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.acdc.files import ACDCRelease
from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.sliced_volumes.exchange import SlicedVolumeExchange
from medbench.challenges.families.sliced_volumes.scoring import (
    FAILURE_RULE,
    SlicedVolumeScorer,
    protocol_columns,
)

CARD = Card(
    name="acdc",
    title="ACDC",
    summary="segmentation of both ventricles and the myocardium in cine MRI",
    labels={0: "background", 1: "right ventricle", 2: "myocardium", 3: "left ventricle"},
    resampling="spline",
    metrics=protocol_columns({"rv": "RV", "myo": "Myo", "lv": "LV"}),
    failure_rule=FAILURE_RULE,
    citation=(
        "Bernard et al.: Deep Learning Techniques for Automatic MRI Cardiac Multi-structures Segmentation "
        "and Diagnosis: Is the Problem Solved? IEEE Transactions on Medical Imaging 37 (2018), doi "
        "10.1109/TMI.2018.2837502"
    ),
    bibtex="""@article{bernard2018acdc,
  title = {Deep Learning Techniques for Automatic {MRI} Cardiac Multi-structures Segmentation and Diagnosis:
           Is the Problem Solved?},
  author = {Bernard, Olivier and Lalande, Alain and Zotti, Clement and others},
  journal = {IEEE Transactions on Medical Imaging},
  volume = {37},
  number = {11},
  pages = {2514--2525},
  year = {2018},
  doi = {10.1109/TMI.2018.2837502}
}""",
    license="CC BY-NC-SA 4.0",
    homepage="https://acdc.creatis.insa-lyon.fr/",
    published_file=Path(__file__).parent / "published.toml",
)


def acdc() -> Challenge:
    """Segmentation of both ventricles and the myocardium in cine MRI."""
    release = ACDCRelease(CARD)
    exchange = SlicedVolumeExchange(CARD, release)
    return Challenge(CARD, release, exchange, SlicedVolumeScorer(CARD, exchange))
