"""Evaluation programs of organisers: the numbers of medbench evaluate, from jobs and from results."""

import json
import shutil
import zipfile

import pytest
import yaml

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.submissions.hosting import host, host_challenge, rehearse_host
from medbench.submissions.serving.evaluating import _by_picture_name, _without_suffix, run

QUIET = SilentProgress()


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    from medbench.challenges.synthesis.hc18 import write_sample

    root = tmp_path_factory.mktemp("hc18")
    write_sample(root, {"training_set": [f"{number:03d}_HC" for number in range(40)]}, (54, 80))
    return root


@pytest.fixture
def predictions(release, tmp_path):
    """The references moved a little; one is missing."""
    import numpy as np

    from medbench.core.sample import Prediction

    challenge = load_challenge("hc18")
    cases = challenge.cases(release, "test")
    assert len(cases) > 3
    for case in cases[1:]:
        labels = np.roll(challenge.read_reference(case), 2, axis=0)[None]
        challenge.write(Prediction(labels=labels), case, tmp_path / "p")
    return tmp_path / "p"


@pytest.mark.parametrize("platform", ["grand-challenge", "codabench"])
def test_the_program_scores_as_medbench_evaluate_does(platform, release, predictions, tmp_path):
    hosted = host("hc18", platform, release, None, tmp_path / "build", QUIET)
    first, _ = rehearse_host(hosted, predictions, QUIET)
    assert "4 columns" in first
    assert "requirements.lock" in (hosted.image / "Dockerfile").read_text()
    locked = (hosted.image / "requirements.lock").read_text()
    assert "simpleitk==" in locked
    assert "torch" not in locked
    root = hosted.folder / "rehearsal/root"
    result = root / ("output/metrics.json" if platform == "grand-challenge" else "app/output/details.json")
    scores = json.loads(result.read_text())
    assert scores["aggregates"]["dice"]["missing"] == 1
    assert 0.3 < scores["aggregates"]["dice"]["value"] < 1
    assert [row["status"] for row in scores["cases"]].count("missing") == 1
    if platform == "codabench":
        flat = json.loads((root / "app/output/scores.json").read_text())
        assert flat["dice"] == scores["aggregates"]["dice"]["value"]
        with zipfile.ZipFile(hosted.folder / f"{hosted.folder.name}.zip") as archive:
            competition = yaml.safe_load(archive.read("competition.yaml"))
            names = set(archive.namelist())
        assert competition["version"] == 2
        assert competition["docker_image"] == hosted.tag
        columns = {column["key"]: column["sorting"] for column in competition["leaderboards"][0]["columns"]}
        assert columns["dice"] == "desc"
        assert columns["hd"] == "asc"
        assert {"scoring_program/evaluate.py", "scoring_program/metadata.yaml", competition["image"]} < names
        assert not any("medbench/models" in name for name in names)


def test_bad_lists_of_jobs_end_with_one_line_and_no_output(release, tmp_path, monkeypatch, capfd):
    hosted = host("hc18", "grand-challenge", release, None, tmp_path / "build", QUIET)
    root = tmp_path / "root"
    shutil.copytree(release, root / "opt/ml/input/data/ground_truth")
    (root / "input").mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_ROOT", str(root))

    def job(name):
        entry = [{"image": {"name": name}, "socket": {"relative_path": "images/mask"}}]
        return {"pk": "a", "status": "Succeeded", "inputs": entry, "outputs": entry}

    known = load_challenge("hc18").cases(release, "test")[0].id
    for content, words in (
        ("no json", "not the platform's list"),
        ("[{}]", "not the platform's list"),
        (json.dumps([job("other.mha")]), "no case of the ground truth"),
        (json.dumps([job(f"{known}.mha")] * 2), "two jobs"),
    ):
        (root / "input/predictions.json").write_text(content)
        assert run(hosted.program) == 2
        assert words in capfd.readouterr().err.splitlines()[-1]
        assert not (root / "output").exists()


def test_a_job_without_one_image_is_missing_and_the_reason_is_told(
    release, predictions, tmp_path, monkeypatch, capfd
):
    hosted = host("hc18", "grand-challenge", release, None, tmp_path / "build", QUIET)
    list(rehearse_host(hosted, predictions, QUIET))
    root = hosted.folder / "rehearsal/root"
    monkeypatch.setenv("MEDBENCH_ROOT", str(root))
    jobs = json.loads((root / "input/predictions.json").read_text())
    places = {
        job["inputs"][0]["image"]["name"].removesuffix(".mha"): root
        / "input"
        / job["pk"]
        / "output/images/segmentation"
        for job in jobs
    }
    bare, double, empty, broken = list(load_challenge("hc18").cases(release, "test"))[:4]
    (image,) = places[double.id].iterdir()
    shutil.copyfile(image, image.with_name("second.mha"))
    (image,) = places[empty.id].iterdir()
    image.rename(image.with_name("mask.png"))
    (image,) = places[broken.id].iterdir()
    image.write_bytes(image.read_bytes()[:100])
    capfd.readouterr()
    assert run(hosted.program) == 0
    rows = {row["case"]: row for row in json.loads((root / "output/metrics.json").read_text())["cases"]}
    told = capfd.readouterr().err.splitlines()
    for case, status, words in (
        (bare, "missing", "no job of it succeeded."),
        (double, "missing", "second.mha). One image is due."),
        (empty, "missing", "holds mask.png and no .mha, .tif, .tiff file. One image is due."),
        (broken, "failed", f"{image.name}: not a readable volume"),
    ):
        assert rows[case.id]["status"] == status
        assert words in rows[case.id]["reason"]
        assert any(line.startswith(f"{case.id}: ") and words in line for line in told)
    assert all(not row["reason"] for row in rows.values() if row["status"] == "ok")


def test_pictures_are_told_apart_by_name_whatever_their_type():
    cases = [Case("a/1.x", {}, {}, ""), Case("b/2", {}, {}, "")]
    assert list(_by_picture_name(cases)) == ["1.x", "2"]
    assert [_without_suffix(name) for name in ("1.x.mha", "2.nii.gz", "2")] == ["1.x", "2", "2"]
    with pytest.raises(MedbenchError, match="a/1 and b/1"):
        _by_picture_name([Case("a/1", {}, {}, ""), Case("b/1", {}, {}, "")])


def test_splits_without_references_and_other_platforms_are_refused(small_iugc, release, tmp_path):
    with pytest.raises(MedbenchError, match="no platform"):
        list(host_challenge("hc18", "codalab", release, None, None, tmp_path, QUIET))
    with pytest.raises(MedbenchError):
        host("hc18", "codabench", release, "official_test", tmp_path, QUIET)
