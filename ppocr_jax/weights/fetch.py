"""Published weights by name: found in the user's cache, or downloaded, checked and kept there."""

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


def fetch(name):
    """The path of published weights in the cache, downloaded when they are not there.

    Args:
        name: key of FILES.

    Raises:
        UserError: no such name; the file cannot be had, is not the published one, or not the one
            seen first; an archive that is not safe or lacks the weights.
    """
    if name not in FILES:
        near = difflib.get_close_matches(name, FILES, 1)
        hint = NOT_READ.get(name) or (f"did you mean {near[0]}?" if near else "see --list")
        raise UserError(f"{name}: no weights that can be downloaded by name: {hint}")
    weights = cache_folder() / f"{name}.pdparams"
    if _is_whole(name, weights):  # before the lock, so that the cache may be read-only
        return weights
    with _lock(name):
        if not _is_whole(name, weights):  # another process may have fetched it meanwhile
            _fetch(name, weights)
    return weights


def address(name):
    """The URL of a published file."""
    base = os.environ.get("PPOCR_JAX_WEIGHTS_URL") or BASE_URL
    return f"{base.rstrip('/')}/{FILES[name].path}"


def _is_whole(name, weights):
    """Whether the weights are in the cache, with the content that they had when checked."""
    entry = FILES[name]
    known = read_json(_record(name)).get("weights_sha256") if entry.member else entry.sha256
    return known is not None and weights.is_file() and pooch.file_hash(weights) == known


def _record(name):
    return cache_folder() / f"{name}.json"


def _lock(name):
    """Holds other processes off from `name` while it is fetched; a context manager."""
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
            f"{cache_folder()}: cannot be written ({error.strerror}); "
            "PPOCR_JAX_CACHE names another folder"
        ) from None


def _fetch(name, weights):
    """Downloads, checks, records and unpacks `name`; `weights` appear when all went well."""
    entry, seen = FILES[name], read_json(_record(name))
    file = weights.with_suffix(pathlib.PurePosixPath(entry.path).suffix)
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
            read_pdparams(content)  # what is no weights is not worth remembering
    except UserError as error:
        for path in {file, content}:  # else the next attempt would find them
            path.unlink(missing_ok=True)
        raise UserError(f"{error}; from {url}, not kept") from None
    record = dict(url=url, size=size, sha256=sha256, weights_sha256=pooch.file_hash(content))
    if not known:
        write_json(_record(name), record)
        tell(f"{name}: {size} bytes, sha256 {sha256}, seen first and recorded in {_record(name)}")
    if entry.member:
        settle(content, weights)
        file.unlink()


def _download(name, file, size, sha256):
    """Leaves the published file at `file`, unless it lies there already."""
    url, entry = address(name), FILES[name]
    pooch.get_logger().setLevel("WARNING")  # what it says is said here in one line
    downloader = Downloader(file.with_name(file.name + ".part"), size, _silence_s())
    try:
        pooch.retrieve(url, sha256, file.name, file.parent, downloader=downloader)
    except Failed as error:
        raise UserError(
            f"{name} cannot be downloaded ({error}): fetch {url} by other means and put it at "
            f"{file}"
        ) from None
    except ValueError as error:  # another size, or pooch's answer to another hash
        reason = str(error).split(". ")[0]
        first = "" if entry.sha256 else f"; if it was replaced on purpose, delete {_record(name)}"
        raise UserError(f"{url} is refused and not kept: {reason}{first}") from None


def _silence_s():
    text = os.environ.get("PPOCR_JAX_TIMEOUT") or "30"
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise UserError(f"PPOCR_JAX_TIMEOUT={text}: should be a number of seconds above 0")
    return seconds


def describe():
    """The table of `--list`, as lines."""
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
