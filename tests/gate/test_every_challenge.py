"""One bad file among good ones, as prediction, reference and input, in every challenge and by every command.

Every kind of bad file is put in the place of one file of every challenge and goes through the loop of
``evaluate`` or ``run``, which handle cases one by one; whole commands and the hosted program, with record,
report and board row, take folders of many bad files among good ones (``--full``: of every kind).
"""

import contextlib
import functools
import itertools
import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest
from gate_bad_files import BAD
from gate_releases import CASES, CHALLENGES, WRITERS, release
from test_bad_files import dangling, device, fifo, folder, loop

from medbench.challenges import list_challenges
from medbench.core.folders import leaderboards_folder
from medbench.core.progress import SilentProgress
from medbench.io.gate.admission import suffix_of
from medbench.records.environment import environment
from medbench.running.evaluate import evaluate
from medbench.running.loop import predict_and_score, score_predictions
from medbench.running.run import run
from medbench.running.setup import Setup
from medbench.submissions.host.serving import evaluate_results
from medbench.submissions.serving.session import Roots

QUIET = SilentProgress()
ROLES = ("prediction", "reference", "input")
WHOLE = (
    ("evaluate", "prediction"), ("evaluate", "reference"), ("run", "reference"), ("run", "input"),
    ("hosted", "prediction"), ("hosted", "reference"),
)  # fmt: skip
MODELS = {
    "landmarks": "heatmap_unet.test",
    "boxes": "medformer.retinanet.test",
    "frame_scores": "baseline/bilstm",
    "image_labels": "cm_cgns.classifier",
}  # fmt: skip
LIKE_OTHERS = {
    "acdc": "synapse",
    "brain_tumor_mri": "isic2018_task3",
    "colonpath": "isic2018_task3",
    "covidx": "chexpert",
    "cvc_clinicdb_boxes": "rsna_pneumonia_boxes",
    "kvasir_polyp": "rsna_pneumonia_boxes",
    "object_cxr": "rsna_pneumonia_boxes",
    "rsna_pneumonia": "chexpert",
    "rsna_pneumonia_masks": "siim_pneumothorax",
}
"""Challenge -> another of its family: whole commands take the other alone without ``--full``."""
SOME = 6
"""Bad files a whole command, without ``--full``."""
PLACES = [
    ("named pipe", fifo, "file.not_regular"),
    ("folder", folder, "file.not_regular"),
    ("dangling link", dangling, "file.link_dangling"),
    ("link to itself", loop, "file.link_dangling"),
    ("link to a device", device, None),
]
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".img", ".hdr", ".mgh", ".mgz")
PICTURES = (".png", ".jpg", ".bmp", ".tif")
KINDS = [(name, suffix, content, code) for name, suffix, content, _, code in BAD] + [
    (name, None, make, code) for name, make, code in PLACES
]
_BYTES = {}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("releases")


def content_of(kind, work):
    """The bytes of a bad file, made once."""
    name, suffix, content, _ = kind
    if name not in _BYTES:
        if callable(content):
            path = work / f"made{suffix}"
            content(path)
            content = path.read_bytes()
        _BYTES[name] = content
    return _BYTES[name]


@contextlib.contextmanager
def replaced(path, kind, work):
    """The file replaced by a bad one for as long as the block runs."""
    kept = work / "kept"
    shutil.move(path, kept)
    try:
        if kind[1] is None:
            kind[2](path)
        else:
            path.write_bytes(content_of(kind, work))
        yield
    finally:
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink()
        shutil.move(kept, path)


def expected_codes(kind, path, role):
    """The refusal's code: the kind's own where the place holds that format, else that of another format."""
    _, suffix, _, code = kind
    if suffix is None:
        return {code or ("file.link_outside" if role == "prediction" else "file.not_regular")}
    own = suffix_of(path.name)
    slide = own == ".tiff" or (own == ".tif" and "wsi" in path.name)
    if slide and suffix == ".tif":
        return {code, "file.corrupt", "file.codec", "data.slide_format", "data.size_mismatch"}
    if own == suffix or (own, suffix) == (".mha", ".mhd"):
        return {code} | SAME_FORMAT.get((own, code), set())
    if own in PICTURES and suffix in PICTURES:
        return {code} | OTHER_PICTURE
    if own == ".json":
        return {"data.json"}
    if own == ".csv":
        return {"file.unreadable", "data.column_missing", "data.prediction_malformed", "data.table"} | {
            "prediction.column_missing"
        }
    return {"dicom.unreadable" if own == ".dcm" else "file.corrupt"}


# a mask is asked for where the kind was made to be read as a picture, and the other way round
SAME_FORMAT = {
    **{
        (".npz", code): {"prediction.empty"}
        for code in ("data.array_missing", "file.too_large", "file.codec")
    },
    (".csv", "data.table"): {"data.column_missing", "data.prediction_malformed", "prediction.column_missing"},
    (".csv", "data.column_missing"): {"prediction.column_missing"},
    **{
        (".h5", code): {"data.array_missing"}
        for code in ("file.refers_elsewhere", "file.corrupt", "data.not_real", "data.axes", "file.too_large")
    },
}
OTHER_PICTURE = {
    "data.turned",
    "data.not_a_label_map",
    "data.white_is_zero",
    "data.picture_format",
    "data.mask_not_binary",
}


def fits(kind, role):
    """Whether the kind is bad in that place: what is no label map may be a good image."""
    return role != "input" or kind[3] not in ("data.not_a_label_map", "data.white_is_zero", "data.turned")


def cases_with(made_release, role):
    """A case of every task that has such a file."""
    own = {}
    for case in made_release.cases:
        if made_release.file(case, role) is not None:
            own.setdefault(case.facts.get("task", ""), case)
    return list(own.values())


def row_of(made_release, case, role, work):
    """The case's row by the loop of ``run`` for inputs, else by that of ``evaluate``."""
    challenge = made_release.challenge
    if role == "input":
        shutil.rmtree(work / "run", ignore_errors=True)
        (work / "run").mkdir()
        rows, _ = predict_and_score(challenge, [case], lambda: Answers(made_release), work / "run", QUIET)
    else:
        (work / "scored").mkdir(exist_ok=True)
        rows, _ = score_predictions(
            challenge, [case], made_release.predictions, work / "scored", QUIET, workers=1
        )
    return rows[0]


class Answers:
    """A predictor that knows the answers."""

    def __init__(self, made_release):
        self.made_release = made_release
        self.time_s = {}

    def predict(self, sample):
        return self.made_release.predict(sample)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", CHALLENGES)
def test_every_kind_of_bad_file_fails_its_case_with_its_code(name, home, tmp_path, say):
    made_release = release(name, home)
    counts, wrong = Counter(), []
    for role in ROLES:
        for case in cases_with(made_release, role):
            path = made_release.file(case, role)
            for kind in KINDS:
                if not fits(kind, role):
                    continue
                with replaced(path, kind, tmp_path):
                    row = row_of(made_release, case, role, tmp_path)
                code = row.evidence.get("refusal", "")
                counts[role] += 1
                if row.status != "failed" or code not in expected_codes(kind, path, role):
                    wrong.append((role, path.name, kind[0], row.status, code, row.reason[-90:]))
                if role == "reference":
                    assert all(score.value is None for score in row.scores.values())
            row = row_of(made_release, case, role, tmp_path)
            assert row.status == "ok", row
    for one in wrong:
        print(one)  # noqa: T201
    assert not wrong
    say(f"{name}: " + ", ".join(f"{count} bad files as {role}" for role, count in counts.items()))


def test_every_challenge_has_a_release_here():
    assert {*list_challenges()} == {*WRITERS}


def scored(rows):
    return {row.case: {name: score.value for name, score in row.scores.items()} for row in rows}


def hosted(made_release, work):
    """The rows that Codabench's scoring program writes, by case."""
    root = work / "hosted"
    shutil.rmtree(root, ignore_errors=True)
    (root / "app/input").mkdir(parents=True)
    (root / "app/input/ref").symlink_to(made_release.root)
    shutil.copytree(made_release.predictions, root / "app/input/res", symlinks=True, copy_function=copied)
    evaluate_results({"challenge": made_release.name, "split": made_release.split}, Roots(root))
    assert json.loads((root / "app/output/scores.json").read_text())
    return {row["case"]: row for row in json.loads((root / "app/output/details.json").read_text())["cases"]}


def copied(source, copy):
    """Copy a file; a named pipe is made anew."""
    if os.path.exists(source) and not os.path.isfile(source):
        os.mkfifo(copy)
    else:
        shutil.copy(source, copy)


def finished_by(command, made_release, name):
    if command == "evaluate":
        return evaluate(
            made_release.name,
            made_release.predictions,
            data=made_release.root,
            split=made_release.split,
            name=name,
        )
    demands = made_release.challenge.card.demands
    return run(
        MODELS.get(next(iter(demands)), "dssau_net.test"),
        made_release.name,
        data=made_release.root,
        split=made_release.split,
        weights="none",
        seed=int(name),
    )


def check_outputs(finished):
    folder = finished.folder
    assert json.loads((folder / "record.json").read_text())["counts"]["total"] == len(finished.rows)
    assert (folder / "report.html").stat().st_size > 1000
    assert len((folder / "cases.jsonl").read_text().splitlines()) == len(finished.rows)
    board = leaderboards_folder() / finished.record.challenge.name / "results.jsonl"
    keys = [json.loads(line)["key"] for line in board.read_text().splitlines()]
    assert keys.count(finished.record.key) == 1


def rounds_of(made_release, role, first):
    """Rounds of files that become bad, each with its kind; those of five cases stay as they are."""
    files = list(dict.fromkeys(filter(None, (made_release.file(case, role) for case in made_release.cases))))
    kept = {files[place] for place in np.linspace(0, len(files) - 1, CASES).astype(int)} if files else ()
    free = [path for path in files if path not in kept]
    kinds = [kind for kind in KINDS if fits(kind, role)]
    kinds = kinds[first % len(kinds) :] + kinds[: first % len(kinds)]
    for start in range(0, len(kinds), max(len(free), 1)) if free else ():
        yield list(zip(free, kinds[start : start + len(free)], strict=False))


@contextlib.contextmanager
def bad_files(made_release, role, pairs, work):
    """Every file replaced by one of its kind; gives case -> the kind and the codes that may refuse it."""
    names = {made_release.file(case, "prediction"): [case.id] for case in made_release.cases}
    owners = names if role == "prediction" else made_release.owners
    with contextlib.ExitStack() as stack:
        due = {}
        for number, (path, kind) in enumerate(pairs):
            due |= dict.fromkeys(owners[path], (kind[0], expected_codes(kind, path, role)))
            folder = work / f"{number}"
            folder.mkdir(exist_ok=True)
            stack.enter_context(replaced(path, kind, folder))
        yield due


def rows_of(command, made_release, number, work):
    """Values of the cases that are scored, and case -> code of those that failed (``None`` where hosted)."""
    if command == "hosted":
        rows = hosted(made_release, work)
        good = {key: row["scores"] for key, row in rows.items() if row["status"] == "ok"}
        return good, {key: None for key, row in rows.items() if row["status"] == "failed"}
    finished = finished_by(command, made_release, number)
    failed = {row.case: row.evidence["refusal"] for row in finished.rows if row.status == "failed"}
    assert finished.exit_code == (1 if failed else 0)
    check_outputs(finished)
    return scored(row for row in finished.rows if row.status == "ok"), failed


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=pytest.mark.exhaustive) if one in [*LIKE_OTHERS] else one for one in CHALLENGES],
)
def test_a_bad_file_never_loses_the_others_in_a_whole_command(name, home, tmp_path, monkeypatch, full, say):
    """A bad file of every kind in one folder, each a case of its own, and good ones among them.

    Challenges with fewer cases than kinds take several rounds; without ``--full`` the first round alone.
    """
    made_release = release(name, home, CASES + (len(KINDS) if full else SOME))
    monkeypatch.setattr(Setup, "predictor", lambda *_: Answers(made_release))
    monkeypatch.setattr(Setup, "count_parameters", lambda _: 1)
    monkeypatch.setattr(Setup, "untrained_parts", lambda _: [])
    monkeypatch.setattr("medbench.records.writing.environment", functools.cache(environment))
    monkeypatch.setattr("medbench.records.page.WORST", 2)
    numbers, counts = itertools.count(), Counter()
    good, failed = rows_of("evaluate", made_release, str(next(numbers)), tmp_path)
    assert (good, failed) == rows_of("run", made_release, str(next(numbers)), tmp_path)
    assert len(good) >= CASES
    assert failed == {}
    for (command, role), first in zip(WHOLE, itertools.count(37 * list(WRITERS).index(name), SOME)):
        for pairs in rounds_of(made_release, role, first):
            with bad_files(made_release, role, pairs, tmp_path) as due:
                number = "" if command == "hosted" else str(next(numbers))
                others, bad = rows_of(command, made_release, number, tmp_path)
            assert others == {key: values for key, values in good.items() if key not in due}
            assert {*bad} == {*due}, (command, role, [due[case][0] for case in {*due} - {*bad}])
            wrong = {(due[case][0], code) for case, code in bad.items() if code not in due[case][1]}
            assert not wrong or command == "hosted", (command, role)
            counts[f"{command}, {role}"] += len(pairs)
            if not full:
                break
    say(f"{name}: " + "; ".join(f"{count} bad files by {what}" for what, count in counts.items()))
