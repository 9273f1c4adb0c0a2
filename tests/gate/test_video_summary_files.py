"""Bad files in the challenges whose release is one file for all videos: SumMe and TVSum."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from gate_bad_files import BAD
from test_bad_files import dangling, device, fifo, folder, loop

from medbench.challenges import load_challenge
from medbench.challenges.families.video_summaries.files import file_name
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.core.sample import Prediction
from medbench.running.evaluate import evaluate
from medbench.running.loop import score_predictions

PLACES = (dangling, device, fifo, folder, loop)


@pytest.fixture(scope="module", params=["tvsum", pytest.param("summe", marks=pytest.mark.exhaustive)])
def summaries(request, tmp_path_factory):
    """A challenge, the folder of its sample, and three good predictions."""
    challenge, root = load_challenge(request.param), tmp_path_factory.mktemp(request.param)
    challenge.release.write_sample(root, {})
    cases = challenge.cases(root, "canonical")[:3]
    for case in cases:
        steps = len(challenge.release.timeline(case).picks)
        challenge.write(Prediction({"frame_scores": np.linspace(0, 1, steps)}), case, root / "p")
    return challenge, root, cases


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_kind_of_bad_file_fails_its_video_with_a_code(summaries, tmp_path, say):
    challenge, root, cases = summaries
    predictions = Path(shutil.copytree(root / "p", tmp_path / "p"))
    path, count = predictions / challenge.exchange.prediction_name(cases[0]), 0
    kinds = [(name, content) for name, _, content, _, _ in BAD] + [(one.__name__, one) for one in PLACES]
    right = None
    for name, content in [("good", None), *kinds]:
        made = content is not None
        if made:
            path.unlink()
            content(path) if callable(content) else path.write_bytes(content)
        rows, _ = score_predictions(challenge, cases, predictions, tmp_path, SilentProgress(), workers=1)
        if made:
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
            shutil.copy(root / "p" / challenge.exchange.prediction_name(cases[0]), path)
            assert rows[0].status == "failed", name
            assert rows[0].evidence["refusal"] != "case.failed", (name, rows[0].reason)
            count += 1
        right = right or rows
        assert rows[1:] == right[1:]
    say(f"{challenge.name}: {count} bad files as prediction")


def test_a_link_out_of_the_folder_is_no_prediction(summaries, tmp_path):
    challenge, root, cases = summaries
    predictions = Path(shutil.copytree(root / "p", tmp_path / "p"))
    path = predictions / challenge.exchange.prediction_name(cases[0])
    path.unlink()
    path.symlink_to(root / "p" / challenge.exchange.prediction_name(cases[0]))
    rows, _ = score_predictions(challenge, cases, predictions, tmp_path, SilentProgress(), workers=1)
    assert [row.evidence.get("refusal") for row in rows] == ["file.link_outside", None, None]


@pytest.mark.timeout(300)
def test_a_bad_release_ends_the_command_in_one_line(summaries, tmp_path):
    challenge, root, _ = summaries
    data = tmp_path / "data"
    data.mkdir()
    path = data / file_name(challenge.name)
    for name, _, content, _, _ in BAD:
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)
        with pytest.raises(MedbenchError) as caught:
            evaluate(challenge.name, root / "p", data=data, split="canonical")
        assert "\n" not in str(caught.value), name
        path.unlink()
