"""Samples of MyoPS 2020, and names of its predictions."""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case


class MyoPSExchange(MRVolumeExchange):
    """Reads slices or volumes; writes ``<case>.nii.gz`` with 16 bits."""

    channels = ("C0", "DE", "T2")

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by its own name, the reference's, or one that ends in ``_seg`` or ``_result``."""
        path = super().locate(case, folder, rename)
        others = (folder / f"{case.id}_{end}.nii.gz" for end in ("gd", "seg", "result"))
        return path or next((path for path in others if path.is_file()), None)
