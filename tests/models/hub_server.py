"""A small server on loopback that speaks the hub's routes: resolve with HEAD, GET and ranges, and the model's list of files."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = hashlib.sha1(b"one").hexdigest()


class HubServer:
    """Serves one folder as `owner/model`, and as `old/name`, from where it leads there. Used as a context manager.

    `gated`, `broken` (a status for every file), `hangs` (no answer about any file) and `trickles` change how it answers: answers to
    requests that begin so, such as `GET owner/model/resolve/main/config.json`, come a byte at a time, one every `pace` seconds, with
    their heads where they are HEAD's; `nap` is slept before every 64 kB.
    """

    def __init__(self, folder: Path, *, gated: bool = False) -> None:
        self.folder, self.gated = folder, gated
        self.broken, self.hangs = 0, False
        self.trickles, self.pace = "never", 3.0
        self.nap = 0.0
        self.asked: list[str] = []
        self.sent = 0
        self.released = threading.Event()
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *values: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                hub.answer(self, body=False)

            def do_GET(self) -> None:
                hub.answer(self, body=True)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubServer:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error: Any) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = request.path.partition("?")[0].strip("/")
        self.asked.append(f"{request.command} {path}")
        if not path:
            return self._send(request, 200, b"", body=body)
        api = path.startswith("api/models/")
        parts = path.removeprefix("api/models/").split("/")
        if not body and self._trickles(request):
            return self._trickle(request, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        if self.hangs:
            self.released.wait(60)
            return None
        if self.broken:
            return self._refuse(request, self.broken, "")
        if parts[:2] == ["old", "name"]:
            place = request.path.replace("old/name", "owner/model")
            return self._send(request, 307, b"", body=body, extra={"Location": place})
        if parts[:2] != ["owner", "model"]:
            return self._refuse(request, 404, "RepoNotFound")
        revision = parts[3] if len(parts) > 3 else "main"
        if revision not in ("main", "v1", COMMIT):
            return self._refuse(request, 404, "RevisionNotFound")
        if api:
            files = [{"rfilename": f.name, "size": f.stat().st_size} for f in sorted(self.folder.iterdir())]
            content = {"id": "owner/model", "modelId": "owner/model", "sha": COMMIT, "siblings": files}
            return self._send(request, 200, json.dumps(content).encode(), body=body, kind="application/json")
        if self.gated:
            return self._refuse(request, 403, "GatedRepo")
        file = self.folder / parts[-1]
        if not file.is_file():
            return self._refuse(request, 404, "EntryNotFound")
        return self._file(request, file.read_bytes(), body=body)

    def _file(self, request: BaseHTTPRequestHandler, content: bytes, *, body: bool) -> None:
        start = int((request.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")[0] or 0)
        etag = hashlib.sha256(content).hexdigest()
        extra = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        if start:
            extra["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(request, 206 if start else 200, content[start:], body=body, extra=extra)

    def _send(
        self, request: BaseHTTPRequestHandler, status: int, content: bytes, *, body: bool, kind: str = "text/plain", extra: Any = None
    ) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        for name, value in (extra or {}).items():
            request.send_header(name, value)
        request.end_headers()
        if not body:
            return
        if self._trickles(request):
            return self._trickle(request, content)
        for place in range(0, len(content), 65536):
            time.sleep(self.nap)
            try:
                request.wfile.write(content[place : place + 65536])
            except OSError:  # the client has gone
                return
            self.sent += len(content[place : place + 65536])

    def _trickles(self, request: BaseHTTPRequestHandler) -> bool:
        return f"{request.command} {request.path.strip('/')}".startswith(self.trickles)

    def _trickle(self, request: BaseHTTPRequestHandler, content: bytes) -> None:
        for byte in content:
            if self.released.wait(self.pace):
                return
            try:
                request.wfile.write(bytes([byte]))
            except OSError:  # the client has gone
                return

    def _refuse(self, request: BaseHTTPRequestHandler, status: int, code: str) -> None:
        extra = {"X-Error-Code": code, "X-Error-Message": code}
        self._send(request, status, b"{}", body=request.command == "GET", kind="application/json", extra=extra)
