"""Runs on SumMe and TVSum: folds in one record, marks, reference rows, and no leak of annotations."""

import json
import shutil

import h5py
import numpy as np
import pytest

import medbench
from medbench.challenges import load_challenge
from medbench.challenges.families.video_summaries.files import file_name
from medbench.core.errors import MedbenchError
from medbench.leaderboards.boards import make_board
from medbench.leaderboards.results import read_results
from medbench.running.predict import predict
from medbench.running.run import run
from medbench.running.train import train

TINY = {"dim": 16, "heads": 4, "encoder_layers": 1, "decoder_layers": 1, "window": 4, "ffn_dim": 32}


@pytest.fixture(scope="module", name="summe")
def summe_fixture(sample):
    return sample("summe")


def change_annotations(root, key):
    """Another ground truth for one video, as long as before."""
    with h5py.File(root / file_name("summe"), "a") as file:
        for name in ("user_summary", "gtscore", "gtsummary"):
            values = file[f"{key}/{name}"]
            values[...] = np.flip(values[:], axis=-1)
    for path in (root / "GT").glob("*.mat"):
        path.unlink()


@pytest.mark.parametrize(("model", "same"), [("fulltransnet", True), ("fulltransnet.published", False)])
def test_a_test_videos_annotations_change_no_byte_of_its_prediction(model, same, unmarked, tmp_path):
    root = shutil.copytree(unmarked("summe"), tmp_path / "data")
    options = TINY | ({"length": 160} if not same else {})
    arguments = {"data": root, "split": "fold1", "weights": "none", "options": options}
    predict(model, "summe", tmp_path / "before", **arguments)
    change_annotations(root, "video_7")
    predict(model, "summe", tmp_path / "after", **arguments)
    before, after = (
        {path.name: path.read_bytes() for path in (tmp_path / name / "predictions").glob("*.npz")}
        for name in ("before", "after")
    )
    assert set(before) == {f"video_{number}.npz" for number in (1, 7, 8, 13, 22)}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == (set() if same else {"video_7.npz"})


@pytest.mark.slow
def test_one_record_for_five_folds_each_by_its_own_network(summe, tmp_path):
    places = {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards"}
    train(
        "fulltransnet", "summe", recipe="quick", recipe_changes={"epochs": 1}, data=summe,
        options=TINY, runs=places["runs"],
    )  # fmt: skip
    done = run("fulltransnet", "summe", data=summe, options=TINY, **places)
    record = done.record
    assert record.status == "complete"
    assert (record.challenge.split, record.challenge.cases, record.challenge.groups) == ("canonical", 25, 25)
    networks = record.model.training["networks"]
    assert [network["split"] for network in networks] == [f"fold{k}_train" for k in range(1, 6)]
    assert len({network["weights_sha256"] for network in networks}) == 5
    assert " --split canonical " in record.model.training["command"], "the command trains all five"
    assert record.settings["networks"] == 5
    folds = {}
    for row in done.rows:
        folds.setdefault(row.case.partition("/")[0], []).append(row.scores["f_max"].value)
    means = [np.mean(values) for values in folds.values()]
    assert record.metrics["f_max"].value == pytest.approx(np.mean(means))
    assert record.metrics["f_spread_folds"].value == pytest.approx(np.std(means, ddof=1))
    assert record.metrics["f_over_random"].value > 0
    assert record.metrics["f_spread_seeds"].value is None
    again = run("fulltransnet", "summe", data=summe, options=TINY, **places)
    assert again.resumed == 25
    train(
        "fulltransnet", "summe", recipe="quick", recipe_changes={"epochs": 2}, data=summe,
        options=TINY, runs=places["runs"], split="fold2_train",
    )  # fmt: skip
    with pytest.raises(MedbenchError, match="fold1 with epochs=1, fold2 with epochs=2") as caught:
        run("fulltransnet", "summe", data=summe, options=TINY, **places)
    assert caught.value.code == "weights.mixed"


@pytest.mark.slow
def test_tables_show_references_and_set_apart_what_saw_the_labels(summe, tmp_path):
    places = {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards", "data": summe}
    run("baseline/random", "summe", split="fold1", **places)
    options = TINY | {"length": 160}
    published = run(
        "fulltransnet.published", "summe", split="fold1", weights="none", options=options, **places
    )
    assert published.record.settings["mark"] == "saw the test labels"
    rows = read_results(tmp_path / "boards", "summe")
    ranked, apart = [
        table
        for table in make_board(load_challenge("summe"), rows).measured
        if table.metrics[0].name == "f_max"
    ]
    assert (ranked.mark, apart.mark) == ("", "saw the test labels")
    assert "not ranked: saw the test labels" in apart.title
    for table in (ranked, apart):
        names = [entry.name for entry in table.entries]
        assert sum("[reference]" in name for name in names) == 3
        assert "[reference]" not in names[0]
    assert not any("FullTransNet" in entry.name for entry in ranked.entries)


@pytest.mark.slow
def test_repeats_are_the_mean_of_networks_with_other_seeds(summe, tmp_path):
    places = {"runs": tmp_path / "runs", "leaderboards": tmp_path / "boards", "data": summe}
    arguments = {"split": "fold2", "weights": "none", "options": TINY}
    both = run("fulltransnet", "summe", repeats=2, **arguments, **places).record
    each = [
        run("fulltransnet", "summe", seed=seed, **arguments, **places).record.metrics["f_max"].value
        for seed in (0, 1)
    ]
    assert both.metrics["f_max"].value == pytest.approx(np.mean(each))
    assert both.metrics["f_spread_seeds"].value == pytest.approx(np.std(each, ddof=1))
    with pytest.raises(MedbenchError) as caught:
        run("dssau_net", "hc18", repeats=2)
    assert caught.value.code == "request.repeats"


def test_what_learns_nothing_is_not_trained(summe, tmp_path):
    with pytest.raises(MedbenchError) as caught:
        train("baseline/random", "summe", data=summe, runs=tmp_path, split="fold1_train", recipe="quick")
    assert caught.value.code == "training.nothing"


@pytest.mark.slow
def test_epochs_are_chosen_on_held_out_videos_or_marked(summe, tmp_path):
    arguments = {"data": summe, "runs": tmp_path / "runs", "options": TINY, "split": "fold1_train"}
    for recipe in ("default", "published"):
        weights = train("fulltransnet", "summe", recipe=recipe, recipe_changes={"epochs": 2}, **arguments)
        summary = json.loads((weights.parent / "training.json").read_text())
        assert summary["n_training_images"] == (16 if recipe == "default" else 20)
        assert 0 < summary["validation_score"] < 1
        record = run(
            "fulltransnet", "summe", split="fold1", recipe=recipe, data=summe, options=TINY,
            runs=tmp_path / "runs", leaderboards=tmp_path / "boards",
        ).record  # fmt: skip
        marked = record.settings.get("mark", "")
        assert marked == ("" if recipe == "default" else "epoch chosen on the test split")


def test_weights_of_one_fold_do_not_predict_another(summe, tmp_path):
    weights = train(
        "fulltransnet", "summe", recipe="quick", recipe_changes={"epochs": 1}, data=summe,
        options=TINY, runs=tmp_path, split="fold1_train",
    )  # fmt: skip
    with pytest.raises(MedbenchError) as caught:
        medbench.run(model="fulltransnet", challenge="summe", data=summe, split="fold2", weights=weights)
    assert caught.value.code == "weights.leak"
