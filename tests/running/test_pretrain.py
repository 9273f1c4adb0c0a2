"""Pre-training on pairs: bad pairs are left out by name, a killed training ends as an uninterrupted one."""

import json
import os
import pickle
import shutil
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

import warm_process
from medbench.challenges.mimic_cxr.pairs import split_pairs, training_pairs
from medbench.challenges.mimic_cxr.sample import write_sample
from medbench.core.errors import MedbenchError
from medbench.core.files import read_json
from medbench.inference.weights import load_checkpoint
from medbench.running.pretrain import ABLATIONS, PretrainRequest, ablate, own_recipe, pretrain
from medbench.running.retrieve import retrieve
from medbench.running.zero_shot import read_prompts, zero_shot_options
from medbench.training.hardware import Hardware

CPU = Hardware("cpu", 1)
COUNTS = {"train": 24, "validate": 8, "test": 16}


@pytest.fixture(scope="module")
def pairs_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    write_sample(folder, COUNTS)
    return folder


@pytest.fixture
def copy(pairs_folder, tmp_path):
    return shutil.copytree(pairs_folder, tmp_path / "data")


def request(folder, tmp_path, **changes):
    return PretrainRequest(data=folder, recipe="test", runs=tmp_path / "runs", **changes)


@pytest.fixture(scope="module")
def pretrained(pairs_folder, tmp_path_factory, one_thread):
    """A pre-training, not to be changed: where it wrote, and its weights."""
    place = tmp_path_factory.mktemp("pretrained")
    return place, pretrain(request(pairs_folder, place), CPU)


def states(weights):
    return load_checkpoint(weights).state


def test_pairs_of_the_layout(pairs_folder):
    pairs = split_pairs(pairs_folder)
    assert {split: len(indices) for split, indices in pairs.indices.items()} == COUNTS
    assert pairs.reasons == ()
    first = pairs.pairs[1]
    assert first.findings["Consolidation"] is True
    assert first.load(64).shape == (64, 64)
    assert any("consolidation" in sentence or "opacity" in sentence for sentence in first.sentences)


def test_pairs_travel_to_processes_that_were_not_forked(pairs_folder):
    pair = training_pairs(pairs_folder, "train")[0][0]
    assert np.array_equal(pickle.loads(pickle.dumps(pair)).load(32), pair.load(32))


def test_bad_pairs_are_left_out_by_name_and_the_others_stand(copy):
    reports = sorted(copy.glob("files/p10/*/s*.txt"))
    reports[0].unlink()
    reports[1].write_text("")
    reports[2].write_text("IMPRESSION: Normal.")
    next(reports[3].with_suffix("").glob("*.jpg")).unlink()
    pairs, refusals = training_pairs(copy, "train")
    assert len(pairs) == COUNTS["train"] - 4
    assert sorted(error.code for error in refusals) == [
        "pair.no_image",
        "report.empty",
        "report.missing",
        "report.short",
    ]
    for path, code in zip(reports[:3], ("report.missing", "report.empty", "report.short"), strict=True):
        assert any(error.code == code and str(path) in error.message for error in refusals)
    with pytest.raises(MedbenchError) as caught:
        split_pairs(copy / "files")
    assert caught.value.code == "data.layout_unknown"


def test_packed_tables_are_read(copy, pairs_folder):
    import gzip

    for table in copy.glob("*.csv"):
        table.with_name(table.name + ".gz").write_bytes(gzip.compress(table.read_bytes()))
        table.unlink()
    ids = [[pair.id for pair in split_pairs(folder).pairs] for folder in (copy, pairs_folder)]
    assert ids[0] == ids[1]


@pytest.mark.slow
def test_pretraining_leaves_weights_and_a_record(pairs_folder, pretrained):
    place, weights = pretrained
    summary = read_json(weights.with_name("training.json"))
    assert summary["text_weights"] == "none"
    assert set(summary["validation"]) == {"stage_1", "stage_2"}
    figures = summary["evaluation"]
    assert figures["retrieval"]["candidates"] == 16
    assert figures["retrieval"]["chance"] == 1 / 16
    for name in ("linear_probe", "random_probe", "probe_difference"):
        assert figures[name]["low"] <= figures[name]["value"] <= figures[name]["high"]
    difference = figures["linear_probe"]["value"] - figures["random_probe"]["value"]
    assert figures["probe_difference"]["value"] == pytest.approx(difference)
    assert (weights.with_name("tokenizer") / "vocab.txt").is_file()
    before = weights.stat().st_mtime_ns
    assert pretrain(request(pairs_folder, place), CPU) == weights
    assert weights.stat().st_mtime_ns == before


LONGER = {"recipe_changes": {"epochs": 2, "second_epochs": 2}}


def killed_pretraining(folder, place, steps, workers):
    """A pre-training that is killed before its next step."""
    from medbench.training.pretraining_task import PretrainingTask

    warm_process.as_a_shell_starts_it()
    step, left = PretrainingTask.training_step, iter(range(steps))

    def counted(self, batch, index):
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, batch, index)

    PretrainingTask.training_step = counted
    pretrain(request(folder, place, **LONGER), replace(CPU, workers=workers))


@pytest.mark.slow
def test_a_killed_pretraining_ends_as_an_uninterrupted_one(pairs_folder, tmp_path, full):
    kills = [
        (4, 0),
        (7, 2),
    ]  # in the first stage's second epoch, in the second stage's with reading processes
    for steps, workers in kills if full else kills[1:]:
        process = warm_process.CONTEXT.Process(
            target=killed_pretraining, args=(pairs_folder, tmp_path / "killed", steps, workers)
        )
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    resumed = pretrain(request(pairs_folder, tmp_path / "killed", **LONGER), replace(CPU, workers=2))
    whole = pretrain(request(pairs_folder, tmp_path / "whole", **LONGER), CPU)
    first, second = states(resumed), states(whole)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)
    records = [read_json(path.with_name("training.json"))["evaluation"] for path in (resumed, whole)]
    assert records[0] == records[1]


@pytest.mark.slow
def test_the_figures_of_a_training_come_out_of_its_weights_again(pairs_folder, pretrained):
    from medbench.core.seeds import derived_seed
    from medbench.models import create_model
    from medbench.training.pair_data import PairImages
    from medbench.training.pretraining_judge import judge
    from medbench.training.pretraining_recipe import load_pretraining_recipe
    from medbench.training.report_tokens import load_tokenizer, tokenize

    _, weights = pretrained
    record = read_json(weights.with_name("training.json"))
    recipe = load_pretraining_recipe("test", {})
    tokenizer = load_tokenizer(weights.with_name("tokenizer"))
    pairs = split_pairs(pairs_folder)
    tokens = [tokenize(tokenizer, pair.sentences, recipe.max_tokens) for pair in pairs.pairs]
    dataset = PairImages(pairs.pairs, tokens, recipe, int(tokenizer.pad_token_id))
    network = create_model(record["model"], **record["options"])
    network.load_state_dict(states(weights))
    torch.manual_seed(derived_seed(recipe.seed))
    fresh = create_model(record["model"], **record["options"])
    figures = judge(dataset, pairs.indices["train"], pairs.indices["test"], recipe.seed, network, fresh)
    assert figures.keys() == record["evaluation"].keys() >= {"retrieval", "linear_probe", "probe_difference"}
    for name, figure in record["evaluation"].items():
        if name != "findings":
            assert figures[name]["value"] == pytest.approx(figure["value"], abs=1e-9), name


def test_without_a_recipe_the_sample_alone_is_learnt_quickly(pairs_folder, tmp_path, monkeypatch):
    """Field case: real data that MEDBENCH_DATA named were learnt by the recipe of the sample."""
    monkeypatch.delenv("MEDBENCH_DATA", raising=False)
    assert own_recipe(PretrainRequest()) == "quick"
    assert own_recipe(PretrainRequest(data=pairs_folder)) == "quick"
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path))
    assert own_recipe(PretrainRequest()) == "quick"
    own = tmp_path / "mimic_cxr"
    own.mkdir()
    assert own_recipe(PretrainRequest()) == own_recipe(PretrainRequest(data=own)) == "default"


@pytest.mark.slow
@pytest.mark.exhaustive
def test_the_quick_recipe_learns_on_pairs_that_chose_nothing(tmp_path):
    weights = pretrain(PretrainRequest(runs=tmp_path / "runs"), CPU)
    record = read_json(weights.with_name("training.json"))
    assert record["recipe"]["name"] == "quick"
    figures = record["evaluation"]
    assert figures["retrieval"]["candidates"] == 16
    assert figures["retrieval"]["value"] >= 4 / 16
    assert figures["retrieval"]["low"] > 1 / 16
    assert figures["probe_difference"]["low"] > 0


@pytest.mark.slow
def test_mixed_precision(pairs_folder, tmp_path):
    hardware = Hardware("cpu", 1, precision="bf16-mixed")
    weights = pretrain(request(pairs_folder, tmp_path), hardware)
    assert all(tensor.isfinite().all() for tensor in states(weights).values())


@pytest.mark.slow
def test_the_ablation_table(pairs_folder, tmp_path):
    rows = ablate(request(pairs_folder, tmp_path, recipe_changes={"second_epochs": 1}), CPU)
    assert list(rows) == list(ABLATIONS)
    assert all("retrieval" in figures and "linear_probe" in figures for figures in rows.values())
    folders = list((tmp_path / "runs/pretraining/cm_cgns").iterdir())
    assert len(folders) == len(rows)


def test_what_does_not_fit_is_refused_before_anything_is_trained(pairs_folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for changes, code in (
        ({"model": "dssau_net"}, "pretrain.model"),
        ({"options": {"widht": 8}}, "model.option"),
        ({"tokenizer": tmp_path / "empty"}, "tokenizer.no_vocabulary"),
        ({"text_weights": tmp_path / "nowhere"}, "weights.missing"),
        ({"text_weights": tmp_path / "empty"}, "weights.missing"),
        ({"recipe_changes": {"batch_size": 0}}, "recipe.setting"),
        ({"recipe_changes": {"speed": 1}}, "recipe.setting"),
        ({"recipe_changes": {"learning_rate": "nan"}}, "recipe.setting"),
        ({"recipe_changes": {"learning_rate": 0}}, "recipe.setting"),
        ({"recipe_changes": {"max_tokens": 0}}, "recipe.setting"),
        ({"recipe_changes": {"max_tokens": 49}}, "recipe.setting"),
        ({"recipe_changes": {"max_tokens": 2}}, "clusters.few_sentences"),
        ({"recipe_changes": {"epochs": True}}, "recipe.setting"),
        ({"recipe_changes": {"network": 5}}, "recipe.setting"),
        ({"options": {"num_clusters": 128}}, "clusters.few_sentences"),
    ):
        with pytest.raises(MedbenchError) as caught:
            pretrain(request(pairs_folder, tmp_path, **changes), CPU)
        assert caught.value.code == code
    with pytest.raises(MedbenchError) as caught:
        pretrain(request(tmp_path / "empty", tmp_path), CPU)
    assert caught.value.code == "data.layout_unknown"


@pytest.mark.slow
def test_encoders_start_from_local_weights(pairs_folder, tmp_path):
    from medbench.models import create_model
    from medbench.running.encoder_weights import load_image_weights, load_text_weights

    sizes = {
        "vocabulary_size": 40,
        "width": 16,
        "depth": 1,
        "num_heads": 2,
        "hidden_width": 16,
        "max_tokens": 48,
    }
    text = create_model("cm_cgns.text_encoder", **sizes)
    folder = tmp_path / "bert"
    folder.mkdir()
    state = {f"bert.{key}": value for key, value in text.encoder.state_dict().items() if "pooler" not in key}
    torch.save({**state, "cls.predictions.bias": torch.zeros(40)}, folder / "pytorch_model.bin")
    other = create_model("cm_cgns.text_encoder", **sizes)
    load_text_weights(other, folder)
    key = "embeddings.word_embeddings.weight"
    assert torch.equal(other.encoder.state_dict()[key], text.encoder.state_dict()[key])
    with pytest.raises(MedbenchError) as caught:
        load_text_weights(create_model("cm_cgns.text_encoder", **{**sizes, "width": 8}), folder)
    assert caught.value.code == "weights.mismatch"
    small = {"widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1], "image_size": 32}
    image = create_model("cm_cgns.image_encoder", **small)
    torch.save({**image.backbone.state_dict(), "fc.weight": torch.zeros(3, 3)}, tmp_path / "resnet.pt")
    load_image_weights(create_model("cm_cgns.image_encoder", **small), tmp_path / "resnet.pt")


PROMPTS = """
"No Finding" = ["no acute cardiopulmonary process", "normal chest radiograph"]
"Consolidation" = ["there is a consolidation", "airspace opacity"]
"Lung Lesion" = ["a round nodule projects over the lung"]
"Pleural Effusion" = ["there is a pleural effusion"]
"Pneumothorax" = ["there is a pneumothorax"]
"Cardiomegaly" = ["the heart is enlarged"]
"""


@pytest.mark.slow
def test_zero_shot_predictions_are_scored_as_a_challenge_scores_classes(pairs_folder, pretrained, tmp_path):
    from typer.testing import CliRunner

    from medbench.cli.main import app

    _, weights = pretrained
    (tmp_path / "prompts.toml").write_text(PROMPTS)
    asked = ["-m", "cm_cgns", "--prompts", str(tmp_path / "prompts.toml"), "--data", str(pairs_folder)]
    out = tmp_path / "out"
    done = CliRunner().invoke(
        app, ["predict", *asked, "--weights", str(weights.parent), "-o", str(out)], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    table = out / "predictions/mimic_cxr.csv"
    assert len(table.read_text().splitlines()) == COUNTS["test"] + 1
    done = CliRunner().invoke(
        app,
        ["evaluate", "-c", "mimic_cxr", "-p", str(out / "predictions"), "--data", str(pairs_folder),
         "--runs", str(tmp_path / "runs"), "--leaderboards", str(tmp_path / "boards"), "--json"],
        catch_exceptions=False,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (record,) = (tmp_path / "runs").glob("mimic_cxr/*/*/record.json")
    assert '"auc"' in record.read_text()
    rows = record.with_name("cases.jsonl").read_text().splitlines()
    assert [json.loads(row)["status"] for row in rows] == ["ok"] * COUNTS["test"]


@pytest.mark.slow
def test_reports_are_ranked_for_every_radiograph(pairs_folder, pretrained, tmp_path):
    _, weights = pretrained
    found = retrieve(
        "cm_cgns", tmp_path / "ranks.jsonl", data=pairs_folder, weights=str(weights), runs=tmp_path
    )
    lines = [json.loads(line) for line in (tmp_path / "ranks.jsonl").read_text().splitlines()]
    assert lines == list(found.rows)
    ranks = [row["rank"] for row in lines]
    assert len(ranks) == COUNTS["test"]
    assert found.hit_share[5] == sum(rank <= 5 for rank in ranks) / len(ranks)
    for row in lines:
        assert (row["id"] in row["closest"]) == (row["rank"] <= 5)


def test_prompts_that_do_not_name_the_classes_are_refused(tmp_path):
    path = tmp_path / "prompts.toml"
    classes = ("heart", "lung")
    for text, code in (
        (None, "prompts.file"),
        ("heart = [", "prompts.file"),
        ('heart = ["big"]', "prompts.classes"),
        ('heart = ["big"]\nlung = []', "prompts.classes"),
        ('heart = ["big"]\nlung = ["dark"]\nrib = ["broken"]', "prompts.classes"),
    ):
        if text is not None:
            path.write_text(text)
        with pytest.raises(MedbenchError) as caught:
            read_prompts(path, classes)
        assert caught.value.code == code
    path.write_text('heart = "big"\nlung = ["dark", "clear"]')
    assert read_prompts(path, classes) == {"heart": ["big"], "lung": ["dark", "clear"]}
    with pytest.raises(MedbenchError) as caught:
        zero_shot_options({"model": "dssau_net"}, path)
    assert caught.value.code == "prompts.model"
    path.write_text(PROMPTS)
    with pytest.raises(MedbenchError) as caught:
        zero_shot_options({"model": "cm_cgns", "runs": tmp_path}, path)
    assert caught.value.code == "weights.none"
