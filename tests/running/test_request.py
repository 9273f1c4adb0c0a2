"""One request, made alike by command line, Python and file; checked before anything is drawn or loaded."""

import dataclasses
import importlib
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from medbench.core.errors import MedbenchError
from medbench.core.plugins import loaded_plugins
from medbench.running.evaluate import Evaluation
from medbench.running.request import Inference, Request
from medbench.running.request_file import read_options, request_of

FULL = Request(
    model="monai/unet",
    challenge="brats2020",
    data=Path("/data/brats 2020"),
    split="val",
    weights="/weights/own.pt",
    recipe="quick",
    options={"channels": [8, 8], "norm": "instance"},
    inference=Inference("cuda:1", "bf16", 4, 96, modalities=("t1n", "t2f"), overlap=0.25, mirror=False),
    cases="*_00*",
    seed=7,
    runs=Path("/runs"),
    leaderboards=Path("/boards"),
)
ARGUMENTS = [
    "run", "-m", "monai/unet", "-c", "brats2020", "--data", "/data/brats 2020", "--split", "val",
    "--weights", "/weights/own.pt", "--recipe", "quick", "--set", "channels=[8, 8]", "--set", "norm=instance",
    "--device", "cuda:1", "--precision", "bf16", "--batch-size", "4", "--image-size", "96", "--modalities",
    "t1n,t2f", "--overlap", "0.25", "--no-mirror", "--cases", "*_00*", "--seed", "7", "--runs", "/runs",
    "--leaderboards", "/boards",
]  # fmt: skip
FILE = """
model = "monai/unet"
challenge = "brats2020"
data = "/data/brats 2020"
split = "val"
weights = "/weights/own.pt"
recipe = "quick"
set = { channels = [8, 8], norm = "instance" }
device = "cuda:1"
precision = "bf16"
batch-size = 4
image-size = 96
modalities = ["t1n", "t2f"]
overlap = 0.25
mirror = false
cases = "*_00*"
seed = 7
runs = "/runs"
leaderboards = "/boards"
"""


@pytest.fixture
def requested(monkeypatch):
    """The request that a command line comes to, instead of running it."""
    from medbench.cli.main import main

    requests = []
    monkeypatch.setattr(
        importlib.import_module("medbench.running.run"),
        "run_request",
        lambda request, progress=None, workers=None: requests.append(request),
    )
    monkeypatch.setattr(importlib.import_module("medbench.cli.results"), "show_finished", lambda *_: 1 / 0)

    def request_of_command(arguments):
        requests.clear()
        with monkeypatch.context() as patched:
            patched.setattr("sys.argv", ["medbench", *map(str, arguments)])
            with pytest.raises(SystemExit):
                main()
        (request,) = requests
        return request

    return request_of_command


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "request.toml"
    path.write_text(FILE)
    return path


def test_command_line_python_and_file_make_the_same_request(requested, file):
    assert requested(ARGUMENTS) == FULL
    assert requested(["run", "--request", file]) == FULL
    assert request_of(read_options(file)) == FULL
    keywords = {
        entry.name: getattr(FULL, entry.name)
        for entry in dataclasses.fields(FULL)
        if entry.name not in ("model", "challenge", "plugins")
    }
    assert Request.of("monai/unet", "brats2020", **{**keywords, "data": "/data/brats 2020"}) == FULL
    assert Request.of("m", "c") == request_of({"model": "m", "challenge": "c"})
    assert Request.of("m", "c", options=None, inference=None, data=None) == Request.of("m", "c")


def test_the_repeat_command_makes_the_same_request(requested):
    plugins = tuple(loaded_plugins())
    for request in (
        FULL,
        dataclasses.replace(FULL, weights="auto", leaderboards=None),
        Request.of("m", "c", inference=Inference(tiling={"tile_px": 512}, stitch=True, mirror=True)),
        Request.of("m", "c", weights="none", options={"text": "8", "flag": True, "none": None}),
    ):
        words = shlex.split(request.command())[1:]
        repeated = requested(words[2 * len(plugins) :])
        decides_nothing = {"leaderboards": None} | ({} if request.weights == "auto" else {"runs": None})
        assert repeated == dataclasses.replace(request, **decides_nothing)


def test_the_repeat_command_names_plug_ins_cases_and_seed():
    request = dataclasses.replace(FULL, plugins=(Path("/own/my models.py"),))
    words = shlex.split(request.command())
    assert words[:4] == ["medbench", "--plugin", "/own/my models.py", "run"]
    assert words[words.index("--cases") + 1] == "*_00*"
    assert words[words.index("--seed") + 1] == "7"
    evaluation = Evaluation(
        challenge="hc18", predictions=Path("/p"), name="ours", rename=("a", "b"), cases="1*", seed=2,
        plugins=(Path("/own.py"),),
    )  # fmt: skip
    assert evaluation.command() == (
        "medbench --plugin /own.py evaluate -c hc18 --predictions /p --cases '1*' --seed 2 --name ours "
        "--rename a=b"
    )


def test_options_of_the_command_come_before_those_of_the_file(requested, file):
    request = requested(["run", "--request", file, "--seed", "0", "--set", "norm=batch", "--mirror"])
    assert request.seed == 0
    assert request.options == {"channels": [8, 8], "norm": "batch"}
    assert request.inference == dataclasses.replace(FULL.inference, mirror=True)
    assert request.cases == FULL.cases


def test_paths_in_a_file_start_at_its_folder(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        'model = "m"\nchallenge = "c"\ndata = "copy"\nweights = "w.pt"\nruns = "~/runs"\nplugin = ["p.py"]\n'
    )
    request = request_of(read_options(path))
    assert (request.data, request.weights) == (tmp_path / "copy", str(tmp_path / "w.pt"))
    assert request.runs == Path.home() / "runs"
    assert request.plugins[-1] == (tmp_path / "p.py").resolve()
    path.write_text('model = "m"\nchallenge = "c"\nweights = "none"\n')
    assert request_of(read_options(path)).weights == "none"


@pytest.mark.parametrize(
    ("text", "code", "named"),
    [
        ("batch_size = 4", "request.option", "batch-size"),
        ("wieghts = 'none'", "request.option", "weights"),
        ("seed = 'one'", "request.value", "seed = 'one' is not a whole number"),
        ("seed = true", "request.value", "seed = True is not a whole number"),
        ("mirror = 1", "request.value", "true or false"),
        ("modalities = [1]", "request.value", "modalities"),
        ("set = 'a=1'", "request.value", "set"),
        ("seed = 1\nmodel =\n", "request.syntax", "line 2"),
        (None, "request.missing", "cannot be read"),
    ],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, text, code, named):
    path = tmp_path / "own.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(MedbenchError) as caught:
        read_options(path)
    assert caught.value.code == code
    assert str(path) in caught.value.message
    assert named in f"{caught.value.message} {caught.value.hint}"


def test_a_request_needs_a_model_and_a_challenge(tmp_path):
    with pytest.raises(MedbenchError, match="--challenge is missing"):
        request_of({"model": "m"})
    with pytest.raises(MedbenchError, match="--model is missing"):
        request_of({"challenge": "m"})


WRONG = [
    ({"model": "dsau_net"}, "model.unknown"),
    ({"challenge": "hc19"}, "challenge.unknown"),
    ({"split": "tset"}, "split.unknown"),
    ({"set": {"n_wim": 8}}, "model.option"),
    ({"recipe": "quikc"}, "recipe.unknown"),
    ({"weights": "/nonexistent/weights.pt"}, "weights.missing"),
    ({"device": "gpu"}, "device.unknown"),
    ({"precision": "fp8"}, "precision.unknown"),
    ({"batch-size": 0}, "inference.setting"),
    ({"overlap": 1.0}, "inference.overlap"),
    ({"overlap": 0.5}, "inference.volumes_only"),
    ({"stitch": True}, "inference.setting"),
    ({"tiling": {"tile_px": 4}}, "inference.setting"),
    ({"modalities": "t1"}, "challenge.no_modalities"),
    ({"seed": -1}, "seed.negative"),
]


@pytest.mark.parametrize(
    ("weights", "meant"),
    [("atuo", "auto"), ("Auto", "auto"), ("nome", "none"), ("weigths.pt", "weights.pt"), ("x/y.pt", None)],
)
def test_misspelt_weights_get_the_nearest_word_or_file(weights, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(MedbenchError) as error:
        request_of({"model": "smp/unet", "challenge": "psfhs", "weights": weights}).plan()
    assert error.value.code == "weights.missing"
    assert error.value.hint.startswith(f"Did you mean {meant}?" if meant else "Check --weights.")
    assert "auto or none" in error.value.hint


def test_a_wrong_request_is_refused_before_anything_is_drawn_or_torch_is_loaded(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "from medbench.core.errors import MedbenchError\n"
        "from medbench.core.progress import SilentProgress\n"
        "from medbench.running.run import run_request\n"
        "from medbench.running.request_file import request_of\n"
        f"for options, code in {WRONG!r}:\n"
        "    try:\n"
        "        run_request(request_of({'model': 'dssau_net.test', 'challenge': 'hc18', **options}))\n"
        "    except MedbenchError as error:\n"
        "        print(error.code == code, error.code, options)\n"
        "print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(WRONG) + 1
    assert [line for line in lines[:-1] if not line.startswith("True ")] == []
    assert lines[-1] == "False"
    from medbench.core.folders import cache_folder

    assert not list(cache_folder().rglob("medbench-sample.json"))
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def test_a_recipe_beside_named_weights_is_refused(small_cvc):
    for weights in ("none", "own.pt"):
        with pytest.raises(MedbenchError, match=f"--recipe has no effect with --weights {weights}") as error:
            Request.of("mslau_net.test", "cvc_clinicdb", recipe="quick", weights=weights).plan()
        assert error.value.code == "option.ignored"


@pytest.mark.parametrize("settings", [{"batch_size": 2.5}, {"batch_size": True}, {"image_size": "128"}])
def test_sizes_that_are_no_whole_numbers_are_refused(settings):
    """A record would name what was not used."""
    with pytest.raises(MedbenchError) as caught:
        Inference(**settings)
    assert caught.value.code == "inference.setting"
