"""What the command prints and keeps."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

import warm_python
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
from medbench.models import model_entry
from medbench.profiling.profile import ProfileRequest, plan, present_devices, profile
from medbench.profiling.records import PROFILES, add_profiles, read_profiles
from medbench.profiling.requests import choose_models, parse_bytes, parse_shape
from medbench.profiling.tables import cost_table, machine_table, peak_text, published_table


def invoke(*arguments):
    done = CliRunner().invoke(app, ["profile", *arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Two networks at two batch sizes, kept."""
    board = tmp_path_factory.mktemp("board")
    request = ProfileRequest(
        ("medformer.test", "mslau_net.test"),
        shape=(3, 64, 64),
        batches=(1, 2),
        threads=1,
        seconds=0.1,
        measures=("cost", "latency"),
    )
    return profile(request, keep_in=board), board


def test_rows_are_kept_by_workload_and_machine(measured):
    profiles, board = measured
    rows = read_profiles(board)
    assert [(row.model, row.batch) for row in rows] == [
        (name, batch) for name in ("medformer.test", "mslau_net.test") for batch in (1, 2)
    ]
    assert len({row.key for row in rows}) == 4
    again = profiles[0].record
    elsewhere = again.model_copy(
        update={"key": "0", "hardware": again.hardware.model_copy(update={"key": "another machine"})}
    )
    add_profiles(board, [again, elsewhere])
    assert len(read_profiles(board)) == 5


def test_measuring_one_figure_keeps_the_others(measured, tmp_path):
    record = measured[0][0].record
    memory = {"forward": {"what": "forward", "status": "ok"}}
    add_profiles(tmp_path, [record.model_copy(update={"memory": memory})])
    add_profiles(tmp_path, [record.model_copy(update={"latency": None})])
    (row,) = read_profiles(tmp_path)
    assert row.memory == memory
    assert row.latency == json.loads(record.model_dump_json())["latency"]


def test_a_foreign_file_is_refused(tmp_path):
    (tmp_path / PROFILES).write_text('{"schema_version": 1}\n')
    with pytest.raises(MedbenchError) as failure:
        read_profiles(tmp_path)
    assert failure.value.code == "profile.file"


def test_cost_does_not_depend_on_the_batch(measured):
    first, second = (item.record for item in measured[0] if item.record.model == "medformer.test")
    assert first.batch != second.batch
    assert first.cost == second.cost
    assert first.cost.parameters == model_entry("medformer.test").counted_parameters
    assert len(cost_table([first, second]).rows) == 1
    assert len(machine_table([first, second]).rows) == 2


def test_tables_say_what_was_not_had(measured):
    record = measured[0][0].record
    short = {"what": "forward", "batch": 1, "status": "out_of_memory", "limit_bytes": 2 << 20, "reason": "x"}
    assert peak_text(short) == "> 2.0"
    unsure = record.model_copy(
        update={
            "cost": record.cost.model_copy(update={"uncounted": {"aten.linalg_inv_ex": 3}}),
            "memory": {"forward": short},
            "latency": {**record.model_dump()["latency"], "steady": False},
        }
    )
    cost, machine = cost_table([unsure]), machine_table([unsure])
    assert any("aten.linalg_inv_ex (3×)" in note for note in cost.notes)
    assert cost.rows[0][2].endswith("+")
    assert any("do not quote" in note for note in machine.notes)
    assert r"\toprule" in cost.text("latex")
    assert "| model" in cost.text("markdown")


def test_command_prints_json_with_the_tree(tmp_path):
    done = invoke(
        *("-m", "mslau_net.test", "--input", "2x3x64x64", "--measure", "cost", "--by-module", "--json"),
        *("--leaderboards", str(tmp_path)),
    )
    (row,) = json.loads(done.stdout)
    assert (row["batch"], row["shape"]) == (2, [3, 64, 64])
    assert row["cost"]["flops"] == 2 * row["cost"]["macs"]
    assert row["modules"][0]["macs"] == row["cost"]["macs"]
    assert row["latency"] is None
    assert (tmp_path / PROFILES).is_file()


def test_command_sweeps_into_a_page(tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.html"
    done = invoke("-m", "mslau_net.test", "--sweep", "size=64:128:64", "--html", str(page), "--no-keep")
    assert "k = 1.0" in done.stdout
    assert "data:image/svg+xml;base64," in page.read_text()
    assert "://" not in page.read_text().split("</head>")[0]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "profile.no_model"),
        (("-m", "dsau_net"), "model.unknown"),
        (("-m", "nothing*"), "model.unknown"),
        (("-m", "smp/unet", "--input", "3x"), "profile.input"),
        (("-m", "smp/unet", "--batch", "0"), "profile.batch"),
        (("-m", "smp/unet", "--precision", "fp8"), "precision.unknown"),
        (("-m", "smp/unet", "--measure", "cots"), "measure.unknown"),
        (("-m", "smp/unet", "--memory-limit", "much"), "profile.bytes"),
        (("-m", "smp/unet", "--format", "word"), "format.unknown"),
        (("-m", "smp/unet", "--device", "tpu"), "device.unknown"),
        (("-m", "smp/unet", "--device", "cuda:99"), "device.missing"),
        (("-m", "smp/unet", "--sweep", "size=1"), "profile.sweep"),
        (("-m", "smp/unet", "--plot", "curves.png"), "profile.sweep"),
    ],
    ids=str,
)
def test_wrong_words_are_refused_before_anything_runs(arguments, code):
    with pytest.raises(MedbenchError) as failure:
        invoke(*arguments, "--no-keep")
    assert failure.value.code == code


def test_words():
    assert parse_shape("1x3x8x8") == (1, 3, 8, 8)
    assert (parse_bytes("1.5GiB"), parse_bytes("100 MB"), parse_bytes("7")) == (3 << 29, 10**8, 7)
    assert choose_models(["smp/u*", "smp/unet"])[0] == "smp/unet"
    assert "cpu" in present_devices(["all"])
    (workload,) = plan(ProfileRequest(("mslau_net",)))
    assert (workload.shape, workload.num_classes, workload.batch) == ((3, 224, 224), 9, 1)


def test_a_sequence_is_measured_with_what_else_its_network_takes(monkeypatch):
    monkeypatch.setattr("medbench.profiling.memory.subprocess", SimpleNamespace(run=warm_python.run))
    shape = (100, 48)
    (result,) = profile(
        ProfileRequest(("fulltransnet.test",), shape=shape, batches=(2,), threads=1, seconds=0.2)
    )
    record = result.record
    assert (record.shape, record.batch) == (shape, 2)
    assert record.cost.activation_bytes > 0
    assert record.latency["p50_s"] > 0
    assert {what: peak["status"] for what, peak in record.memory.items()} == {
        "forward": "ok",
        "training_step": "ok",
    }


@pytest.mark.parametrize(
    ("model", "changes", "text"),
    [
        ("fulltransnet.test", {"shape": (3, 64, 64)}, "takes no 1x3x64x64"),
        ("dssau_net.test", {"shape": (300, 64)}, "takes no 1x300x64"),
        ("monai/unet", {"shape": (4, 64, 64)}, "takes no 1x4x64x64"),
        ("fulltransnet.test", {"channels_last": True}, "one memory format"),
    ],
)
def test_inputs_that_a_model_cannot_take_are_refused(model, changes, text):
    with pytest.raises(MedbenchError, match=text) as failure:
        plan(ProfileRequest((model,), **changes))
    assert failure.value.code == "profile.input"


def test_published_figures_stand_beside_ours(measured):
    record = measured[0][0].record
    assert published_table([record]).rows == []
    entry = model_entry("mslau_net")
    full = record.model_copy(update={"model": "mslau_net", "shape": (3, 224, 224), "num_classes": 9})
    table = published_table([full])
    (row,) = table.rows
    assert row[:2] == ("mslau_net", "3×224×224")
    assert row[5] == f"{entry.authors_gmacs:.3f}"
    assert row[6] == f"{model_entry(record.model).counted_parameters / 1e6:.3f}"
    assert table.notes == [f"mslau_net: {entry.cost_note}"]
    elsewhere = published_table([full.model_copy(update={"shape": (3, 256, 256)})])
    assert elsewhere.rows[0][-2:] == ("–", "–")
    assert "not counted at its card's input" in elsewhere.notes[-1]


def test_units_survive_the_terminal(tmp_path):
    workload = ("-m", "mslau_net.test", "--input", "1x3x64x64")
    done = invoke(*workload, "--measure", "latency", "--seconds", "0.2", "--no-keep")
    for unit in ("params [M]", "file [MiB]", "p50 [ms]", "p90 [ms]"):
        assert unit in done.stdout
