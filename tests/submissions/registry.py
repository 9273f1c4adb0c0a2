"""A registry on this machine that takes pushed images, as far as pushing goes (OCI distribution 1.1)."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._answer(200 if self.path == "/v2/" or self._blob() in self.server.blobs else 404)

    do_HEAD = do_GET

    def do_POST(self):
        self._answer(202, Location=f"/uploads/{uuid.uuid4().hex}")

    def do_PATCH(self):
        self.server.uploads[self.path] = self.server.uploads.get(self.path, b"") + self._body()
        self._answer(202, Location=self.path, Range=f"0-{len(self.server.uploads[self.path]) - 1}")

    def do_PUT(self):
        path, _, query = self.path.partition("?")
        if "/manifests/" in path:
            body = self._body()
            self.server.pushed.append(path.removeprefix("/v2/").replace("/manifests/", ":"))
            digest = "sha256:" + hashlib.sha256(body).hexdigest()
            self._answer(201, **{"Docker-Content-Digest": digest})
            return
        body = self.server.uploads.pop(path, b"") + self._body()
        digest = query.partition("digest=")[2].replace("%3A", ":")
        assert digest == "sha256:" + hashlib.sha256(body).hexdigest()
        self.server.blobs.add(digest)
        self._answer(201)

    def _blob(self):
        return self.path.rpartition("/")[2]

    def _body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _answer(self, status, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments):
        """Say nothing."""


@contextlib.contextmanager
def local_registry():
    """Its address, and the list of names that were pushed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.blobs, server.uploads, server.pushed = set(), {}, []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}", server.pushed
    finally:
        server.shutdown()
        server.server_close()
