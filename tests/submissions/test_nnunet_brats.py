"""nnU-Net for BraTS 2025 as a container: trained for a moment, rehearsed, the bytes of medbench run."""

import numpy as np
import pytest

from medbench.submissions.building import build_context
from medbench.submissions.rehearsing import rehearse

pytest.importorskip("nnunetv2", reason="nnU-Net is not installed: the extra 'nnunet'")

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def heads(tmp_path_factory):
    """Three heads to learn from and two to predict, 32 × 36 × 40, in the layout of 2025."""
    import SimpleITK

    root, rng = tmp_path_factory.mktemp("brats"), np.random.default_rng(0)
    for split, numbers in (("train", (1, 2, 3)), ("test", (7, 8))):
        for number in numbers:
            case = f"BraTS-GLI-{number:05d}-000"
            labels = np.zeros((32, 36, 40), np.uint8)
            labels[8:20, 9:20, 10:24] = 2
            labels[11:17, 12:17, 13:20] = 3
            labels[13:15, 13:15, 15:18] = 1
            for sequence in ("t1n", "t1c", "t2w", "t2f", "seg"):
                values = (rng.normal(300, 30, labels.shape) + 150 * labels).astype(np.int16)
                image = SimpleITK.GetImageFromArray(labels if sequence == "seg" else values)
                image.SetOrigin((0.0, -239.0, 0.0))
                path = root / split / case / f"{case}-{sequence}.nii.gz"
                path.parent.mkdir(parents=True, exist_ok=True)
                if split == "train" or sequence != "seg":
                    SimpleITK.WriteImage(image, str(path))
    return root


def test_the_container_gives_the_bytes_of_medbench_run(heads, tmp_path, write_toml):
    from medbench.running.train import train

    tiny = {"epochs": 1, "steps": 2, "validation_steps": 1}
    weights = train(
        "nnunet.test", "brats2025_gli", data=heads, recipe="quick", recipe_changes=tiny, runs=tmp_path
    )
    file = write_toml(tmp_path, "brats-docker", "brats2025_gli", "nnunet.test", "32", weights)
    text = file.read_text().replace("image_size = 32\n", "")
    file.write_text(text)
    built = build_context(file, data=heads, output=tmp_path / "build")
    assert "nnunetv2==" in (built.context / "requirements.lock").read_text()
    result = rehearse(built, count=2)
    assert result.passed, result.findings
    assert result.identical == 2
    assert [finding.rule for finding in result.findings if finding.severity != "note"] == []
