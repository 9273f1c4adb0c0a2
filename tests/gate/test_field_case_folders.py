"""Every folder of inputs that failed in the field is claimed by tests, and its files get their right values.

The folders lie beside the checkout, as the real samples do; where they are absent these tests are skipped and
those that make the same inputs by script remain.
"""

import ast
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.io import hdf5, nifti_mha, video
from medbench.io.images import read_labels
from medbench.running.evaluate import evaluate
from medbench.running.folders import evaluate_folders
from medbench.submissions.host.serving import evaluate_results
from medbench.submissions.serving.session import Roots

TESTS = Path(__file__).parents[1]
FOLDERS = TESTS.parents[1] / "shared" / "field_cases"
HERE, COMMANDS = "gate/test_field_case_folders.py", "gate/test_commands.py"
MADE = "gate/test_field_cases.py"
CLAIMS = {
    "appledouble": [f"{MADE}::test_appledouble", f"{COMMANDS}::test_appledouble"],
    "checkpoint-wrappers": [
        "inference/test_weights.py::test_the_usual_wrappers_come_off",
        "inference/test_weights.py::test_safetensors_are_taken",
    ],
    "codabench-nested": [f"{HERE}::test_a_zip_of_a_folder", f"{COMMANDS}::test_codabench_nested"],
    "gz-crc": [f"{HERE}::test_two_folders", f"{MADE}::test_gz_crc"],
    "h5-external-link": [f"{HERE}::test_links_in_hdf5", f"{MADE}::test_h5_external_link"],
    "ignored-option": [f"{HERE}::test_an_identity_header", f"{COMMANDS}::test_ignored_option"],
    "interval-nearly-perfect": [
        "statistics/test_intervals.py::test_one_bad_group_moves_both_ends_off_the_estimate",
        "statistics/test_intervals.py::test_a_tenth_of_the_groups_at_zero_is_covered",
        "statistics/test_intervals.py::test_groups_that_all_agree_have_an_exact_bound",
    ],
    "mha-damaged-stream": [f"{HERE}::test_two_folders", f"{HERE}::test_answers_without_pixels"],
    "nan-weights": [
        "inference/test_weights.py::test_weights_that_are_not_finite_are_refused_by_name",
        "inference/test_weights.py::test_no_label_map_is_made_of_what_is_no_number",
    ],
    "nifti2": [f"{HERE}::test_two_folders", f"{MADE}::test_nifti2"],
    "nnunet-kinds": [
        "nnunet/test_foreign_models.py::test_a_model_of_one_grey_channel_is_fed_that_channel",
        "nnunet/test_foreign_models.py::test_a_model_of_regions_writes_the_values_of_its_class_order",
    ],
    "nnunet-mixed-folds": [
        "nnunet/test_foreign_models.py::test_finished_folds_are_never_averaged_with_unfinished_ones"
    ],
    "scaled-labels": [f"{HERE}::test_two_folders", f"{MADE}::test_scaled_labels"],
    "sheared-affine": [f"{HERE}::test_two_folders", f"{MADE}::test_sheared_affine"],
    "suffix-vanishes": [f"{HERE}::test_two_folders", f"{COMMANDS}::test_suffix_vanishes"],
    "summary-not-binary": [
        "metrics/tasks/test_long_segmentation.py::test_scores_lengths_and_transposed_annotators_are_no_summaries"
    ],
    "tiff-damaged-strip": [f"{HERE}::test_two_folders", f"{MADE}::test_tiff_damaged_strip"],
    "tilde": [
        f"{COMMANDS}::test_tilde",
        "running/test_shared_artifacts.py::test_a_tilde_in_a_variable_is_the_home_folder",
    ],
    "twin-nii": [f"{HERE}::test_two_folders", f"{COMMANDS}::test_twin_nii"],
    "video-frame-count": [f"{HERE}::test_a_pause", f"{MADE}::test_video_frame_count"],
    "volume-duplicates": [f"{COMMANDS}::test_volume_duplicates"],
    "weights-of-other-labels": [
        "inference/test_weights.py::"
        "test_weights_of_other_labels_of_the_same_number_are_refused_with_both_lists"
    ],
    "white-is-zero": [f"{HERE}::test_two_folders", f"{MADE}::test_white_is_zero"],
}
TRAINING = {"ctrl-c", "encoder-start-moved", "recipe-typos", "resume-with-workers"}
"""Of training, not of files: their tests stand with what trains."""

DAMAGED = "file.corrupt"
# folder of references, of predictions, then by case the refusal's code or Dice by label
FIELD = [
    ("gz-crc", "r", "p", {"int16": DAMAGED, "uint8": DAMAGED}),
    ("mha-damaged-stream", "r", "p", {"cut": DAMAGED, "flip": DAMAGED, "zeroed": DAMAGED}),
    ("nifti2", "r", "p", {"a": {"1": 1}, "b": {"1": 1}}),
    ("nifti2", "r1", "p2", {"a": {"1": 1}, "b": {"1": 1}}),
    ("scaled-labels", "r", "p", {"a": {"1": 1, "2": 1}}),
    ("sheared-affine", "r", "p", {"gantry_tilt": {"1": 0.9333}, "rounded": {"1": 0.9333}}),
    ("suffix-vanishes", "r", "p", {"c1": {"1": 1}, "c2": {"1": 0}, "c3": {"1": 0}}),
    ("tiff-damaged-strip", "r", "p", {"lzw": DAMAGED, "packbits": DAMAGED, "zlib": DAMAGED}),
    ("twin-nii", "r", "p", {"c4": {"1": 0.8}}),
    ("twin-nii", "r", "p_alone", {"c4": {"1": 0.8}}),
    ("white-is-zero", "r", "p", {"boolean": "data.white_is_zero", "eight_bit": "data.white_is_zero"}),
]


@pytest.fixture
def field():
    if not FOLDERS.is_dir():
        pytest.skip(f"no inputs of the field beside the checkout ({FOLDERS})")
    return FOLDERS


def functions(path):
    """Names of functions and of tables at the top of a module of tests."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_every_folder_is_claimed_by_tests_that_are_there(field, say):
    folders = {path.name for path in field.iterdir() if path.is_dir()}
    assert folders - CLAIMS.keys() - TRAINING == set()
    for claims in CLAIMS.values():
        for claim in claims:
            name, function = claim.split("::")
            assert function in functions(TESTS / name), claim
    say(
        f"{len(folders)} folders of inputs from the field: {len(folders & CLAIMS.keys())} claimed by tests, "
        f"{len(folders & TRAINING)} of training"
    )


@pytest.mark.parametrize(
    ("folder", "references", "predictions", "right"), FIELD, ids=[f"{row[0]}-{row[2]}" for row in FIELD]
)
def test_two_folders(field, folder, references, predictions, right):
    home = field / folder
    scores = evaluate_folders(home / references, home / predictions, ["dice"])
    assert {row.case for row in scores.rows} == set(right)
    for row in scores.rows:
        wanted = right[row.case]
        if isinstance(wanted, str):
            assert (row.status, row.evidence["refusal"]) == ("failed", wanted)
            continue
        assert row.status == "ok", row
        dice = {name.split("/")[0]: score.value for name, score in row.scores.items()}
        assert dice == pytest.approx(wanted, abs=5e-5)


def test_answers_without_pixels(field):
    paths = sorted((field / "mha-damaged-stream" / "p_psfhs").iterdir())
    assert len(paths) == 20
    for path in paths:
        with pytest.raises(MedbenchError, match=path.name) as caught:
            read_labels(path)
        assert caught.value.code == DAMAGED


def test_links_in_hdf5(field):
    paths = sorted((field / "h5-external-link" / "p").iterdir())
    assert paths
    for path in paths:
        with pytest.raises(MedbenchError, match=path.name) as caught:
            hdf5.read_arrays(path, "label")
        assert caught.value.code == "file.refers_elsewhere"


def test_a_pause(field):
    path = field / "video-frame-count" / "paused.avi"
    assert video.count_frames(path) == len(video.read_frames(path)) == 40
    pytest.importorskip("av")
    from medbench.io.video_stream import iterate_frames

    assert sum(1 for _ in iterate_frames(path)) == 40


def test_a_zip_of_a_folder(field, tmp_path):
    """The references are the answers themselves, so that the score is 1."""
    results = Path(shutil.copytree(field / "codabench-nested/app/input/res", tmp_path / "app/input/res"))
    answers = sorted((results / "my_submission").glob("*.mha"))
    for path in answers:
        labels = nifti_mha.read_volume(path)
        image = Volume(np.repeat(labels.array[None].astype(np.uint8), 3, axis=0), (1.0,) * 3)
        nifti_mha.write_volume(tmp_path / "app/input/ref/image_mha" / path.name, image)
        (tmp_path / "app/input/ref/label_mha").mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / "app/input/ref/label_mha")
    evaluate_results({"challenge": "psfhs", "split": "test"}, Roots(tmp_path))
    details = json.loads((tmp_path / "app/output/details.json").read_text())["cases"]
    assert [row["status"] for row in details] == ["ok"] * len(answers)
    assert json.loads((tmp_path / "app/output/scores.json").read_text())["score"] == 1


def test_an_identity_header(field, tmp_path):
    """Right voxels that another header lays elsewhere are refused, as the organisers' programs do."""
    predictions = field / "ignored-option" / "p"
    for path in sorted(predictions.iterdir()):
        labels, case = nifti_mha.read_volume(path), path.name.removesuffix(".nii.gz")
        own = Volume(labels.array, (1.0,) * 3, (0.0, -239.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))
        for kind in ("seg", "t1n", "t1c", "t2w", "t2f"):
            nifti_mha.write_volume(tmp_path / "test" / case / f"{case}-{kind}.nii.gz", own)
    rows = evaluate("brats2023_gli", predictions, data=tmp_path).rows
    assert len(rows) == len(list(predictions.iterdir()))
    assert {(row.status, row.evidence["refusal"]) for row in rows} == {("failed", "data.geometry")}
