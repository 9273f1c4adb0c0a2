"""Samples of MyoPS 2020, and names of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case


class MyoPSExchange(MRVolumeExchange):
    """Reads slices or volumes; writes ``<case>.nii.gz`` with 16 bits."""

    channels = ("C0", "DE", "T2")

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """The reference's name, or with ``_seg`` or ``_result`` at its end."""
        return [f"{case.id}_{end}.nii.gz" for end in ("gd", "seg", "result")]
