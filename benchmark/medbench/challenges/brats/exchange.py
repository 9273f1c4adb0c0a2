"""Samples of BraTS, and names of its predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from medbench.challenges.brats.files import number_of
from medbench.challenges.families.mr_volumes.exchange import MRVolumeExchange
from medbench.core.case import Case
from medbench.io.gate.listing import is_metadata


class BraTSExchange(MRVolumeExchange):
    """Reads volumes, or slices without t1n; writes ``<case>.nii.gz``, as containers do from 2023 on."""

    channels = ("t1c", "t2f", "t2w")

    def other_names(self, case: Case, folder: Path) -> Sequence[str]:
        """Files that end with the case's number, by which the organisers find predictions."""
        number = number_of(case.id)
        if number is None:
            return ()
        return sorted(path.name for path in folder.glob(f"*{number}.nii.gz") if not is_metadata(path.name))
