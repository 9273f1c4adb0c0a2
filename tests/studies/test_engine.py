"""Calls spread over threads, spawned processes, a local dask cluster, and a scheduler with two workers."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import study_functions as functions
from clusters import two_threads
from medbench.core.errors import MedbenchError
from medbench.running.call_engine import TRIES, Lost, spread
from medbench.running.executors import Processes, dask_cluster, device_of_workers, local_processes


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    folders = [str(Path(functions.__file__).parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, folders)))


def folders_in(root, *names):
    for name in names:
        (root / name).mkdir()
    return [str(root / name) for name in names]


def results(function, orders, executor):
    return {done.order: done.result for done in spread(function, orders, executor)}


def calls(folder):
    return len(Path(folder, "calls").read_text())


def test_threads_give_every_result_and_one_error_loses_no_other():
    with ThreadPoolExecutor(2) as pool:
        given = results(functions.refuse, range(6), pool)
    assert given == {0: 0, 1: 1, 2: 2, 3: Lost("ValueError: three is refused"), 4: 4, 5: 5}


def test_a_killed_process_loses_nothing_and_a_poison_call_is_given_up(tmp_path):
    orders = folders_in(tmp_path, "a", "b-fatal", "c", "d")
    with local_processes(1, "cpu") as pool:
        given = results(functions.die_once, orders, pool)
        assert given == {order: Path(order).name for order in orders}
        assert [calls(order) for order in orders] == [1, 2, 1, 1]
        poison = folders_in(tmp_path, "poison", "sound")
        given = results(functions.die, poison, pool)
    assert given[poison[1]] == "sound"
    assert given[poison[0]] == Lost("its worker died 3 times, so it was given up", TRIES)
    assert [calls(order) for order in poison] == [TRIES, 1]


def test_more_workers_than_devices_are_refused(monkeypatch):
    monkeypatch.setattr("medbench.running.executors._count_cuda", lambda: 2)
    with pytest.raises(MedbenchError, match="3 workers take 3 devices"), local_processes(3, "cuda"):
        pass
    pool = Processes(3, ["0", "1"])
    assert [slot._initial[0] for slot in pool._all] == ["0", "1", "0"]
    pool.shutdown()


def test_a_process_is_shown_the_very_device_that_was_named(monkeypatch):
    """Of a job that sees two of a machine's devices; the process calls the one that it sees cuda."""
    monkeypatch.setattr("medbench.running.executors._count_cuda", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    for device, workers, shown in (("cuda", 2, ["4", "7"]), ("cuda:1", 1, ["7"]), ("cpu", 2, ["", ""])):
        with local_processes(workers, device) as pool:
            assert [slot._initial[0] for slot in pool._all] == shown
    assert device_of_workers("cuda:1") == "cuda"
    for device, workers, code in (("cuda:1", 2, "workers.devices"), ("cuda:2", 1, "device.missing")):
        with pytest.raises(MedbenchError) as caught, local_processes(workers, device):
            pass
        assert caught.value.code == code


def test_an_absent_scheduler_is_named(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("medbench.running.executors.CONNECT_S", 0.3)
    with pytest.raises(MedbenchError) as caught, dask_cluster("tcp://127.0.0.1:9"):
        pass
    assert caught.value.code == "cluster.unreachable"


def test_a_local_cluster_gives_every_result():
    with two_threads() as executor:
        assert results(functions.square, range(20), executor) == {n: n * n for n in range(20)}
        assert results(functions.refuse, [3], executor) == {3: Lost("ValueError: three is refused")}


@pytest.fixture
def cluster(tmp_path):
    """Address of a scheduler with two workers, each a process of its own."""
    pytest.importorskip("distributed")
    address_file = tmp_path / "scheduler.json"
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
             "--no-dashboard", "--scheduler-file", str(address_file)],
            stderr=subprocess.DEVNULL,
        )
    ]  # fmt: skip
    until = time.monotonic() + 60
    while not address_file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    started += [
        subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(address_file),
             "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny", "--no-dashboard",
             "--local-directory", str(tmp_path / "space")],
            stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    import json

    yield json.loads(address_file.read_text())["address"], started[1:]
    for process in reversed(started):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_loses_nothing(cluster, tmp_path):
    address, workers = cluster
    orders = folders_in(tmp_path, *(f"order-{number}" for number in range(4)))
    with dask_cluster(address) as executor, ThreadPoolExecutor(1) as pool:
        work = pool.submit(results, functions.wait_for_release, orders, executor)
        begun = _pids(orders, {worker.pid for worker in workers}, 2)
        victim = workers[0].pid
        os.kill(victim, signal.SIGKILL)
        for order in orders:
            Path(order, "go").touch()
        given = work.result(timeout=60)
    assert given == {order: Path(order).name for order in orders}
    tries = Counter(order for order in orders for _ in Path(order).glob("pid-*"))
    assert tries[begun[victim]] == 2  # the victim's order, once more on the other worker
    assert sum(tries.values()) == len(orders) + 1


def _pids(orders, pids, number):
    until = time.monotonic() + 60
    while time.monotonic() < until:
        begun = {
            int(path.name.partition("-")[2]): order for order in orders for path in Path(order).glob("pid-*")
        }
        if len(begun.keys() & pids) == number:
            return begun
        time.sleep(0.05)
    raise AssertionError("the workers did not begin")
