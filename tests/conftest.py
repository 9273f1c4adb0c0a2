"""Shared fixtures: no network, private folders, a small release."""

import functools
import gc
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import types
from pathlib import Path

import pytest

from golden_files import golden
from medbench.core import plugins
from warm_process import wait_for_no_disk

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
NOT_QUICK = ("browser", "docs", "nnunet", "plugins", "profiling", "submissions", "training")
"""Rooms that ``--quick`` leaves out: nearly all of their tests train, build or start processes."""
ENGINE = ("tests/submissions/containers/", "tests/submissions/clients/")
"""Rooms whose tests share an engine with its base image, which takes long to make."""
LONGEST_FIRST = (*ENGINE, "tests/docs/", "tests/nnunet/", "tests/submissions/", "tests/running/",
                 "tests/training/", "tests/profiling/")  # fmt: skip
"""Rooms in the order of their start: what waits for a disk or a process overlaps with what computes."""
OWN_STEPS = ("exhaustive", "tutorial", "container")
"""Markers of tests that the suite leaves out: ``--full`` runs all of them, ``-m`` those that it names."""


def pytest_addoption(parser):
    parser.addoption(
        "--quick",
        action="store_true",
        help=f"Leave out {', '.join(NOT_QUICK)}; skip a test as soon as it trains or starts a process.",
    )
    parser.addoption(
        "--full",
        action="store_true",
        help="Every test, also of a step of its own, and every count whole.",
    )
    parser.addoption("--fuzz", type=int, default=100, help="Edited headers a format, in tests/gate.")


def pytest_configure(config):
    """Nobody waits for the disk: what a power cut would leave is what ``tests/core/test_files.py`` tests."""
    wait_for_no_disk()


def pytest_ignore_collect(collection_path, config):
    """Rooms that ``--quick`` leaves out are not even imported."""
    in_room = collection_path.parent == Path(__file__).parent and collection_path.name in NOT_QUICK
    return True if in_room and config.getoption("--quick") else None


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Modules and tests stay to the end: the collector of cycles need not look through them again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file is run by one worker, and so are all files that need the engine."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileOrEngine(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return "engine" if nodeid.startswith(ENGINE) else nodeid.partition("::")[0]

    return ByFileOrEngine(config, log) if config.getoption("dist") == "loadfile" else None


def _place_of(item):
    """Place of a test's room in the order of their start."""
    rooms = enumerate(LONGEST_FIRST)
    return next((place for place, room in rooms if item.nodeid.startswith(room)), len(LONGEST_FIRST))


def pytest_collection_modifyitems(config, items):
    """Long rooms first; tests with a step of their own are left out."""
    items.sort(key=_place_of)
    asked = config.getoption("markexpr")
    out = () if config.getoption("--full") else [name for name in OWN_STEPS if name not in asked]
    here, elsewhere = [], []
    for item in items:
        (elsewhere if any(item.get_closest_marker(name) for name in out) else here).append(item)
    items[:] = here
    config.hook.pytest_deselected(items=elsewhere)


@pytest.fixture(scope="session")
def full(request):
    """Whether counts are whole, as of random sets and of moments of a kill."""
    return request.config.getoption("--full")


@pytest.fixture(autouse=True, scope="session")
def _quick(request):
    """With ``--quick``, a test that trains or starts a process is skipped where it would."""
    if not request.config.getoption("--quick"):
        yield
        return

    def skip(*arguments, **options):
        pytest.skip("--quick: trains or starts a process")

    class Skipped(subprocess.Popen):
        __init__ = skip
        __del__ = lambda self: None  # noqa: E731

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medbench.training.fit.fit", skip)
        patch.setattr("medbench.nnunet.training.NNUNET.train", skip, raising=False)
        patch.setattr(subprocess, "Popen", Skipped)  # last: imports of libraries may start a process
        yield


@pytest.fixture(autouse=True, scope="session")
def _one_command_line():
    """The parameters of all commands are read once, not anew for each command of a test."""
    import typer.main

    build = functools.cache(typer.main.get_command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.main.get_command", build)
        patch.setattr("typer.testing._get_command", build)
        yield


@pytest.fixture(scope="session", name="golden")
def golden_fixture():
    """Numbers that the authors' and organisers' own programs gave: ``golden(name)`` reads one file."""
    return golden


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(self, address, *arguments):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"tests may not reach {address}")
        return connect(self, address, *arguments)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True, scope="module")
def _plugins_of_the_module():
    """What a module's fixtures load is gone after its last test."""
    before = dict(plugins._files)
    yield
    plugins._files.clear()
    plugins._files.update(before)


@pytest.fixture(scope="session")
def _samples(tmp_path_factory):
    """Synthetic samples, drawn once for all tests; each use of one checks it file by file."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "samples"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def _small(_samples):
    """``_small(name, write)`` is a folder that one worker has written for all."""
    place = _samples.with_name("small")
    place.mkdir(exist_ok=True)

    def folder(name, write):
        target = place / name
        if not target.exists():
            partial = Path(tempfile.mkdtemp(dir=place, prefix=".partial-"))
            write(partial)
            try:
                partial.rename(target)
            except OSError:  # another worker was faster
                shutil.rmtree(partial)
        return target

    return folder


@pytest.fixture(scope="session")
def sample(_samples):
    """``sample(challenge)`` is the folder of its synthetic sample, not to be changed."""
    from medbench.challenges import load_challenge
    from medbench.core.progress import SilentProgress
    from medbench.running.samples import sample_folder

    def folder(name):
        release = load_challenge(name).release
        target = _samples / f"{release.data_set}-{release.sample_version}"
        return sample_folder(load_challenge(name), SilentProgress(), target)

    return folder


@pytest.fixture(scope="session")
def unmarked(sample, _small):
    """``unmarked(challenge)`` is its synthetic sample without the marker file, not to be changed."""

    def folder(name):
        def write(target):
            shutil.copytree(sample(name), target, dirs_exist_ok=True)
            (target / "medbench-sample.json").unlink()

        return _small(f"unmarked-{name}", write)

    return folder


@pytest.fixture(autouse=True, scope="session")
def _shared_folders(tmp_path_factory):
    """Fixtures of whole modules write no run and no row into the checkout either."""
    folder = tmp_path_factory.mktemp("shared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEDBENCH_RUNS", str(folder / "runs"))
        patch.setenv("MEDBENCH_LEADERBOARDS", str(folder / "leaderboards"))
        yield


_numbers = itertools.count()


@pytest.fixture(autouse=True)
def _private_folders(monkeypatch, tmp_path_factory, _samples):
    # Numbered here: pytest looks through all earlier folders for the next number.
    folder = tmp_path_factory.getbasetemp() / "medbench" / f"{next(_numbers)}"
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "samples").symlink_to(_samples)
    monkeypatch.setenv("MEDBENCH_CACHE", str(folder / "cache"))
    monkeypatch.setenv("MEDBENCH_RUNS", str(folder / "runs"))
    monkeypatch.setenv("MEDBENCH_LEADERBOARDS", str(folder / "leaderboards"))
    for name in ("MEDBENCH_DATA", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(plugins, "_files", dict(plugins._files))


@pytest.fixture(scope="session")
def one_thread():
    """Small networks gain nothing from threads, and waiting threads cost a busy machine dearly."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def small_iugc(_small):
    """Five training and four test videos of 128 × 128 in the released layout."""
    from medbench.challenges.iugc2024.sample import Plan, write_sample

    kinds = ("all", "all", "none", "all", "none")
    videos = [Plan("train", number, kind, 7) for number, kind in enumerate(kinds)]
    videos += [Plan("val", 0, "mixed", 9)]
    videos += [Plan("test", number, "mixed", 9 + number) for number in range(4)]
    return _small("iugc", lambda root: write_sample(root, videos, size=128))


@pytest.fixture(scope="session")
def small_cvc(_small):
    """Twenty-four frames of 72 × 96 of nine sequences, in the released layout."""
    from medbench.challenges.families.cvc_frames.sample import write_sample

    frames = {
        1: [1, 4, 19], 2: [26, 31, 40], 3: [51, 52], 4: [68, 74], 11: [206, 213], 20: [409, 414],
        6: [104, 109, 112], 8: [152, 153, 156], 17: [343, 346, 352, 356],
    }  # fmt: skip
    return _small("cvc", lambda root: write_sample(root, frames, size=(72, 96)))


@pytest.fixture(scope="session")
def small_isic(_small):
    """Twenty-two small images of the three sets in the organisers' folders."""
    from medbench.challenges.isic2018.sample import drawn_names, write_sample

    names = drawn_names()
    chosen = {"train": names["train"][:16], "val": names["val"][:2], "test": names["test"][:4]}
    return _small("isic", lambda root: write_sample(root, chosen, sizes=((60, 80), (72, 90))))


@pytest.fixture(scope="session")
def small_synapse(_small):
    """Two training and three test volumes of 8 slices of 64 × 64, prepared as TransUNet does."""
    from medbench.challenges.synapse.sample import write_sample

    cases = {"train": (5, 6), "test": (1, 8, 22)}
    return _small("synapse", lambda root: write_sample(root, cases, n_slices=8, size=64))


@pytest.fixture(scope="session")
def small_kpis(_small):
    """Two training and three test slides of 1536 at the working level with patches of 768, as released."""
    from medbench.challenges.kpis.sample import Plan, write_sample

    slides = [Plan("train", "56Nx", 0), Plan("train", "NEP25", 1)]
    slides += [Plan("test", "DN", 60), Plan("test", "NEP25", 61), Plan("test", "normal", 62)]
    return _small("kpis", lambda root: write_sample(root, slides, side=1536, patch=768))


@pytest.fixture
def shared_data():
    """Real samples beside the checkout; tests that need them are skipped where there are none."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real samples beside the checkout ({SHARED_DATA})")
    return SHARED_DATA


@pytest.fixture
def command(monkeypatch, capsys):
    """Run one command of medbench: exit code, output, errors."""

    from medbench.cli.main import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["medbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        told = capsys.readouterr()
        return types.SimpleNamespace(code=caught.value.code, out=told.out, err=told.err)

    return run


@pytest.fixture
def say(capsys):
    """Print a line although output is captured."""

    def _say(line):
        with capsys.disabled():
            print(f"\n{line}", end="")  # noqa: T201

    return _say
