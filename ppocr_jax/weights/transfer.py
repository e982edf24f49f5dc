"""Download of one file over HTTP: resumes a broken transfer, gives up a stalled one."""

from __future__ import annotations

import json
import os
import pathlib
import time
import urllib.parse
from typing import Any

import requests
import urllib3
from requests import exceptions
from tqdm import tqdm

from ppocr_jax.errors import shows_progress, tell
from ppocr_jax.files import settle

RETRY_DELAYS_S = (1, 2, 4, 8)  # between attempts; there is one more attempt than delays
CONNECT_S = 10.0  # longest wait for a connection, unless the longest silence is shorter
CHUNK = 1 << 16  # bytes
BUSY = (408, 425, 429, 500, 502, 503, 504)  # status codes of a server that may recover soon


class Failed(Exception):
    """The transfer failed, and another attempt would not help. The message says why."""


class Broken(Failed):
    """The transfer failed, and another attempt may help."""


class Downloader:
    """Downloads a URL into a file; called by pooch.

    The bytes received so far are in `part`, which survives a broken transfer and the end of the
    process; `<part>.json` says which version of the file they are from. The next attempt asks for
    the rest, and starts from the beginning where the server cannot send a rest or has another
    version of the file.

    Args:
        part: path of the growing file.
        size: expected size of the whole file in bytes, or None.
        silence_s: seconds without a byte after which an attempt is given up.
    """

    def __init__(self, part: str | os.PathLike[str], size: int | None, silence_s: float) -> None:
        self.part = pathlib.Path(part)
        self.state = self.part.with_name(self.part.name + ".json")
        self.size = size
        self.timeout_s = (min(CONNECT_S, silence_s), silence_s)

    def __call__(self, url: str, output_file: str | os.PathLike[str], pooch: object = None) -> None:
        """Downloads the whole file to `output_file`; pooch then compares its hash.

        Args:
            url: address.
            output_file: path to write to.
            pooch: not used.

        Raises:
            Failed: the file is not available, or every attempt broke.
            ValueError: the file has another size; pooch raises the same for another hash.
        """
        tell(f"downloading {url}")
        for delay_s in (*RETRY_DELAYS_S, None):
            try:
                self._attempt(url)
                break
            except Broken as error:
                if delay_s is None:
                    raise
                tell(f"{error}; again in {delay_s} s")
                time.sleep(delay_s)
        settle(self.part, output_file)
        self.state.unlink(missing_ok=True)

    def _attempt(self, url: str) -> None:
        start, state = self._kept(url)
        if start and start == state["size"]:
            return
        headers = {"Accept-Encoding": "identity"}  # compressed bytes could not be counted
        if start:
            # If-Range: the server sends the rest of the same version, or the whole of a new one.
            headers |= {"Range": f"bytes={start}-", "If-Range": state["version"]}
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout_s) as answer:
                self._check(url, answer, start)
                if answer.status_code == 206:
                    self._check_rest(answer, start, state)
                else:
                    start, state = 0, self._start(url, answer)
                self._write(answer, start, state["size"])
        except exceptions.RequestException as error:
            raise _explain(url, error, self.timeout_s[1]) from None

    def _kept(self, url: str) -> tuple[int, dict[str, Any]]:
        """`(bytes, state)` left by an earlier attempt; `(0, {})` with nothing to resume."""
        state = read_json(self.state)
        if not self.part.exists() or state.get("url") != url or not state.get("version"):
            return 0, {}
        return self.part.stat().st_size, state

    def _check(self, url: str, answer: requests.Response, start: int) -> None:
        """Raises Failed or Broken where an answer is not the file or its rest."""
        steps = [step.url for step in (*answer.history, answer)]
        if url.startswith("https:") and not all(step.startswith("https:") for step in steps):
            raise Failed(f"{url} redirects to {steps[-1]}, which is not encrypted")
        status = answer.status_code
        if status == 416:  # range not satisfiable: the file is shorter than what is here
            self._forget()
            raise Broken(f"{_host(url)} has another version of the file")
        if status != 200 and not (status == 206 and start):
            kind = Broken if status in BUSY else Failed
            raise kind(f"{_host(answer.url)} answers {status} {answer.reason}")

    def _check_rest(self, answer: requests.Response, start: int, state: dict[str, Any]) -> None:
        """Refuses a rest that does not continue the part: not every server obeys If-Range."""
        place = f"bytes {start}-{state['size'] - 1}/{state['size']}"
        if answer.headers.get("Content-Range") != place or _version(answer) != state["version"]:
            self._forget()
            raise Broken(f"{_host(answer.url)} sends another part than was asked for")

    def _start(self, url: str, answer: requests.Response) -> dict[str, Any]:
        """Empties `part` and records which version of the file will be in it."""
        announced = answer.headers.get("Content-Length", "")
        size = int(announced) if announced.isdigit() else self.size
        if size is None:
            raise Failed(f"{_host(answer.url)} does not say how large the file is")
        if self.size not in (None, size):
            raise ValueError(f"the file has {size} bytes, not {self.size}")
        self._forget()  # first, so that the record is never beside bytes of another version
        state = {"url": url, "version": _version(answer), "size": size}
        self.state.write_text(json.dumps(state))
        return state

    def _write(self, answer: requests.Response, start: int, size: int) -> None:
        """Appends the body of an answer to `part`. Raises Broken where it has another length."""
        count = start
        with (
            open(self.part, "ab") as file,
            tqdm(
                total=size,
                initial=start,
                unit="B",
                unit_scale=True,
                desc=self.part.stem,
                disable=not shows_progress(),
            ) as bar,
        ):
            for chunk in answer.iter_content(CHUNK):
                count += len(chunk)
                if count > size:
                    break
                file.write(chunk)
                bar.update(len(chunk))
        if count > size:
            self._forget()
            raise Broken(f"{_host(answer.url)} sends more than the {size} bytes of the file")
        if count < size:
            raise Broken(f"{_host(answer.url)} stopped after {count} of {size} bytes")

    def _forget(self) -> None:
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The object in a JSON file; {} when the file is missing or unreadable."""
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc or url


def _version(answer: requests.Response) -> str | None:
    """The value for If-Range: a strong ETag or a date. None when the file cannot be resumed."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _explain(url: str, error: exceptions.RequestException, silence_s: float) -> Failed:
    """Failed or Broken with a short message, for an exception of requests."""
    host = _host(str(error.request.url or url) if error.request else url)
    inner = error.args[0] if error.args else None  # urllib3's exception says more exactly why
    if isinstance(error, exceptions.SSLError):
        return Failed(f"no trusted connection to {host}: {inner}")
    absent = isinstance(getattr(inner, "reason", None), urllib3.exceptions.NewConnectionError)
    if absent or isinstance(error, exceptions.ConnectTimeout | exceptions.ProxyError):
        return Failed(f"no connection to {host}")
    silent = isinstance(inner, urllib3.exceptions.ReadTimeoutError)
    if silent or isinstance(error, exceptions.ReadTimeout):
        return Broken(f"{host} sent nothing for {silence_s:g} s")
    if isinstance(error, exceptions.ConnectionError | exceptions.ChunkedEncodingError):
        return Broken(f"{host} broke the connection")
    return Failed(f"{host}: {error}")
