"""Published weights by name: from the user's cache, or downloaded into it and checked."""

import contextlib
import difflib
import os
import pathlib

import filelock
import pooch

from ppocr_jax.errors import UserError, tell
from ppocr_jax.files import settle, write_json
from ppocr_jax.runtime.cache import cache_folder
from ppocr_jax.weights.archive import take_file
from ppocr_jax.weights.pdparams import read_pdparams
from ppocr_jax.weights.published import BASE_URL, FILES, NOT_READ
from ppocr_jax.weights.transfer import Downloader, Failed, read_json


def fetch(name: str) -> pathlib.Path:
    """The path of published weights in the cache; downloads them if they are missing.

    Args:
        name: key of `published.FILES`.

    Raises:
        UserError: an unknown name; the file cannot be downloaded, or differs from the published
            one or from the one downloaded first; its archive is unsafe or lacks the weights.
    """
    if name not in FILES:
        near = difflib.get_close_matches(name, FILES, 1)
        hint = NOT_READ.get(name) or (f"did you mean {near[0]}?" if near else "see --list")
        raise UserError(f"{name}: no published weights have this name: {hint}")
    weights = cache_folder() / f"{name}.pdparams"
    if _is_whole(name, weights):  # before taking the lock, so that the cache may be read-only
        return weights
    with _lock(name):
        if not _is_whole(name, weights):  # another process may have downloaded it meanwhile
            _fetch(name, weights)
    return weights


def address(name: str) -> str:
    """The URL of a published file; PPOCR_JAX_WEIGHTS_URL replaces its server."""
    base = os.environ.get("PPOCR_JAX_WEIGHTS_URL") or BASE_URL
    return f"{base.rstrip('/')}/{FILES[name].path}"


def _is_whole(name: str, weights: pathlib.Path) -> bool:
    """Whether the weights are in the cache and unchanged since they were checked."""
    entry = FILES[name]
    # The published SHA-256 is that of the archive; for the unpacked weights it was recorded.
    known = read_json(_record(name)).get("weights_sha256") if entry.member else entry.sha256
    return known is not None and weights.is_file() and pooch.file_hash(weights) == known


def _record(name: str) -> pathlib.Path:
    """The file beside the weights with the size and SHA-256 of the first download."""
    return cache_folder() / f"{name}.json"


def _lock(name: str) -> contextlib.AbstractContextManager[object]:
    """Keeps other processes from downloading the same file at the same time."""
    try:
        cache_folder().mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(cache_folder() / f"{name}.lock")
        try:
            return lock.acquire(timeout=1)
        except filelock.Timeout:
            tell(f"waiting for another process that downloads {name}")
            return lock.acquire()
    except OSError as error:
        raise UserError(
            f"{cache_folder()}: cannot be written ({error.strerror}); set PPOCR_JAX_CACHE to "
            "another folder"
        ) from None


def _fetch(name: str, weights: pathlib.Path) -> None:
    """Downloads, checks, records and unpacks a file; `weights` appears only after all of that."""
    entry, seen = FILES[name], read_json(_record(name))
    file = weights.with_suffix(pathlib.PurePosixPath(entry.path).suffix)
    # Where no SHA-256 was published, that of the first download counts from then on.
    known = entry.sha256 or seen.get("sha256")
    if weights.exists() or (file.exists() and known and pooch.file_hash(file) != known):
        tell(f"warning: {name} in {cache_folder()} is not the published content")
    _download(name, file, entry.size or seen.get("size"), known)
    url, size, sha256 = address(name), file.stat().st_size, pooch.file_hash(file)
    content = weights.with_suffix(".unpacked") if entry.member else file
    try:
        if entry.member:
            take_file(file, entry.member, content)
        if not known:
            read_pdparams(content)  # only weights are worth recording
    except UserError as error:
        for path in {file, content}:  # or the next attempt would use them
            path.unlink(missing_ok=True)
        raise UserError(f"{error}; downloaded from {url}, not kept") from None
    record = dict(url=url, size=size, sha256=sha256, weights_sha256=pooch.file_hash(content))
    if not known:
        write_json(_record(name), record)
        tell(f"{name}: {size} bytes, sha256 {sha256}, first download, recorded in {_record(name)}")
    if entry.member:
        settle(content, weights)
        file.unlink()


def _download(name: str, file: pathlib.Path, size: int | None, sha256: str | None) -> None:
    """Downloads a published file to `file`, unless it is there already."""
    url, entry = address(name), FILES[name]
    pooch.get_logger().setLevel("WARNING")  # its reports are replaced by one line of ours
    downloader = Downloader(file.with_name(file.name + ".part"), size, _silence_s())
    try:
        pooch.retrieve(url, sha256, file.name, file.parent, downloader=downloader)
    except Failed as error:
        raise UserError(
            f"{name} cannot be downloaded ({error}): download {url} by other means and save it as "
            f"{file}"
        ) from None
    except ValueError as error:  # a wrong size, or pooch's error for a wrong hash
        reason = str(error).split(". ")[0]
        first = "" if entry.sha256 else f"; if it was replaced on purpose, delete {_record(name)}"
        raise UserError(f"{url} is refused and not kept: {reason}{first}") from None


def _silence_s() -> float:
    """Seconds without a byte after which a transfer is given up, from the environment."""
    text = os.environ.get("PPOCR_JAX_TIMEOUT") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UserError(f"PPOCR_JAX_TIMEOUT={text}: should be a number of seconds above 0")
    return seconds


def describe() -> list[str]:
    """The lines of `download --list`: every published file, and whether it is in the cache."""
    lines = []
    for name, entry in FILES.items():
        seen = read_json(_record(name))
        size, sha256 = entry.size or seen.get("size"), entry.sha256 or seen.get("sha256")
        here = (cache_folder() / f"{name}.pdparams").exists()
        lines += [
            f"{name}: {entry.what}",
            f"  {address(name)}" + (f", gives {entry.member}" if entry.member else ""),
            f"  {f'{size:,} bytes' if size else 'size not known yet'}, "
            f"sha256 {sha256 or 'not known yet'}, {'in the cache' if here else 'not here'}",
        ]
    lines += [f"not offered: {name}: {why}" for name, why in NOT_READ.items()]
    return [*lines, f"cache: {cache_folder()}"]
