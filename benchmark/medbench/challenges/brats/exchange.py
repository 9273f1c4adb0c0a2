"""Samples of BraTS, and names of its predictions."""

from __future__ import annotations

from pathlib import Path

from medbench.challenges.brats.files import number_of
from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case
from medbench.core.errors import MedbenchError


class BraTSExchange(MRVolumeExchange):
    """Reads volumes, or slices without t1n; writes ``<case>.nii.gz``, as containers do from 2023 on."""

    channels = ("t1c", "t2f", "t2w")

    def locate(self, case: Case, folder: Path, rename: tuple[str, str] | None = None) -> Path | None:
        """The prediction by name, else the only file that ends with the case's number, as organisers do.

        Raises:
            MedbenchError: ``predictions.ambiguous`` when several files end so.
        """
        own = super().locate(case, folder, rename)
        number = number_of(case.id)
        if own is not None or number is None:
            return own
        candidates = sorted(folder.glob(f"*{number}.nii.gz"))
        if len(candidates) > 1:
            names = ", ".join(path.name for path in candidates)
            raise MedbenchError(
                "predictions.ambiguous", f"{case.id}: several predictions: {names}.", "Keep one of them."
            )
        return candidates[0] if candidates else None
