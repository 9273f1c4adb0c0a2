"""Two folders of label maps, any format, without a challenge."""

import os
import threading
import zipfile
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import medbench
from medbench.core.case import Volume
from medbench.core.errors import MedbenchError
from medbench.core.seals import read_lines
from medbench.io import raster
from medbench.io.nifti_mha import write_volume
from medbench.running import batches, executors, pair_scores
from medbench.running.folders import evaluate_folders

SPACING = (3.0, 0.8, 0.8)


def ball(shift=0, shape=(12, 40, 40)):
    z, y, x = np.indices(shape)
    labels = (((z - 6) / 4) ** 2 + ((y - 18 - shift) / 9) ** 2 + ((x - 20) / 9) ** 2 <= 1).astype(np.uint8)
    labels[:, 34:38, 4:8] = 2
    return labels


@pytest.fixture
def folders(tmp_path):
    for number in range(4):
        write_volume(tmp_path / "ref" / "a" / f"case{number}.nii.gz", Volume(ball(), SPACING))
        write_volume(tmp_path / "pred" / "a" / f"case{number}.mha", Volume(ball(number), SPACING))
    return tmp_path / "ref", tmp_path / "pred"


METRICS = ["dice", "hd95.pooled"]


def test_formats_mix_and_spacing_comes_from_the_file(folders, tmp_path):
    scores = evaluate_folders(*folders, METRICS, output=tmp_path / "pairs.jsonl")
    expected = [
        medbench.score("hd95.pooled", ball() == 1, ball(number) == 1, spacing=SPACING).value
        for number in range(4)
    ]
    assert [row.scores["1/hd95.pooled"].value for row in scores.rows] == pytest.approx(expected)
    assert scores.aggregates["1/hd95.pooled"].value == pytest.approx(np.mean(expected))
    assert scores.aggregates["2/dice"].value == 1
    assert scores.specs["1/hd95.pooled"].unit == "mm"
    assert len(read_lines(tmp_path / "pairs.jsonl")) == 4
    assert scores.exit_code == 0


@pytest.mark.parametrize(
    ("field", "volume"),
    [
        ("size", Volume(ball(shape=(12, 40, 44)), SPACING)),
        ("spacing", Volume(ball(), (3.0, 0.8, 0.9))),
        ("origin", Volume(ball(), SPACING, (1.0, 0.0, 0.0))),
        ("direction", Volume(ball(), SPACING, None, (1, 0, 0, 0, -1, 0, 0, 0, 1))),
    ],
)
def test_another_geometry_is_refused_by_field_and_values(folders, field, volume):
    write_volume(folders[1] / "a" / "case1.mha", volume)
    scores = evaluate_folders(*folders, METRICS)
    (bad,) = [row for row in scores.rows if row.status == "failed"]
    assert bad.case == "a/case1"
    assert f"the {field} of the prediction is" in bad.reason
    assert scores.aggregates["1/dice"].scored == 3
    assert scores.aggregates["1/dice"].failed == 1
    assert scores.exit_code == 1


def test_resampling_to_the_reference_is_explicit(folders):
    shifted = Volume(np.roll(ball(), 2, axis=2), SPACING, (0.0, 0.0, -1.6))
    write_volume(folders[1] / "a" / "case0.mha", shifted)
    scores = evaluate_folders(*folders, ["dice"], resample_to_reference=True)
    assert scores.rows[0].scores["1/dice"].value == 1


def test_resampling_leaves_what_lies_on_the_grid_and_reads_labels_as_ever(tmp_path):
    """Axes that are not at right angles, and labels of scaled integers, which are 0.996 and 2."""
    import nibabel

    labels = ball().T
    affine = np.diag([0.8, 0.8, 3, 1.0])
    affine[1, 2] = 0.8
    scaled = nibabel.Nifti1Image(labels.astype(np.float64), affine)
    scaled.set_data_dtype(np.uint8)
    shifted = nibabel.Nifti1Image(np.roll(labels, 2, 0).astype(np.float64), np.diag([0.8, 0.8, 3, 1.0]))
    shifted.affine[0, 3] = -1.6
    shifted.set_data_dtype(np.uint8)
    shifted.set_sform(shifted.affine, 1)
    for folder, sheared, straight in (
        ("r", nibabel.Nifti1Image(labels, affine), nibabel.Nifti1Image(labels, np.diag([0.8, 0.8, 3, 1.0]))),
        ("p", scaled, shifted),
    ):
        (tmp_path / folder).mkdir()
        nibabel.save(sheared, tmp_path / folder / "sheared.nii.gz")
        nibabel.save(straight, tmp_path / folder / "straight.nii.gz")
    scores = evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"], resample_to_reference=True)
    assert [row.reason for row in scores.rows] == ["", ""]
    assert {score.value for row in scores.rows for score in row.scores.values()} == {1.0}


def test_resampling_follows_no_link_out_of_the_folder(folders):
    path = folders[1] / "a" / "case0.mha"
    path.unlink()
    path.with_suffix(".nii.gz").symlink_to(folders[0] / "a" / "case0.nii.gz")
    (row, *_) = evaluate_folders(*folders, ["dice"], resample_to_reference=True).rows
    assert (row.status, row.evidence["refusal"]) == ("failed", "file.link_outside")


def test_missing_and_unreadable_predictions_are_counted(folders):
    (folders[1] / "a" / "case0.mha").unlink()
    (folders[1] / "a" / "case1.mha").write_bytes(b"torn")
    scores = evaluate_folders(*folders, METRICS)
    figures = scores.aggregates["1/dice"]
    assert (figures.scored, figures.failed, figures.missing) == (2, 1, 1)
    assert "case1.mha" in scores.rows[1].reason


def test_images_need_a_spacing_for_distances(tmp_path):
    from medbench.io.raster import write_label_map

    for folder in ("ref", "pred"):
        write_label_map(tmp_path / folder / "x.png", ball()[6])
    with pytest.raises(MedbenchError) as caught:
        evaluate_folders(tmp_path / "ref", tmp_path / "pred", METRICS)
    assert "--spacing" in caught.value.hint
    in_pixels = evaluate_folders(tmp_path / "ref", tmp_path / "pred", METRICS, spacing="pixel")
    assert in_pixels.specs["1/hd95.pooled"].unit == "px"
    assert in_pixels.aggregates["1/hd95.pooled"].value == 0


def test_names_that_do_not_pair_say_how(folders, tmp_path):
    (tmp_path / "other").mkdir()
    write_volume(tmp_path / "other" / "out_1.mha", Volume(ball(), SPACING))
    with pytest.raises(MedbenchError, match="holds no prediction"):
        evaluate_folders(folders[0], tmp_path / "other", METRICS)
    single = evaluate_folders(folders[0] / "a" / "case1.nii.gz", tmp_path / "other" / "out_1.mha", METRICS)
    assert single.aggregates["1/dice"].value == 1


@pytest.mark.parametrize(
    ("rename", "paired"),
    [((".nii.gz", "_pred.mha"), [0, 1, 2, 3]), (("0.nii.gz", "0_pred.nii.gz"), [0]), (("e", "e"), [])],
)
def test_a_rename_may_reach_into_the_suffix(folders, rename, paired):
    for path in sorted((folders[1] / "a").iterdir()):
        path.rename(path.with_name(f"{path.stem}_pred.mha"))
    write_volume(folders[1] / "a" / "other.mha", Volume(ball(), SPACING))
    write_volume(folders[0] / "a" / "other.nii", Volume(ball(), SPACING))
    scores = evaluate_folders(*folders, ["dice"], rename=rename)
    names = [row.case for row in scores.rows if row.status == "ok"]
    assert names == [*(f"a/case{number}" for number in paired), "a/other"]


def zipped(path, *members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, source in members:
            archive.write(source, name)
    return path


def test_a_zip_is_opened_however_deep_its_files_lie_and_named_where_they_do_not_pair(folders, tmp_path):
    reference, prediction = folders[0] / "a" / "case0.nii.gz", folders[1] / "a" / "case0.mha"
    deep = zipped(tmp_path / "deep.zip", ("x/y/z/case0.mha", prediction))
    assert evaluate_folders(folders[0] / "a", deep, ["dice"]).rows[0].status == "ok"
    other = zipped(tmp_path / "other.zip", ("x/CASE0.mha", prediction))
    with pytest.raises(MedbenchError) as caught:
        evaluate_folders(folders[0] / "a", other, ["dice"])
    assert caught.value.code == "predictions.none"
    assert caught.value.message.startswith(f"{other}: holds no prediction")
    assert "CASE0.mha differs by case only" in caught.value.message
    for places in (
        (other, folders[1]),
        (folders[0], tmp_path / "a.tar.gz"),
        (reference, tmp_path / "a.tar.gz"),
    ):
        (tmp_path / "a.tar.gz").write_bytes(b"x")
        with pytest.raises(MedbenchError, match="is no type of label maps") as caught:
            evaluate_folders(*places, ["dice"])
        assert caught.value.hint == "Unpack it, and give the folder."
    with pytest.raises(MedbenchError, match="--rename has no effect on two files"):
        evaluate_folders(reference, prediction, ["dice"], rename=("case", "pred"))


def test_a_rename_that_changes_no_name_is_refused(folders):
    with pytest.raises(MedbenchError, match=r"no name holds '_gt', for example a/case0\.nii\.gz") as caught:
        evaluate_folders(*folders, ["dice"], rename=("_gt", "_pred"))
    assert caught.value.code == "option.ignored"


def test_workers_do_not_change_the_result(folders):
    one, four = (evaluate_folders(*folders, METRICS, workers=workers) for workers in (1, 4))
    assert one.rows == four.rows


def test_every_file_is_read_once(folders, monkeypatch):
    paths = []
    read = pair_scores.read_labels
    monkeypatch.setattr(
        pair_scores, "read_labels", lambda path, **options: (paths.append(path), read(path, **options))[1]
    )
    assert len(evaluate_folders(*folders, METRICS, workers=1).rows) == 4
    assert len(paths) == len(set(paths)) == 8


EVERY = ["dice", "iou", "hd", "hd95.pooled", "assd.pooled", "hd.set", "precision", "sensitivity"]


@pytest.mark.parametrize("empty", [None, "diagonal", "agree"])
def test_labels_of_other_references_score_as_if_all_were_asked_for(folders, empty):
    one, two = (ball() * (ball() == label) for label in (1, 2))
    write_volume(folders[0] / "a" / "case0.nii.gz", Volume(one, SPACING))  # its prediction has label 2
    write_volume(folders[0] / "a" / "case1.nii.gz", Volume(two, SPACING))
    write_volume(folders[1] / "a" / "case1.mha", Volume(two, SPACING))  # neither has label 1
    write_volume(folders[0] / "a" / "case2.nii.gz", Volume(two * 0, SPACING))
    write_volume(
        folders[1] / "a" / "case2.mha", Volume(np.where(ball() == 2, 7, 0).astype(np.uint8), SPACING)
    )
    (folders[1] / "a" / "case3.mha").unlink()
    write_volume(
        folders[0] / "a" / "case3.nii.gz", Volume(two * 2, SPACING)
    )  # label 4 alone has no prediction
    ids = [name for name in medbench.list_metrics() if name in EVERY]
    assert len(ids) == len(EVERY)
    keywords = {"empty": empty, "workers": 1}
    asked = evaluate_folders(*folders, ids, labels=[1, 2, 4], **keywords)
    turned_up = evaluate_folders(*folders, ids, **keywords)
    assert list(turned_up.specs) == list(asked.specs)
    assert [row.scores for row in turned_up.rows] == [row.scores for row in asked.rows]
    assert [list(row.scores) for row in turned_up.rows] == [list(row.scores) for row in asked.rows]
    assert turned_up.aggregates == asked.aggregates
    assert "a/case2: label 7 (192 of 19,200 voxels) is in no reference" in turned_up.notes


def of_group(name):
    return name[:-1]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])  # forked while there is one, else spawned
def test_processes_do_not_change_the_result(folders, monkeypatch, threads):
    monkeypatch.setattr(executors.threading, "active_count", lambda: threads)
    monkeypatch.setattr(executors.JoiningProcesses, "_work_here", lambda self: None)
    write_volume(folders[1] / "a" / "case1.mha", Volume(ball(shape=(12, 40, 44)), SPACING))
    keywords = {"group_of": of_group, "labels": [1, 2, 5]}
    by_threads = evaluate_folders(*folders, METRICS, **keywords)
    with executors.joining_processes(2) as processes:
        assert processes.submit(os.getpid).result() != os.getpid()
        shared = evaluate_folders(*folders, METRICS, workers=processes, **keywords)
    assert shared.rows == by_threads.rows
    assert shared.aggregates == by_threads.aggregates


class Deadly(ThreadPoolExecutor):
    """Threads that lose every call with a given pair as a process loses one that kills it."""

    def __init__(self, deadly):
        super().__init__(2)
        self.deadly = deadly

    def submit(self, function, /, pairs):
        if self.deadly in [pair.name for pair in pairs]:
            return super().submit(self.die)
        return super().submit(function, pairs)

    def die(self):
        raise BrokenExecutor


def test_a_pair_that_kills_its_workers_fails_alone(folders, monkeypatch):
    monkeypatch.setattr(batches, "SHARES", 1)
    whole = evaluate_folders(*folders, METRICS)
    with Deadly("a/case2") as workers:
        scores = evaluate_folders(*folders, METRICS, workers=workers)
    lost = scores.rows[2]
    assert lost.status == "failed"
    assert "died 3 times" in lost.reason
    assert [row for row in scores.rows if row is not lost] == [whole.rows[place] for place in (0, 1, 3)]


@pytest.mark.parametrize("deadly", [0, 1, 2])
def test_a_call_that_kills_its_process_is_blamed_and_no_other(monkeypatch, deadly):
    monkeypatch.setattr(executors.threading, "active_count", lambda: 1)
    executor = executors.JoiningProcesses(1)
    calls = [executor.submit(os._exit if number == deadly else abs, -number) for number in range(4)]
    with pytest.raises(BrokenExecutor):
        calls[deadly].result(60)
    assert [call.result(60) for call in calls if call is not calls[deadly]] == [
        number for number in range(4) if number != deadly
    ]
    executor.shutdown()


def test_copies_give_errors_and_large_results_in_the_order_of_their_calls(monkeypatch):
    monkeypatch.setattr(executors.threading, "active_count", lambda: 1)
    with executors.joining_processes(2) as processes:
        large = [processes.submit(bytes, 1 << 20 | number) for number in range(6)]
        long_calls = [processes.submit(len, bytes(1 << 20 | number)) for number in range(6)]
        wrong = processes.submit(int, "x")
        untold = processes.submit(eval, "lambda: 0")
        unsent = processes.submit(len, lambda: 0)
        assert [len(one.result(60)) for one in large] == [1 << 20 | number for number in range(6)]
        assert [one.result(60) for one in long_calls] == [1 << 20 | number for number in range(6)]
        with pytest.raises(ValueError, match="invalid literal"):
            wrong.result(60)
        with pytest.raises(TypeError, match="its result cannot be sent"):
            untold.result(60)
        assert "pickle" in str(unsent.exception(60)).lower()


def test_the_collector_spares_what_copies_share_while_they_live(monkeypatch):
    monkeypatch.setattr(executors.threading, "active_count", lambda: 1)
    monkeypatch.setattr("medbench.running.forked.gc.get_freeze_count", lambda: 0)
    frozen = []
    monkeypatch.setattr("medbench.running.forked.gc.freeze", lambda: frozen.append(1))
    monkeypatch.setattr("medbench.running.forked.gc.unfreeze", lambda: frozen.pop())
    with executors.joining_processes(1) as processes:
        assert processes.submit(abs, -1).result(60) == 1
        assert frozen == [1]
    assert frozen == []


def test_calls_that_have_not_begun_are_dropped_on_request(monkeypatch):
    monkeypatch.setattr(executors.threading, "active_count", lambda: 2)
    executor = executors.JoiningProcesses(1)
    begun = threading.Event()
    go_on = threading.Event()

    def wait():
        begun.set()
        return go_on.wait(30)

    first, second = executor.submit(wait), executor.submit(os.getpid)
    assert begun.wait(30)
    executor.shutdown(wait=False, cancel_futures=True)
    go_on.set()
    assert first.result(30)
    assert second.cancelled()


def test_labels_that_no_reference_holds_are_refused_with_those_that_they_hold(tmp_path, command):
    for folder in ("r", "p"):
        for name, value in (("a", 255), ("b", 0)):
            mask = np.zeros((6, 8), np.uint8)
            mask[2:4, 2:5] = value
            raster.write_label_map(tmp_path / folder / f"{name}.png", mask)
    words = ("evaluate", "-r", tmp_path / "r", "-p", tmp_path / "p", "--metrics", "dice", "--labels")
    told = command(*words, "1")
    assert told.code == 2
    assert told.err.splitlines() == [
        "error: No reference holds label 1. They hold 0 and 255. [data.no_labels]",
        "hint:  Try --labels 255.",
    ]
    assert command(*words, "1,255").code == 0


@pytest.mark.parametrize(
    ("code", "metrics", "keywords"),
    [
        ("metric.none", [], {}),
        ("metric.family", ["dice", "auc"], {}),
        ("metric.empty_policy", METRICS, {"empty": "foo"}),
        ("metric.spacing", METRICS, {"spacing": (1.0, float("nan"), 1.0)}),
        ("metric.spacing", METRICS, {"spacing": (-1.0, 1.0, 1.0)}),
    ],
)
def test_settings_that_fit_no_pair_are_refused_at_once(folders, monkeypatch, code, metrics, keywords):
    monkeypatch.setattr(pair_scores, "read_labels", None)
    with pytest.raises(MedbenchError) as refusal:
        evaluate_folders(*folders, metrics, **keywords)
    assert refusal.value.code == code


@pytest.mark.parametrize("name", ["ref/a/case0.nii.gz", "ref/rows.jsonl", "pred/rows.jsonl", "pred"])
def test_rows_replace_nothing_that_is_scored(folders, tmp_path, name):
    before = sorted(path for folder in folders for path in folder.rglob("*"))
    content = (folders[0] / "a" / "case0.nii.gz").read_bytes()
    with pytest.raises(MedbenchError, match=r"is a folder|whose files are scored"):
        evaluate_folders(*folders, METRICS, output=tmp_path / name)
    assert sorted(path for folder in folders for path in folder.rglob("*")) == before
    assert (folders[0] / "a" / "case0.nii.gz").read_bytes() == content


def _masks(folder, *values):
    for place, value in enumerate(values):
        mask = np.zeros((6, 8), np.uint8)
        mask[2:4, 2:5] = value
        raster.write_label_map(folder / f"{place}.png", mask)


def test_references_that_show_no_label_are_told_by_the_very_cause(tmp_path, monkeypatch):
    references, predictions = tmp_path / "r", tmp_path / "p"
    _masks(references, 0, 0)
    _masks(predictions, 1, 1)
    with pytest.raises(MedbenchError, match="No reference holds a label other than 0: all 2 are empty"):
        evaluate_folders(references, predictions, ["dice"])
    monkeypatch.setenv("MEDBENCH_MEMORY_LIMIT", "10")
    with pytest.raises(
        MedbenchError, match=r"None of the 2 pairs can be scored, the first: .*0\.png: takes"
    ) as told:
        evaluate_folders(references, predictions, ["dice"])
    assert (told.value.code, "--memory-limit" in told.value.hint) == ("file.too_large", True)
    monkeypatch.delenv("MEDBENCH_MEMORY_LIMIT")
    (predictions / "0.png").unlink()
    (references / "0.png").unlink()
    with pytest.raises(MedbenchError, match="No reference holds a label other than 0: it is empty"):
        evaluate_folders(references, predictions, ["dice"])
    _masks(references, 0)
    _masks(predictions, 1)
    (references / "1.png").write_bytes(b"no image")
    with pytest.raises(
        MedbenchError, match=r"is read holds a label other than 0; 1 of 2 pairs failed.*1\.png"
    ):
        evaluate_folders(references, predictions, ["dice"])


def test_the_first_pair_that_fails_is_the_first_by_name_whichever_ends_first(tmp_path, monkeypatch):
    _masks(tmp_path / "r", 0, 0, 0)
    _masks(tmp_path / "p", 1, 1, 1)
    for name in ("1.png", "2.png"):
        (tmp_path / "r" / name).write_bytes(b"no image")
    monkeypatch.setattr(
        "medbench.running.folders.in_batches", lambda *order: reversed([*batches.in_batches(*order)])
    )
    monkeypatch.setattr("medbench.running.folders.MOST_TOGETHER", 1)
    with pytest.raises(MedbenchError, match=r"2 of 3 pairs failed, the first: .*1\.png"):
        evaluate_folders(tmp_path / "r", tmp_path / "p", ["dice"])


def test_a_memory_limit_without_its_unit_is_told(tmp_path, command, monkeypatch):
    monkeypatch.setenv("MEDBENCH_MEMORY_LIMIT", "")  # which the command sets, and this puts back
    words = ("evaluate", "-r", tmp_path, "-p", tmp_path, "--metrics", "dice", "--memory-limit")
    assert "--memory-limit 8 is 8 bytes, too little for any image." in command(*words, "8").err
    assert "holds no label map" in command(*words, "1MiB").err


def test_a_folder_without_label_maps_is_told_whichever_it_is(tmp_path):
    (tmp_path / "empty").mkdir()
    _masks(tmp_path / "full", 1)
    with pytest.raises(MedbenchError, match="empty: holds no label map; it is empty") as told:
        evaluate_folders(tmp_path / "empty", tmp_path / "full", ["dice"])
    assert told.value.code == "data.empty"
    with pytest.raises(MedbenchError, match=r"in .*full; it holds no label map at all") as told:
        evaluate_folders(tmp_path / "full", tmp_path / "empty", ["dice"])
    assert told.value.code == "predictions.none"


@pytest.mark.parametrize("labels", ["1", [1.5], ["1"], [None]])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path, labels):
    np.save(tmp_path / "a.npy", np.ones((4, 4), np.uint8))
    with pytest.raises(MedbenchError) as caught:
        evaluate_folders(tmp_path / "a.npy", tmp_path / "a.npy", ["dice"], labels=labels)
    assert caught.value.code == "metric.labels"
