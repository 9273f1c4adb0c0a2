"""Scored predictions of known quality."""

import cv2
import numpy as np
import pytest

from medbench.challenges import load_challenge
from medbench.running.evaluate import evaluate


@pytest.fixture(scope="module")
def moved(small_cvc, tmp_path_factory):
    """``moved(8, 0)``: folder of runs, and for each number a run of the references moved by it."""
    base, challenge = tmp_path_factory.mktemp("moved"), load_challenge("cvc_clinicdb")

    def folder_of(shift):
        folder = base / f"moved-{shift}"
        folder.mkdir()
        for case in challenge.cases(small_cvc, "test"):
            mask = np.roll(challenge.release.read_reference(case), shift, axis=1)
            cv2.imwrite(str(folder / f"{case.id}.png"), mask * 255)
        places = {"runs": base / "runs", "leaderboards": base / "boards"}
        return evaluate("cvc_clinicdb", folder, data=small_cvc, **places).folder

    return lambda *shifts: (base / "runs", [folder_of(shift) for shift in shifts])
