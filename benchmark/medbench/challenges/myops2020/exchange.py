"""What models see of MyoPS 2020, and where its predictions are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case


class MyoPSExchange(MRVolumeExchange):
    """Slices or volumes in, ``<case>.nii.gz`` in 16 bits out."""

    channels = ("C0", "DE", "T2")

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """The reference's name, or with ``_seg`` or ``_result`` at its end."""
        return [f"{case.id}_{end}.nii.gz" for end in ("gd", "seg", "result")]
