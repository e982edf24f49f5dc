"""A web server on loopback that serves what a test gives it, and misbehaves when told to."""

import http.server
import threading
import zlib


class Site:
    """Files by path, the faults of the next requests, and what was asked.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        files: `{path: bytes}`.
        faults: one per request, taken from the front; None or no entry for good behaviour.
        asked: `(path, Range header or None)` of every request.
        versions: whether files have an ETag.
        reached, release: set when a stall begins; sets all stalls free.
    """

    def __init__(self):
        self.files, self.faults, self.asked, self.versions = {}, [], [], True
        self.reached, self.release = threading.Event(), threading.Event()
        site = self

        class Handler(_Handler):
            def do_GET(self):
                self.answer(site)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(10)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *args):
        pass

    def answer(self, site):
        """Faults: a status; `("redirect", path)`; `("cut", bytes)` and `("stall", bytes)` after
        so many of the body; "corrupt"; "no range"; "deaf" to If-Range; "other part";
        "no length"; `("chunked", bytes more than the file has)`; "drop" without an answer.
        """
        self.close_connection = True
        kind = self.headers.get("Range")
        site.asked.append((self.path, kind))
        fault = site.faults.pop(0) if site.faults else None
        fault, amount = fault if isinstance(fault, tuple) else (fault, None)
        body = site.files.get(self.path)
        if fault == "drop":
            return
        if isinstance(fault, int) or body is None:
            self.send_error(fault or 404)
            return
        if fault == "redirect":
            self.send_response(302)
            self.send_header("Location", amount)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
            return
        tag = f'"{zlib.crc32(body)}"'
        start = 0
        if kind and fault != "no range" and (self.headers["If-Range"] == tag or fault == "deaf"):
            start = int(kind.removeprefix("bytes=").removesuffix("-"))
        if start >= len(body):
            self.send_error(416)
            return
        size = len(body)
        self.send_response(206 if start else 200)
        if start:
            first = start + (fault == "other part")
            self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
        self.send_header("Connection", "close")
        if site.versions:
            self.send_header("ETag", tag)
        if fault == "corrupt":
            body = body[: size // 2] + bytes([body[size // 2] ^ 1]) + body[size // 2 + 1 :]
        body = body[start:]
        if fault == "chunked":
            body += bytes(amount)
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        elif fault != "no length":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body[:amount] if fault in ("cut", "stall") else body)
            self.wfile.flush()
        except OSError:  # the other side has seen enough
            return
        if fault == "stall":
            site.reached.set()
            site.release.wait(30)
