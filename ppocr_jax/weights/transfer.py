"""One file over HTTP: a broken transfer goes on where it stopped, a stalled one is given up."""

import json
import pathlib
import time
import urllib.parse

import requests
import urllib3
from requests import exceptions
from tqdm import tqdm

from ppocr_jax.errors import shows_progress, tell
from ppocr_jax.files import settle

RETRY_DELAYS_S = (1, 2, 4, 8)  # between attempts; after the last one it is over
CONNECT_S = 10.0  # longest wait for a connection, when the longest silence is not shorter
CHUNK = 1 << 16  # bytes
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers of a server that may do better soon


class Failed(Exception):
    """The file was not transferred; the text says why. Another attempt would not help."""


class Broken(Failed):
    """The same, but another attempt may help."""


class Downloader:
    """Fetches an address into a file; pooch calls it.

    What has arrived lies in `part`, and survives a broken transfer and the end of the process;
    beside it `<part>.json` says of which version of the file it is. The next attempt asks for the
    rest, and starts anew where the server cannot send a rest or has another version by now.

    Args:
        part: path of the file that grows.
        size: bytes that the whole file should have, or None.
        silence_s: seconds without a byte after which an attempt is given up.
    """

    def __init__(self, part, size, silence_s):
        self.part = pathlib.Path(part)
        self.state = self.part.with_name(self.part.name + ".json")
        self.size = size
        self.timeout_s = (min(CONNECT_S, silence_s), silence_s)

    def __call__(self, url, output_file, pooch=None):
        """Leaves the whole file at `output_file`. Whether its content is right is not known yet.

        Raises:
            Failed: it cannot be had, or every attempt broke off.
            ValueError: it has another size; pooch raises the same for another hash.
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

    def _attempt(self, url):
        start, state = self._kept(url)
        if start and start == state["size"]:
            return
        headers = {"Accept-Encoding": "identity"}
        if start:
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

    def _kept(self, url):
        """`(bytes, state)` of an earlier attempt; `(0, None)` when the next one starts anew."""
        state = read_json(self.state)
        if not self.part.exists() or state.get("url") != url or not state.get("version"):
            return 0, None
        return self.part.stat().st_size, state

    def _check(self, url, answer, start):
        steps = [step.url for step in (*answer.history, answer)]
        if url.startswith("https:") and not all(step.startswith("https:") for step in steps):
            raise Failed(f"{url} leads to the unprotected {steps[-1]}")
        status = answer.status_code
        if status == 416:  # it has no such rest
            self._forget()
            raise Broken(f"{_host(url)} has another version of the file")
        if status != 200 and not (status == 206 and start):
            kind = Broken if status in BUSY else Failed
            raise kind(f"{_host(answer.url)} answers {status} {answer.reason}")

    def _check_rest(self, answer, start, state):
        """Refuses a rest that does not continue what is there: not every server heeds If-Range."""
        place = f"bytes {start}-{state['size'] - 1}/{state['size']}"
        if answer.headers.get("Content-Range") != place or _version(answer) != state["version"]:
            self._forget()
            raise Broken(f"{_host(answer.url)} sends another part than was asked for")

    def _start(self, url, answer):
        """Empties `part` and notes what will be in it."""
        announced = answer.headers.get("Content-Length", "")
        size = int(announced) if announced.isdigit() else self.size
        if size is None:
            raise Failed(f"{_host(answer.url)} does not say how large the file is")
        if self.size not in (None, size):
            raise ValueError(f"the file has {size} bytes, not {self.size}")
        self._forget()  # first, so that a state never stands beside bytes of another version
        state = {"url": url, "version": _version(answer), "size": size}
        self.state.write_text(json.dumps(state))
        return state

    def _write(self, answer, start, size):
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

    def _forget(self):
        self.part.unlink(missing_ok=True)
        self.state.unlink(missing_ok=True)


def read_json(path):
    """The object in a JSON file; {} when there is none, or no readable one."""
    try:
        content = json.loads(pathlib.Path(path).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _host(url):
    return urllib.parse.urlsplit(url).netloc or url


def _version(answer):
    """What If-Range takes: a strong ETag or a date. None: the file cannot be continued."""
    tag = answer.headers.get("ETag", "")
    return tag if tag.startswith('"') else answer.headers.get("Last-Modified")


def _explain(url, error, silence_s):
    """Failed or Broken with a short text, for an exception of requests."""
    host = _host(error.request.url if error.request else url)
    inner = error.args[0] if error.args else None  # urllib3's, which tells more kinds apart
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
