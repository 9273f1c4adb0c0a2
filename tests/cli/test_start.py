"""The command starts light and fails in one line."""

import subprocess
import sys

import pytest
import typer

from medbench.cli.main import app

HEAVY = ("torch", "monai", "lightning", "cv2", "SimpleITK", "scipy", "pandas", "numpy", "pydantic", "rich")


def medbench(*arguments):
    return subprocess.run(
        [sys.executable, "-c", "from medbench.cli.main import main; main()", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from medbench.cli.main import main\n"
        "sys.argv = ['medbench', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "run" in done.stdout
    assert done.stderr.strip() == "[]"


def test_importing_the_package_is_light_and_without_side_effects():
    code = (
        "import sys, os, logging, multiprocessing\n"
        "before = dict(os.environ), logging.root.level, list(logging.root.handlers)\n"
        "import medbench\n"
        "assert (dict(os.environ), logging.root.level, list(logging.root.handlers)) == before\n"
        "assert multiprocessing.get_start_method(allow_none=True) is None\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
        "medbench.list_models(), medbench.list_challenges(), medbench.list_metrics()\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "False"]


def test_importing_the_package_takes_less_than_150_ms():
    """Of the processor, the least of three processes, so that a busy machine decides nothing."""
    code = "import time; begin = time.process_time(); import medbench; print(time.process_time() - begin)"
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.15


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("run", "-m", "dsau_net", "-c", "iugc2024"), "dssau_net"),
        (("run", "-m", "dssau_net", "-c", "iugc"), "iugc2024"),
        (("evaluate", "-c", "iugc2024", "--predictions", "/nonexistent"), "no such folder"),
        (("models", "show", "unet"), "smp/unet"),
        (("metrics", "show", "hd95"), "hd95.pooled"),
        (("run", "-m", "dssau_net"), "--challenge"),
        (("nonsense",), "nonsense"),
    ],
)
def test_a_wrong_request_is_a_short_message_and_exit_code_2(arguments, expected):
    done = medbench(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 8


def test_the_package_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "medbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("medbench ")


@pytest.mark.slow
def test_a_configured_folder_that_is_not_there_is_no_sample(monkeypatch, tmp_path):
    monkeypatch.setenv("MEDBENCH_DATA", str(tmp_path / "none"))
    done = medbench("run", "-m", "smp/unet", "-c", "hc18", "--runs", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: MEDBENCH_DATA={tmp_path / 'none'}: there is no such folder.")


def test_without_torch_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['torch'] = None; from medbench.cli.main import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "run", "-m", "smp/unet", "-c", "hc18", "--runs", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pip install 'medbench[models]'" in done.stderr
    assert "Drawing" not in done.stderr


def test_a_device_that_is_not_there_is_refused_before_torch_is_loaded(tmp_path):
    code = (
        "import sys; from medbench.cli import main as cli\n"
        "from medbench.core.machine import has_no_gpu\n"
        "try:\n    cli.main()\nexcept SystemExit as end:\n    code = end.code\n"
        "print('torch' in sys.modules, has_no_gpu(), code)"
    )
    words = ("run", "-m", "smp/unet", "-c", "hc18", "--device", "cuda:77", "--runs", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    loaded, no_gpu, exit_code = done.stdout.split()
    assert exit_code == "2"
    assert loaded != no_gpu
    assert "[device.missing]" in done.stderr
    assert "Nothing was drawn or fitted." in done.stderr
    assert "Drawing" not in done.stderr


@pytest.mark.parametrize(
    ("words", "built"),
    [(["cite", "--help"], {"cite"}), (["data", "sample", "--help"], {"data"}), (["--help"], None)],
)
def test_of_all_commands_the_named_one_is_built(words, built, monkeypatch, capsys):
    made = []
    group_from_info = typer.main.get_group_from_info

    def noted(info, **settings):
        made.append(group_from_info(info, **settings))
        return made[-1]

    monkeypatch.setattr(typer.main, "get_group_from_info", noted)
    app(words, standalone_mode=False)
    names = set(made[-1].commands)
    assert names == built if built else len(names) > 20
    assert "Usage" in capsys.readouterr().out
    assert len(typer.main.get_command(app).commands) > 20
