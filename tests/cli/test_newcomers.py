"""What a newcomer gets wrong: each is one line that names the very fault, and a hint that leads on."""

import os
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from medbench.challenges.psfhs.sample import write_sample
from medbench.cli.console import fail, print_table
from medbench.core.errors import MedbenchError
from medbench.core.files import write_text
from medbench.core.writable import of_system, refuse_device, refuse_unwritable
from medbench.io import raster

NOWHERE = "/proc"
"""A folder that takes no file, from root neither."""
no_proc = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="skipped: this system has no /proc")


def lines(told):
    first, second = told.err.strip().splitlines()[-2:]
    assert told.code == 2
    assert "[internal]" not in told.err
    return first, second.removeprefix("hint:  ")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("models", "dssau_net"), "For one of them: medbench models show dssau_net"),
        (("challenges", "kpis_patch"), "For one of them: medbench challenges show kpis_patch"),
        (("leaderboard", "hc18"), "For one of them: medbench leaderboard show hc18"),
        (
            ("run", "dssau_net", "iugc2024"),
            "Values follow their options: medbench run -m dssau_net -c iugc2024",
        ),
        (("profile", "dssau_net"), "Values follow their options: medbench profile -m dssau_net"),
        (("doctor", "x"), "See 'medbench doctor --help'."),
        (("report", "x", "y"), "See 'medbench report --help'."),
        (("evaluate", "refs", "preds"), "See 'medbench evaluate --help'."),
        (("report", "one", "another"), "See 'medbench report --help'."),
        (("run", "-m", "dssau_net", "-c", "hc18", "x"), "See 'medbench run --help'."),
        (("run", "dssau_net", "hc18", "x"), "See 'medbench run --help'."),
        (("models", "showw", "x"), "See 'medbench models --help'."),
        (("run", "-m", "iugc2024", "-c", "dssau_net"), "Give it by --model: -m dssau_net -c iugc2024."),
        (("run", "-m", "qqq", "-c", "hc18"), "'medbench models' lists the names."),
        (("run", "-m", "dssau_net", "-c", "qqq"), "'medbench challenges' lists the names."),
        (("metrics", "show", "qqq"), "'medbench metrics' lists the names."),
        (("run", "-m", "dssau_net", "-c", "iugc24"), "Did you mean iugc2024, iugc2025?"),
    ],
)
def test_a_slip_is_led_on(words, hint, command):
    assert lines(command(*words))[1] == hint


@pytest.mark.parametrize("verb", ["models", "challenges", "metrics"])
def test_a_pattern_that_nothing_matches_says_so(verb, command):
    told = command(verb, "--match", "zzz")
    assert told.code == 0
    assert told.out.strip().endswith("by '*zzz*'.")
    assert command(verb, "--match", "zzz", "--json").out.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("evaluate", "-c", "hc18", "-p", "{file}"), "{file}: is neither a folder of predictions nor a zip."),
        (("evaluate", "-c", "hc18", "-p", "{empty}", "--data", "{file}"), "{file}: is a file, not a folder."),
        (("evaluate", "-c", "hc18", "--predictions-json", "{absent}"), "{absent}: there is no such file."),
        (("evaluate", "-r", "{empty}", "-p", "{empty}"), "{empty}: holds no label map; it is empty."),
        (
            ("evaluate", "-r", "{file}", "-p", "{empty}"),
            "{empty}: holds no prediction for the one reference in {file}; it holds no label map at all.",
        ),
        (("merge", "{absent}"), "{absent}: there is no such folder."),
        (("merge", "{empty}"), "{empty}: holds no finished shard."),
        (("leaderboard", "merge", "{absent}"), "{absent}: there is no such folder."),
        (
            ("predict", "-m", "dssau_net", "--images", "{absent}", "-o", "{absent}"),
            "{absent}: there is no such folder.",
        ),
        (
            ("predict", "-m", "dssau_net", "--images", "{file}", "-o", "{absent}"),
            "{file}: is a file, not a folder.",
        ),
        (
            ("data", "prepare", "tvsum", "--videos", "{absent}", "-o", "{absent}.h5"),
            "{absent}: there is no such folder.",
        ),
        (("data", "sample", "hc18", "-o", "{file}"), "{file}: is a file, not a folder."),
    ],
)
def test_the_very_fault_is_named(words, message, command, tmp_path):
    places = {name: tmp_path / name for name in ("empty", "absent")} | {"file": tmp_path / "file.py"}
    places["empty"].mkdir()
    places["file"].write_text("x\n")
    told = command(*(word.format(**places) for word in words))
    assert lines(told)[0].startswith(f"error: {message.format(**places)} [")
    assert places["file"].read_text() == "x\n"


@no_proc
@pytest.mark.parametrize(
    "words",
    [
        ("report", "abcd", "-o", f"{NOWHERE}/x.html"),
        ("compare", "abcd", "efgh", "--html", f"{NOWHERE}/x.html"),
        ("profile", "-m", "dssau_net", "--html", f"{NOWHERE}/x.html"),
        ("profile", "-m", "dssau_net", "--sweep", "size=64:128:64", "--plot", f"{NOWHERE}/x.svg"),
        ("evaluate", "-r", "{folder}", "-p", "{folder}", "-o", f"{NOWHERE}/x"),
        ("predict", "-m", "dssau_net", "--images", "{folder}", "-o", f"{NOWHERE}/x"),
        ("predict", "-m", "dssau_net", "-c", "hc18", "--weights", "none", "-o", f"{NOWHERE}/x"),
        ("export", "-m", "dssau_net", "-c", "hc18", "-o", f"{NOWHERE}/x.onnx"),
        ("data", "sample", "hc18", "-o", f"{NOWHERE}/x"),
        ("data", "export", "nnunet", "hc18", "-o", f"{NOWHERE}/Dataset501_x"),
        ("retrieve", "-o", f"{NOWHERE}/x"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(words, command, tmp_path):
    told = command(*(word.format(folder=tmp_path) for word in words))
    first, hint = lines(told)
    assert first.startswith(f"error: {NOWHERE}/")
    assert first.endswith(f": cannot be written: {NOWHERE} takes no new files. [output.unwritable]")
    assert hint == "Choose another place, or mend the permissions."
    assert "Drawing" not in told.err


def test_a_page_never_replaces_a_file_of_another_kind(command, tmp_path):
    script = tmp_path / "mk.py"
    script.write_text("x\n")
    told = command("report", "abcd", "-o", script)
    assert lines(told)[0] == f"error: {script}: is there already, and its name is no page's. [output.exists]"
    assert script.read_text() == "x\n"


@no_proc
def test_what_the_system_refuses_is_named_without_our_unfinished_file(capsys):
    assert fail(FileNotFoundError(2, "No such file or directory", "/proc/.partial-1-2-3.html"), False) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: /proc: no file can be written there (No such file or directory).")
    assert "[system.refused]" in told
    assert of_system(PermissionError(13, "Permission denied", "/a/b")).message.startswith("/a/b: ")
    assert (
        of_system(OSError(9, "Bad file descriptor", 7)).message == "The system refuses: Bad file descriptor."
    )
    assert fail(OSError(28, "No space left on device"), False) == 2
    assert "The system refuses: No space left on device." in capsys.readouterr().err
    assert fail(ValueError("x"), False) == 2
    assert "[internal]" in capsys.readouterr().err


def test_an_output_that_can_be_written_is_taken_and_nothing_is_left(tmp_path):
    refuse_unwritable(tmp_path / "a/b/file.csv")
    refuse_unwritable(tmp_path / "a/b", folder=True)
    refuse_unwritable(tmp_path, folder=True)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MedbenchError, match="is a folder, not a file"):
        refuse_unwritable(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_no_file_takes_the_place_of_a_device_or_a_pipe(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        for write in (refuse_unwritable, partial(write_text, text="x")):
            with pytest.raises(MedbenchError, match="is a device or a pipe, not a file"):
                write(path)
    assert pipe.is_fifo()
    for path in (os.devnull, "/dev/stdout", "/dev/none"):
        with pytest.raises(MedbenchError, match="is a device or a pipe, not a file"):
            refuse_device(Path(path))
    write_text(tmp_path / "file", "x")
    write_text(tmp_path / "file", "y")
    assert (tmp_path / "file").read_text() == "y"


@pytest.mark.parametrize("width", [80, 100])
def test_a_table_loses_no_letter_and_breaks_no_usual_word(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    texts = ["fmeasure.over_random", "a three-dimensional reconstruction of something", "1605.08110 numbers"]
    figures = ["0.1", "0.2", "0.3", "0.4", "0.5", "0.6"]
    print_table("", ["name", "what", "where", *"abcdef"], [[*texts, *figures]], wrap=(1, 2))
    told = capsys.readouterr().out
    words = [word for text in texts for word in text.split()]
    assert all(word in told for word in [*words, *figures])


def test_a_card_keeps_its_lines_and_shows_no_empty_entry(command):
    told = command("models", "show", "dssau_net").out
    assert "\\n" not in told
    assert "n_win: regions along each side of a map (default 8)" in told
    assert "aliases" not in told
    told = command("metrics", "show", "dice").out
    assert "\\n" not in told
    assert ">>> reference[2:7, 2:7] = 1" in told


def test_a_challenge_shows_tasks_labels_and_splits(command):
    told = command("challenges", "show", "iugc2024").out
    assert "A model answers label maps: 0 background, 1 pubic symphysis, 2 fetal head" in told
    assert "A model answers image classes: non-standard plane, standard plane" in told
    assert "Splits (--split): train, val, test\n" in told
    assert "medbench run predicts test, and medbench train learns from train." in told
    told = command("challenges", "show", "tvsum").out
    assert "medbench run predicts canonical, and medbench train learns once for each of its parts." in told
    assert "fmeasure.over_random" in told


def test_of_many_splits_the_list_of_challenges_shows_the_first_and_their_number(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    told = command("challenges", "--match", "tvsum").out
    assert "… (" in told
    assert "in all)" in told
    assert "transfer_train" not in told


def test_a_heading_is_folded_where_its_figures_are_narrow(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    heading = "time a case [ms], AMD EPYC, 2 cores"
    print_table("", ["name", "Dice", heading], [["first", "0.9650 [0.9501 – 0.9756]", "59.8"]])
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 60
    assert heading not in told
    assert all(word in told for word in [*heading.split(), "0.9650 [0.9501 – 0.9756]"])


def test_a_source_that_published_rows_share_stands_once_below_their_table(command):
    told = " ".join(command("leaderboard", "show", "psfhs").out.split())
    assert told.count("ps-fh-aop-2023.grand-challenge.org") == 1
    assert "[1] final board of" in told


def test_a_training_says_first_what_learns_and_last_what_comes_next(command, tmp_path):
    data, plugin = tmp_path / "data", tmp_path / "lab.py"
    write_sample(data, numbers=range(1, 4))
    plugin.write_text("")
    words = ("train", "-m", "baseline/constant", "-c", "psfhs", "--data", data, "--runs", tmp_path / "runs")
    told = command("--plugin", plugin, *words)
    assert told.code == 0
    assert told.err.startswith("baseline/constant learns from PSFHS 2023 by the recipe 'default'; loading ")
    *_, last = told.out.splitlines()
    assert last == f"next: medbench --plugin {plugin} run -m baseline/constant -c psfhs --data {data}"


def test_a_split_that_a_part_of_the_data_lacks_is_told_by_what_is_there(command, tmp_path):
    write_sample(tmp_path, numbers=range(1, 4))
    told = command("evaluate", "-c", "psfhs", "--data", tmp_path, "--predictions", tmp_path / "label_mha")
    first, hint = lines(told)
    assert first == f"error: {tmp_path}: holds 3 images, none of them in split test. [data.empty]"
    assert hint.startswith(
        f"'medbench data check psfhs {tmp_path}' counts each split's; --split takes train,"
    )


@no_proc
@pytest.mark.parametrize(
    "words",
    [
        ("run", "-m", "dssau_net.test", "-c", "hc18", "--weights", "none", "--runs", "{nowhere}"),
        ("run", "-m", "dssau_net.test", "-c", "hc18", "--weights", "none", "--leaderboards", "{nowhere}"),
        ("train", "-m", "dssau_net.test", "-c", "hc18", "--runs", "{nowhere}"),
        ("evaluate", "-c", "hc18", "-p", "{folder}", "--runs", "{nowhere}"),
    ],
)
def test_folders_of_results_are_tried_before_anything_is_drawn(words, command, tmp_path, monkeypatch):
    monkeypatch.setenv("MEDBENCH_CACHE", str(tmp_path / "cache"))
    told = command(*(word.format(nowhere=f"{NOWHERE}/x", folder=tmp_path) for word in words))
    first, _ = lines(told)
    assert (
        first == f"error: {NOWHERE}/x: cannot be written: {NOWHERE} takes no new files. [output.unwritable]"
    )
    assert not (tmp_path / "cache" / "samples").exists()


def test_a_folder_in_the_place_of_weights_is_called_one(command, tmp_path):
    (tmp_path / "training").mkdir()
    words = ("run", "-m", "dssau_net.test", "-c", "hc18", "--weights")
    first, hint = lines(command(*words, tmp_path / "training"))
    assert first == f"error: {tmp_path / 'training'}: is a folder, not a checkpoint. [weights.missing]"
    assert hint == "Give the .pt or .safetensors file of a training."
    (tmp_path / "training/weights.pt").touch()
    assert lines(command(*words, tmp_path / "training"))[1].endswith("training/weights.pt.")
    (tmp_path / "mk.py").write_text("x = 1\n")
    first, _ = lines(
        command("export", "-m", "dssau_net", "-o", tmp_path / "x.onnx", "--weights", tmp_path / "mk.py")
    )
    assert "it is no file of torch or safetensors" in first


def test_a_value_that_no_network_can_be_built_with_names_the_option(command):
    words = ("profile", "-m", "dssau_net.test", "--measure", "cost", "--no-keep", "--set", "n_win=abc")
    first, hint = lines(command(*words))
    assert first.startswith("error: dssau_net.test cannot be built with n_win=abc (")
    assert first.endswith("[model.option]")
    assert hint == "By default n_win=8; 'medbench models show dssau_net.test' explains each."


def test_a_network_that_is_no_onnx_is_refused_in_one_line_alone(tmp_path, capfd, monkeypatch):
    torch = pytest.importorskip("torch")
    from medbench.running.export_formats import write_onnx

    def refuse(*_, **__):
        print("Torch IR graph at exception: graph(")  # noqa: T201
        raise RuntimeError("Failed to export a node " + "word " * 100)

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(MedbenchError) as refusal:
        write_onnx(torch.nn.Identity(), np.zeros((1, 3, 8, 8), np.float32), "{}", tmp_path / "x.onnx")
    assert refusal.value.code == "export.network"
    assert len(refusal.value.message) < 260
    assert refusal.value.message.endswith(" …).")
    assert "--format torchscript or pt2" in refusal.value.hint
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-c", "tvsum", "-m", "baseline/uniform", "--platform", "grand-challenge"), "platform.demand"),
        (("-c", "chexpert", "-m", "cm_cgns.classifier", "--platform", "grand-challenge"), "platform.demand"),
        (("-c", "hc18", "-m", "baseline/uniform"), "model.task"),
        (("-c", "hc18", "-m", "monai/unet"), "model.form"),
        (("-c", "iugc2024", "-m", "dssau_net", "--platform", "hc18"), "platform.other"),
        (("-c", "iugc2024", "-m", "dssau_net", "--platform", "kpis-patch"), "platform.other"),
        (("-c", "kpis_patch", "-m", "dssau_net", "--platform", "kpis-slide"), "platform.other"),
        (("-c", "kpis_patch", "-m", "dssau_net", "--platform", "brats-docker"), "platform.other"),
        (("-c", "hc18", "-m", "dssau_net", "--platform", "medperf"), "platform.other"),
    ],
)
def test_no_submission_is_described_that_cannot_be_made(words, code, command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, hint = lines(command("submit", "init", *words))
    assert first.endswith(f"[{code}]")
    assert hint
    assert list(tmp_path.iterdir()) == []


def test_hosting_with_predictions_that_are_not_there_writes_nothing(command, tmp_path):
    words = ("submit", "host", "-c", "hc18", "--platform", "codabench", "--engine", "none")
    first, hint = lines(command(*words, "--predictions", tmp_path / "none", "-o", tmp_path / "build"))
    assert first == f"error: {tmp_path / 'none'}: there is no such folder or file. [predictions.missing]"
    assert hint == "Check --predictions."
    assert not (tmp_path / "build").exists()
    told = command("submit", "host", "-c", "tvsum", "--platform", "grand-challenge")
    assert "TVSum scores frame scores; the evaluation on grand-challenge reads label maps" in told.err


def test_the_folder_of_a_build_is_not_taken_for_an_evaluation_program(command, tmp_path):
    place = tmp_path / "entry/context/app/submission.json"
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    first, hint = lines(command("submit", "check", tmp_path / "entry"))
    assert first.endswith("is what medbench submit build wrote of a submission. [host.unknown]")
    assert hint.startswith("Give the submission's file")


def test_predictions_of_fresh_weights_say_so_unless_they_are_asked_for(command, tmp_path):
    pytest.importorskip("torch")
    raster.write_image(tmp_path / "images/a.png", np.zeros((64, 64, 3), np.uint8))
    words = ("predict", "-m", "dssau_net.test", "--images", tmp_path / "images", "--classes", "2", "-o")
    line = "No weights given: dssau_net.test has fresh ones, so its answers mean nothing."
    told = command(*words, tmp_path / "one")
    assert (told.code, line in told.err) == (0, True)
    told = command(*words, tmp_path / "two", "--weights", "none")
    assert (told.code, line in told.err) == (0, False)
    words = ("export", "-m", "dssau_net.test", "--classes", "2", "--format", "safetensors", "-o")
    assert line in command(*words, tmp_path / "x.safetensors").err
