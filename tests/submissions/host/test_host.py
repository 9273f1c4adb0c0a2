"""Evaluation programs of organisers: the numbers of medbench evaluate, from jobs and from results."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from medbench.challenges import load_challenge
from medbench.core.case import Case
from medbench.core.errors import MedbenchError
from medbench.core.progress import SilentProgress
from medbench.submissions.host.codabench import check_ingestion
from medbench.submissions.host.package import host
from medbench.submissions.host.program import HostRequest
from medbench.submissions.host.rehearsal import rehearse_host
from medbench.submissions.host.serving import _without_suffix, by_image_name, run
from medbench.submissions.host.workflow import host_named

QUIET = SilentProgress()
PACKAGE_FILES = Path(__file__).parents[2] / "core" / "package_files"


@pytest.fixture
def predictions(release, tmp_path):
    """The references moved a little; one is missing."""
    import numpy as np

    from medbench.core.sample import Prediction

    challenge = load_challenge("hc18")
    cases = challenge.cases(release, "test")
    assert len(cases) > 3
    for case in cases[1:]:
        labels = np.roll(challenge.release.read_reference(case), 2, axis=0)[None]
        challenge.write(Prediction({"label_map": labels}), case, tmp_path / "p")
    return tmp_path / "p"


@pytest.mark.parametrize("platform", ["grand-challenge", "codabench"])
def test_the_program_scores_as_medbench_evaluate_does(platform, release, predictions, tmp_path):
    hosted = host(HostRequest("hc18", platform, release), tmp_path / "build", QUIET)
    first, _ = rehearse_host(hosted, predictions, QUIET)
    assert "4 columns" in first
    assert "requirements.lock" in (hosted.image / "Dockerfile").read_text()
    locked = (hosted.image / "requirements.lock").read_text()
    assert "nibabel==" in locked
    assert "torch" not in locked
    root = hosted.folder / "rehearsal/root"
    result = root / ("output/metrics.json" if platform == "grand-challenge" else "app/output/details.json")
    scores = json.loads(result.read_text())
    assert scores["aggregates"]["dice"]["missing"] == 1
    assert 0.3 < scores["aggregates"]["dice"]["value"] < 1
    assert [row["status"] for row in scores["cases"]].count("missing") == 1
    if platform == "codabench":
        (reason,) = [row["reason"] for row in scores["cases"] if row["status"] == "missing"]
        assert reason.startswith("the results hold no ")
        flat = json.loads((root / "app/output/scores.json").read_text())
        assert flat["dice"] == scores["aggregates"]["dice"]["value"]
        with zipfile.ZipFile(hosted.folder / f"{hosted.folder.name}.zip") as archive:
            competition = yaml.safe_load(archive.read("competition.yaml"))
            names = set(archive.namelist())
            overview = archive.read("overview.md").decode()
        case = hosted.cases[0]
        assert f"one file a case, {len(hosted.cases)} in all" in overview
        assert f"`{hosted.challenge.exchange.prediction_name(case)}`" in overview
        assert hosted.challenge.card.failure_rule in overview
        assert "* DF [mm] → 0: definition `hc.df`" in overview
        assert competition["version"] == 2
        assert competition["docker_image"] == hosted.tag
        columns = {column["key"]: column["sorting"] for column in competition["leaderboards"][0]["columns"]}
        assert columns["dice"] == "desc"
        assert columns["hd"] == "asc"
        assert {"scoring_program/evaluate.py", "scoring_program/metadata.yaml", competition["image"]} < names
        start = "scoring_program/medbench/"
        files = {name.removeprefix(start) for name in names if name.startswith(start) and name[-1] != "/"}
        assert files == set((PACKAGE_FILES / "evaluation.txt").read_text().split())


def test_bad_lists_of_jobs_end_with_one_line_and_no_output(release, tmp_path, monkeypatch, capfd):
    hosted = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "build", QUIET)
    root = tmp_path / "root"
    shutil.copytree(release, root / "opt/ml/input/data/ground_truth")
    (root / "input").mkdir(parents=True)
    monkeypatch.setenv("MEDBENCH_ROOT", str(root))

    for content, words in (
        ("no json", "not the platform's list"),
        ("[{}]", "not the platform's list"),
    ):
        (root / "input/predictions.json").write_text(content)
        assert run(hosted.program) == 2
        assert words in capfd.readouterr().err.splitlines()[-1]
        assert not (root / "output").exists()


def test_a_job_without_one_image_is_missing_and_the_reason_is_told(
    release, predictions, tmp_path, monkeypatch, capfd
):
    hosted = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "build", QUIET)
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
        (double, "missing", "second.mha). Hand in one image."),
        (empty, "missing", "holds mask.png and no .mha, .tif, .tiff file. Hand in one image."),
        (broken, "failed", f"{image.name}: not a readable volume"),
    ):
        assert rows[case.id]["status"] == status
        assert words in rows[case.id]["reason"]
        assert any(line.startswith(f"{case.id}: ") and words in line for line in told)
    assert all(not row["reason"] for row in rows.values() if row["status"] == "ok")


def test_a_stray_and_a_doubled_image_name_cost_their_cases_alone(
    release, predictions, tmp_path, monkeypatch, capfd
):
    hosted = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "build", QUIET)
    list(rehearse_host(hosted, predictions, QUIET))
    root = hosted.folder / "rehearsal/root"
    before = json.loads((root / "output/metrics.json").read_text())
    monkeypatch.setenv("MEDBENCH_ROOT", str(root))
    jobs = {
        job["inputs"][0]["image"]["name"]: job
        for job in json.loads((root / "input/predictions.json").read_text())
    }
    cases = list(load_challenge("hc18").cases(release, "test"))
    doubled, astray = cases[1], cases[2]
    jobs[f"{astray.id}.mha"]["inputs"][0]["image"]["name"] = "holiday.mha"
    listed = [*jobs.values(), {**jobs[f"{doubled.id}.mha"], "pk": "again"}]
    (root / "input/predictions.json").write_text(json.dumps(listed))
    capfd.readouterr()
    assert run(hosted.program) == 0
    after = json.loads((root / "output/metrics.json").read_text())
    rows = {row["case"]: row for row in after["cases"]}
    assert (rows[doubled.id]["status"], rows[astray.id]["status"]) == ("failed", "missing")
    assert "two jobs" in rows[doubled.id]["reason"]
    (line,) = after["left_out"]
    assert "holiday is no case of the ground truth" in line
    assert line in capfd.readouterr().err
    untouched = [row for row in before["cases"] if row["case"] not in (doubled.id, astray.id)]
    assert [row for row in after["cases"] if row["case"] not in (doubled.id, astray.id)] == untouched
    assert sum(row["status"] == "ok" for row in untouched) >= 2


def test_a_downloaded_list_of_jobs_is_scored_as_the_phase_scored_it(release, predictions, tmp_path):
    from typer.testing import CliRunner

    from medbench.cli.main import app

    hosted = host(HostRequest("hc18", "grand-challenge", release), tmp_path / "build", QUIET)
    list(rehearse_host(hosted, predictions, QUIET))
    root = hosted.folder / "rehearsal/root"
    metrics = json.loads((root / "output/metrics.json").read_text())["aggregates"]
    command = ["evaluate", "-c", "hc18", "--data", str(release), "--json"]
    listed = root / "input/predictions.json"
    done = CliRunner().invoke(app, [*command, "--predictions-json", str(listed), "--name", "phase"])
    assert done.exit_code == 1, done.output
    assert "no job of it succeeded" in done.stderr
    record = json.loads(done.stdout)
    for name, column in metrics.items():
        assert record["metrics"][name]["value"] == column["value"]
    both = CliRunner().invoke(app, [*command, "-p", str(predictions), "--predictions-json", str(listed)])
    assert isinstance(both.exception, MedbenchError)


def test_images_are_told_apart_by_name_whatever_their_type():
    cases = [Case("a/1.x", {}, {}, ""), Case("b/2", {}, {}, "")]
    assert list(by_image_name(cases)) == ["1.x", "2"]
    assert [_without_suffix(name) for name in ("1.x.mha", "2.nii.gz", "2")] == ["1.x", "2", "2"]
    with pytest.raises(MedbenchError, match="a/1 and b/1"):
        by_image_name([Case("a/1", {}, {}, ""), Case("b/1", {}, {}, "")])


def test_splits_without_references_and_other_platforms_are_refused(small_iugc, release, tmp_path):
    from typer.testing import CliRunner

    from medbench.cli.submit import app

    refused = CliRunner().invoke(
        app, ["host", "-c", "hc18", "--platform", "codabench", "--packages", "wheels"]
    )
    assert refused.exit_code == 2
    assert "'wheels' is not one of" in refused.output
    with pytest.raises(MedbenchError, match="no platform"):
        host_named("codalab")
    with pytest.raises(MedbenchError):
        host(HostRequest("hc18", "codabench", release, "official_test"), tmp_path, QUIET)
    with pytest.raises(MedbenchError, match="scores image classes; the evaluation on grand-challenge reads"):
        host(HostRequest("iugc2024", "grand-challenge", small_iugc), tmp_path, QUIET)


PREDICT = """
import json, sys
from pathlib import Path
import cv2, numpy
source, target = map(Path, sys.argv[1:])
for case in json.loads((source / "cases.json").read_text())[1:]:
    (name,) = case["inputs"].values()
    image = cv2.imread(str(source / name), cv2.IMREAD_GRAYSCALE)
    path = target / case["output"]
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = numpy.zeros_like(image)
    mask[10:40, 20:60] = 255
    cv2.imwrite(str(path), mask)
"""


def test_a_participants_program_is_run_on_the_inputs_alone_and_scored(competition, tmp_path):
    overview = (competition.folder / "bundle/overview.md").read_text()
    assert "`python predict.py INPUT OUTPUT`" in overview
    assert "one file a case" not in overview
    (tmp_path / "predict.py").write_text(PREDICT)
    first, _ = rehearse_host(competition, tmp_path, QUIET)
    assert "4 columns" in first
    details = json.loads((competition.folder / "rehearsal/root/app/output/details.json").read_text())
    assert details["aggregates"]["dice"]["missing"] == 1
    assert 0 < details["aggregates"]["dice"]["value"] < 1
    given = {path.name for path in (competition.folder / "bundle/input_data").rglob("*") if path.is_file()}
    cases = load_challenge("hc18").cases(competition.root, "test")
    inputs = {path.name for case in cases for path in case.inputs.values()}
    assert given == {"cases.json", *inputs}
    assert not given & {path.name for case in cases for path in case.reference.values()}
    (tmp_path / "predict.py").write_text("raise SystemExit('no weights')")
    with pytest.raises(MedbenchError, match=r": predict\.py ended with 1: no weights"):
        list(rehearse_host(competition, tmp_path, QUIET))
    assert "torch==" in (competition.image / "requirements.lock").read_text()


@pytest.mark.parametrize(
    ("name", "program", "words"),
    [
        ("other.py", "", "error: the submission has no predict.py at its top (it holds other.py)."),
        ("predict.py", "raise OSError('no weights')", "error: predict.py ended with 1: OSError: no weights"),
        ("predict.py", "", "error: predict.py wrote none of "),
        ("predict.py", "import sys; open(sys.argv[2] + '/a.txt', 'w')", "(it wrote a.txt)."),
    ],
)
def test_a_participants_program_that_fails_is_told_by_the_last_line(
    competition, tmp_path, name, program, words
):
    import os
    import subprocess
    import sys

    app = tmp_path / "app"
    (app / "ingested_program").mkdir(parents=True)
    (app / "ingested_program" / name).write_text(program)
    (app / "input_data").symlink_to((competition.folder / "bundle/input_data").resolve())
    script = competition.folder / "bundle/ingestion_program/ingestion.py"
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "MEDBENCH_ROOT": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert words in done.stderr.splitlines()[-1]
    assert not (app / "output").exists()


def test_ingestion_is_refused_where_it_cannot_be(release, tmp_path):
    with pytest.raises(MedbenchError, match="has no ingestion programs"):
        host(HostRequest("hc18", "grand-challenge", release, ingestion=True), tmp_path, QUIET)
    file = tmp_path / "both.h5"
    with pytest.raises(MedbenchError, match="participants would see it"):
        check_ingestion("codabench", [Case("a", {"x": file}, {"y": file}, "")])
