"""Columns of Synapse multi-organ CT."""

from __future__ import annotations

from medbench.challenges.families.sliced_volumes.scoring import protocol_columns
from medbench.challenges.synapse.files import ORGANS

TITLES = {"rightkidney": "right kidney", "leftkidney": "left kidney"}
METRICS = protocol_columns({organ: TITLES.get(organ, organ) for organ in ORGANS})
FAILURE_RULE = (
    "Dice 0 and HD95 the volume's diagonal (in voxels and in mm) for every organ of the reference, "
    "under both protocols (ours; the authors' program stops)."
)
