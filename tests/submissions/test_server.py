"""The invoke interface: health, one job at a time, failures that leave the server ready."""

import threading
import urllib.error
import urllib.request

import pytest

from medbench.core.errors import MedbenchError
from medbench.submissions.serving.server import JobServer


@pytest.fixture
def server():
    """A server whose job can be exchanged."""
    jobs = []
    running = JobServer(("127.0.0.1", 0), lambda: jobs[-1]())
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running, jobs
    running.shutdown()
    running.server_close()


def ask(server, path, method="GET"):
    address = f"http://127.0.0.1:{server.server_address[1]}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method=method), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_health_is_503_until_the_model_is_loaded(server):
    running, jobs = server
    jobs.append(lambda: None)
    assert ask(running, "/health")[0] == 503
    assert ask(running, "/invoke", "POST")[0] == 503
    running.ready.set()
    assert ask(running, "/health")[0] == 200
    assert ask(running, "/invoke", "POST")[0] == 201
    assert ask(running, "/other")[0] == 404
    assert ask(running, "/other", "POST")[0] == 404


def test_a_failed_job_is_500_with_its_line_and_the_next_one_works(server, capfd):
    running, jobs = server
    running.ready.set()

    def fail():
        raise MedbenchError("input.missing", "a.mha: is missing.", "One image is due.")

    jobs.append(fail)
    assert ask(running, "/invoke", "POST") == (500, "error: a.mha: is missing. One image is due.")
    assert capfd.readouterr().err.splitlines()[-1] == "error: a.mha: is missing. One image is due."
    jobs.append(lambda: None)
    assert ask(running, "/invoke", "POST")[0] == 201


def test_health_answers_while_a_job_runs_and_jobs_wait_for_one_another(server):
    running, jobs = server
    running.ready.set()
    release, started, order = threading.Event(), threading.Event(), []

    def slow():
        order.append("begin")
        started.set()
        release.wait(10)
        order.append("end")

    jobs.append(slow)
    threads = [threading.Thread(target=ask, args=(running, "/invoke", "POST")) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert started.wait(10)
    assert ask(running, "/health")[0] == 200
    release.set()
    for thread in threads:
        thread.join()
    assert order == ["begin", "end"] * 2


def test_the_call_from_inside_a_container_waits_for_health_and_tells_the_status():
    """The one script that an engine's ``exec`` runs, beside a server that becomes ready later."""
    import subprocess
    import sys

    from medbench.submissions.containers.image_runner import _CALL

    outcomes = iter([None, ValueError("bad")])

    def invoke():
        outcome = next(outcomes)
        if outcome is not None:
            raise outcome

    server = JobServer(("127.0.0.1", 0), invoke)
    port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def call(path, method, patience_s):
        command = [sys.executable, "-c", _CALL, str(port), path, method, "30", str(patience_s)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert call("/health", "GET", 0.0) == 503
    timer = threading.Timer(0.5, server.ready.set)
    timer.start()
    assert call("/health", "GET", 60.0) == 200
    assert [call("/invoke", "POST", 0.0) for _ in range(2)] == [201, 500]
    server.shutdown()
    server.server_close()
    assert call("/health", "GET", 0.0) == 0
