"""The submission of nnU-Net to BraTS 2025 as it lies in the repository, with weights trained here."""

from pathlib import Path

import pytest

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: the extra 'nnunet'")

from medbench.challenges import load_challenge
from medbench.challenges.brats.sample import write_sample
from medbench.core.errors import MedbenchError
from medbench.running.run import run
from medbench.running.train import train
from medbench.submissions.build.context import build_context
from medbench.submissions.build.request import BuildRequest
from medbench.submissions.rehearse.rehearsal import rehearse

FILE = Path(__file__).parents[2] / "submissions/brats2025_gli/nnunet-brats2025-gli.toml"
TINY = {"epochs": 1, "steps": 1, "validation_steps": 1, "base_features": 4, "batch_size": 1}


@pytest.fixture(scope="module")
def weights(one_thread, tmp_path_factory):
    """Data, and the weights of one step on it."""
    folder = tmp_path_factory.mktemp("nnunet-brats")
    write_sample(folder / "data", load_challenge("brats2025_gli").release.edition)
    trained = train(
        "nnunet", "brats2025_gli", data=folder / "data", recipe="quick", recipe_changes=TINY, runs=folder
    )
    return folder / "data", trained


@pytest.mark.slow
@pytest.mark.exhaustive
def test_nnunet_for_brats_2025_gives_the_bytes_of_medbench_run(weights, tmp_path):
    data, trained = weights
    text = FILE.read_text()
    assert text.count('file = "auto"') == 1
    file = tmp_path / FILE.name
    file.write_text(text.replace('file = "auto"', f'file = "{trained}"'))
    with pytest.raises(MedbenchError, match="shares cases with all"):
        build_context(BuildRequest(file, data=data, split="all", output=tmp_path / "build"))
    built = build_context(BuildRequest(file, data=data, output=tmp_path / "build"))
    locked = (built.context / "requirements.lock").read_text()
    assert "nnunetv2==" in locked
    result = rehearse(built, count=2)
    assert [finding for finding in result.findings if finding.severity != "note"] == []
    assert result.identical == 2
    done = run(
        "nnunet", "brats2025_gli", data=data, weights=trained, cases=result.cases[0], runs=tmp_path / "runs",
        leaderboards=tmp_path / "boards",
    )  # fmt: skip
    name = f"{result.cases[0]}.nii.gz"
    (own,) = (tmp_path / "runs").rglob(name)
    handed_in = built.folder / "rehearsal" / "root" / "output" / name
    assert own.read_bytes() == handed_in.read_bytes()
    assert done.record.counts.ok == 1
