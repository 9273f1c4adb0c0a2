"""One bad file among good ones, as prediction, reference and input, in every challenge and by every command.

Every kind of bad file is put in the place of one file of every challenge and goes through the loop of
``evaluate`` or ``run``, which handle cases one by one; whole commands and the hosted program, with record,
report and board row, run on kinds that take turns (all of them with ``--all-commands``).
"""

import contextlib
import functools
import itertools
import json
import os
import shutil
from collections import Counter

import pytest
from gate_bad_files import BAD
from gate_releases import CASES, WRITERS, release
from test_bad_files import dangling, device, fifo, folder, loop

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
COMMANDS = ("evaluate", "run", "hosted")
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


def target(made_release, case, role):
    """The file that is replaced."""
    if role == "prediction":
        return made_release.predictions / made_release.challenge.exchange.prediction_name(case)
    paths = case.inputs if role == "input" else case.reference
    return next(iter(paths.values()), None)


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
    return {"file.corrupt"}


# a mask is asked for where the kind was made to be read as a picture, and the other way round
SAME_FORMAT = {
    (".csv", "data.table"): {"data.column_missing", "data.prediction_malformed", "prediction.column_missing"},
    (".csv", "data.column_missing"): {"prediction.column_missing"},
    **{
        (".h5", code): {"data.array_missing"}
        for code in ("file.refers_elsewhere", "file.corrupt", "data.not_real", "data.axes", "file.too_large")
    },
}
OTHER_PICTURE = {"data.not_a_label_map", "data.white_is_zero", "data.picture_format", "data.mask_not_binary"}


def fits(kind, role):
    """Whether the kind is bad in that place: what is no label map may be a good image."""
    return role != "input" or kind[3] not in ("data.not_a_label_map", "data.white_is_zero")


def cases_with(made_release, role):
    """A case of every task that has such a file."""
    chosen = {}
    if role == "reference" and made_release.classes_alone:
        return []
    for case in made_release.cases:
        if target(made_release, case, role) is not None:
            chosen.setdefault(case.facts.get("task", ""), case)
    return list(chosen.values())


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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_bad_file_fails_its_case_with_its_code(name, home, tmp_path, say):
    made_release = release(name, home)
    counts, wrong = Counter(), []
    for role in ROLES:
        for case in cases_with(made_release, role):
            path = target(made_release, case, role)
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


def turns(request):
    """For each whole command, some kinds in turn; all of them where that is asked for."""
    everything = request.config.getoption("--all-commands")
    chosen = itertools.cycle(KINDS)
    return lambda role: (
        [kind for kind in (KINDS if everything else [next(chosen)]) if fits(kind, role)] or [KINDS[0]]
    )


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
        {"landmarks": "heatmap_unet.test", "boxes": "medformer.retinanet.test"}.get(
            next(iter(demands)), "dssau_net.test"
        ),
        made_release.name,
        data=made_release.root,
        split=made_release.split,
        weights="none",
        seed=int(name),
    )


def check_outputs(finished, board_rows):
    folder = finished.folder
    assert json.loads((folder / "record.json").read_text())["counts"]["total"] == len(finished.rows)
    assert (folder / "report.html").stat().st_size > 1000
    assert len((folder / "cases.jsonl").read_text().splitlines()) == len(finished.rows)
    board = leaderboards_folder() / finished.record.challenge.name / "results.jsonl"
    assert len(board.read_text().splitlines()) == board_rows


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", WRITERS)
def test_a_bad_file_never_loses_the_others_in_a_whole_command(
    name, home, tmp_path, monkeypatch, request, say
):
    made_release = release(name, home)
    monkeypatch.setattr(Setup, "predictor", lambda *_: Answers(made_release))
    monkeypatch.setattr(Setup, "count_parameters", lambda _: 1)
    monkeypatch.setattr(Setup, "untrained_parts", lambda _: [])
    monkeypatch.setattr("medbench.records.writing.environment", functools.cache(environment))
    monkeypatch.setattr("medbench.records.page.WORST", 2)
    next_kinds = turns(request)
    for _ in range(list(WRITERS).index(name) * 7):
        next_kinds("prediction")
    right = {
        "evaluate": finished_by("evaluate", made_release, "0"),
        "run": finished_by("run", made_release, "0"),
    }
    assert scored(right["evaluate"].rows) == scored(right["run"].rows)
    assert all(finished.exit_code == 0 for finished in right.values())
    good, boards, count = scored(right["run"].rows), 2, 0
    for command, role in itertools.product(COMMANDS, ROLES):
        if (command, role) in (("run", "prediction"), ("hosted", "input"), ("evaluate", "input")):
            continue
        if not cases_with(made_release, role):
            continue
        case = cases_with(made_release, role)[-1]
        path = target(made_release, case, role)
        for kind in next_kinds(role):
            count += 1
            with replaced(path, kind, tmp_path):
                if command == "hosted":
                    rows = hosted(made_release, tmp_path)
                    others = {key: row["scores"] for key, row in rows.items() if row["status"] == "ok"}
                    bad = {key for key, row in rows.items() if row["status"] == "failed"}
                else:
                    finished = finished_by(command, made_release, str(count))
                    boards += 1
                    assert finished.exit_code == 1
                    check_outputs(finished, boards)
                    others = scored(row for row in finished.rows if row.status == "ok")
                    (row,) = [row for row in finished.rows if row.case == case.id]
                    assert row.evidence["refusal"] in expected_codes(kind, path, role), (kind[0], row.reason)
                    bad = {row.case for row in finished.rows if row.status == "failed"}
            assert case.id in bad, kind[0]
            assert len(bad) <= 2
            assert len(others) >= len(good) - 2 >= CASES - 2
            assert others == {key: good[key] for key in others}
    say(f"{name}: {count} whole commands with one bad file")
