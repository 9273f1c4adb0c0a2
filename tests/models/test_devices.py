"""Names of devices: the nearest is named, all are listed, and torch is not needed to say so."""

import subprocess
import sys

import pytest

from medbench.core.errors import MedbenchError
from medbench.models.devices import check_device_name, present_device, visible_cuda

SCRIPT = """
import sys
from medbench.cli.main import app
from medbench.core.errors import MedbenchError
for words in sys.argv[1:]:
    try:
        app(words.split(), standalone_mode=False)
    except MedbenchError as error:
        print(error.code, "|", error.message, "|", error.hint)
    assert "torch" not in sys.modules, words
"""
VERBS = (
    "train -m smp/unet -c psfhs --device cdua",
    "train -m smp/unet -c psfhs --device cdua --dry-run",
    "run -m smp/unet -c psfhs --device cdua",
    "predict -m smp/unet -c psfhs -o out --device cdua",
    "profile -m smp/unet --device cpu,cdua",
    "pretrain --device cdua",
    "ensemble one two --device cdua",
    "study nowhere.toml --device cdua",
)


def test_every_verb_refuses_a_misspelt_device_before_torch_is_loaded(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *VERBS],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    line = (
        "device.unknown | There is no device named 'cdua'. | Did you mean cuda? "
        "Known: auto, cpu, cuda, cuda:N, mps."
    )
    assert done.stdout.splitlines() == [line] * len(VERBS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("gpu", "cuda"), ("gpu:0", "cuda"), ("0", "cuda"), ("CUDA:0", "cuda"), ("cuda0", "cuda")),
        *(("cuda:", "cuda"), ("cup", "cpu"), ("aut", "auto"), ("nvidia", "cuda")),
    ],
)
def test_the_nearest_device_is_named(name, meant):
    for refuse in (check_device_name, present_device):
        with pytest.raises(MedbenchError) as error:
            refuse(name)
        assert error.value.code == "device.unknown"
        assert error.value.hint.startswith(f"Did you mean {meant}? Known: auto, ")


def test_a_child_process_is_shown_the_device_that_this_process_means(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_cuda(1) == "1"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, 7")
    assert [visible_cuda(number) for number in (0, 1)] == ["4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937")
    assert visible_cuda(0) == "GPU-8932f937"
