"""The invoke interface of grand-challenge: ``GET /health`` and ``POST /invoke``, one job at a time."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from medbench.core.errors import MedbenchError
from medbench.submissions.serving.outcome import explain

PORT = 4743
PORT_VARIABLE = "MEDBENCH_PORT"


def serve_jobs(load: Callable[[], object], invoke: Callable[[], None]) -> None:
    """Load the model, then serve jobs until the process is ended.

    ``/health`` answers 503 until the model is loaded and 200 from then on; ``/invoke`` answers 201, or 500
    with the line that also goes to standard error, and stays ready for the next job.
    """
    server = JobServer(("0.0.0.0", int(os.environ.get(PORT_VARIABLE, PORT))), invoke)  # nosec B104  # noqa: S104 - the platform calls from outside the container
    listener = threading.Thread(target=server.serve_forever, daemon=True)
    listener.start()
    try:
        load()
        server.ready.set()
        listener.join()
    finally:
        server.shutdown()


class JobServer(ThreadingHTTPServer):
    """Answers health checks while a job runs; jobs wait for one another."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], invoke: Callable[[], None]) -> None:
        super().__init__(address, _Handler)
        self.invoke = invoke
        self.ready = threading.Event()
        self.one_at_a_time = threading.Lock()

    def run_job(self) -> tuple[int, str]:
        """Run one job; HTTP status and text of its response."""
        with self.one_at_a_time:
            try:
                self.invoke()
            except Exception as failure:  # noqa: BLE001 - a failed job must not end the server
                if not isinstance(failure, MedbenchError):
                    traceback.print_exc(file=sys.stderr)
                line = explain(failure)
                sys.stderr.write(line + "\n")
                sys.stderr.flush()
                return 500, line
        return 201, "done"


class _Handler(BaseHTTPRequestHandler):
    server: JobServer

    def do_GET(self) -> None:
        if self.path.rstrip("/") != "/health":
            self._answer(404, "unknown address")
        elif self.server.ready.is_set():
            self._answer(200, "ready")
        else:
            self._answer(503, "loading the model")

    def do_POST(self) -> None:
        if self.path.rstrip("/") != "/invoke":
            self._answer(404, "unknown address")
        elif not self.server.ready.is_set():
            self._answer(503, "loading the model")
        else:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer(*self.server.run_job())

    def _answer(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing: health checks are frequent, and jobs log themselves."""
