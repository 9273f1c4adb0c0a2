"""What models see of MyoPS 2020, and where its predictions are."""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case


class MyoPSExchange(MRVolumeExchange):
    """Slices or volumes in, ``<case>.nii.gz`` in 16 bits out."""

    channels = ("C0", "DE", "T2")

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by name, also under the reference's, or with ``_seg`` or ``_result`` at its end."""
        named = super().locate(case, folder, rename)
        others = (folder / f"{case.id}_{end}.nii.gz" for end in ("gd", "seg", "result"))
        return named or next((path for path in others if path.is_file()), None)
