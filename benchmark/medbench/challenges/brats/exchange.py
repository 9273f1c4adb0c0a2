"""What models see of BraTS, and where its predictions are."""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.brats.files import number_of
from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case
from medbench.core.errors import MedbenchError


class BraTSExchange(MRVolumeExchange):
    """Slices without t1n or volumes in; ``<case>.nii.gz`` out, as containers from 2023 on write it."""

    channels = ("t1c", "t2f", "t2w")

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by name, or the one file that ends with the case's number, as the organisers do.

        Raises:
            MedbenchError: ``predictions.ambiguous`` when several files end so.
        """
        named = super().locate(case, folder, rename)
        number = number_of(case.id)
        if named is not None or number is None:
            return named
        candidates = sorted(folder.glob(f"*{number}.nii.gz"))
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise MedbenchError(
                "predictions.ambiguous", f"{case.id}: several predictions: {names}.", "Keep one of them."
            )
        return candidates[0] if candidates else None
