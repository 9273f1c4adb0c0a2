"""Synapse multi-organ CT (BTCV) as TransUNet prepared and scored it: 18 training and 12 test volumes.

Sources: preparation, lists and scoring from Beckschen/TransUNet@ee8acce (``datasets/README.md``,
``lists/lists_Synapse``, ``utils.py``); label order of the prepared set from the scripts that repeat the
preparation; the challenge from synapse.org syn3193805.

A volume goes slice by slice through a network: cubic spline to the network's size, argmax, nearest neighbour
back (the card's ``resampling``). Two protocols score the volumes, and never share a table:

* ``of TransUNet``: Dice and HD95 in voxels; a predicted organ that the reference lacks scores Dice 1, a
  missed organ HD95 0. Papers on this set report this protocol.
* ``unbiased, in mm``: Dice, and HD95 with the volume's spacing; an organ in only one of the masks scores the
  volume's diagonal, an organ in neither is left out.

The prepared files (.npz slices, .h5 volumes) have no spacing. Columns in mm then need a ``spacing.csv``
beside the files (``case,z_mm,y_mm,x_mm``) and are undefined without it. NIfTI files have a spacing of their
own.
"""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.base import Challenge
from medbench.challenges.card import Card
from medbench.challenges.families.sliced_volumes.exchange import SlicedVolumeExchange
from medbench.challenges.families.sliced_volumes.scoring import SlicedVolumeScorer
from medbench.challenges.synapse.files import ORGANS, SynapseRelease
from medbench.challenges.synapse.scoring import FAILURE_RULE, METRICS, TITLES

CARD = Card(
    name="synapse",
    title="Synapse multi-organ CT",
    summary="segmentation of eight abdominal organs in CT",
    labels={0: "background", **{label: TITLES.get(organ, organ) for organ, label in ORGANS.items()}},
    resampling="spline",
    metrics=METRICS,
    failure_rule=FAILURE_RULE,
    citation=(
        "Landman et al.: MICCAI multi-atlas labeling beyond the cranial vault, synapse.org syn3193805, 2015; "
        "preparation: Chen et al.: TransUNet, arXiv 2102.04306"
    ),
    bibtex="""@misc{landman2015btcv,
  title = {{MICCAI} Multi-Atlas Labeling Beyond the Cranial Vault -- Workshop and Challenge},
  author = {Landman, Bennett and Xu, Zhoubing and Igelsias, Juan Eugenio and Styner, Martin and
            Langerak, Thomas Robin and Klein, Arno},
  year = {2015},
  howpublished = {\\url{https://www.synapse.org/Synapse:syn3193805}}
}

@misc{chen2021transunet,
  title = {{TransUNet}: Transformers Make Strong Encoders for Medical Image Segmentation},
  author = {Chen, Jieneng and Lu, Yongyi and Yu, Qihang and Luo, Xiangde and Adeli, Ehsan and
            Wang, Yan and Lu, Le and Yuille, Alan L. and Zhou, Yuyin},
  year = {2021},
  eprint = {2102.04306},
  archivePrefix = {arXiv}
}""",
    license="by registration at synapse.org; no redistribution",
    homepage="https://www.synapse.org/Synapse:syn3193805",
    published_file=Path(__file__).parent / "published.toml",
)


def synapse() -> Challenge:
    """Segmentation of eight abdominal organs in CT."""
    release = SynapseRelease(CARD)
    exchange = SlicedVolumeExchange(CARD, release)
    return Challenge(CARD, release, exchange, SlicedVolumeScorer(CARD, exchange))
