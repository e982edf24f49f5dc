"""Extraction of one file from an untrusted `.tar`."""

import os
import pathlib
import shutil
import tarfile

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.foreign import read_whole, what_it_is


def take_file(archive: str | os.PathLike[str], member: str, output: str | os.PathLike[str]) -> None:
    """Writes the one file called `member` in a `.tar` to `output`.

    Only the bytes of that file reach the disk: no links, permissions or paths of the archive do.
    pooch's own unpacking is not used, since before Python 3.12 it creates whatever an archive
    names.

    Args:
        archive: path of an uncompressed `.tar`, in which no entry can be larger than the file.
        member: file name without folders.
        output: path to write to.

    Raises:
        UserError: the archive is damaged, does not hold exactly one such file, or has an entry
            that is neither a plain file nor a folder, or that points outside the archive.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            entries = []
            # Checked one by one while reading: a negative size would make the iteration endless.
            for entry in tar:
                _check(archive, entry)
                entries.append(entry)
            found = [e for e in entries if e.isfile() and _path(e).name == member]
            if len(found) != 1:
                raise UserError(f"{archive}: should hold one {member}, holds {len(found)}")
            source = tar.extractfile(found[0])
            assert source is not None  # it is a plain file
            with source, open(output, "wb") as target:
                shutil.copyfileobj(source, target)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        words = what_it_is(read_whole(archive), archive)
        if words and not words.startswith("a tar"):
            raise UserError(f"{archive}: not a .tar but {words}") from None
        raise UserError(f"{archive}: cannot be read as a .tar ({first_line(error)})") from None


def _path(entry: tarfile.TarInfo) -> pathlib.PurePosixPath:
    return pathlib.PurePosixPath(entry.name)


def _check(archive: str | os.PathLike[str], entry: tarfile.TarInfo) -> None:
    """Refuses an archive for an entry that no archive of weights has."""
    if entry.size < 0:
        raise UserError(f"{archive}: cannot be read as a .tar (an entry of {entry.size} bytes)")
    if _path(entry).is_absolute() or ".." in _path(entry).parts:
        raise UserError(f"{archive}: refused: its entry {entry.name!r} points outside the archive")
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
    if not (plain or entry.isdir()):
        raise UserError(
            f"{archive}: refused: its entry {entry.name!r} is neither a plain file nor a folder"
        )
