"""One file out of a `.tar` that is not trusted."""

import pathlib
import shutil
import tarfile

from ppocr_jax.errors import UserError, first_line
from ppocr_jax.foreign import read_whole, what_it_is


def take_file(archive, member, output):
    """Writes the one file called `member` of a `.tar` to `output`.

    No name and no kind of entry reaches the disk, only the bytes of that file. pooch's own
    unpacking is not used: before Python 3.12 it makes whatever an archive asks for.

    Args:
        archive: path of an uncompressed `.tar`, so that nothing in it is larger than the file.
        member: name without folders.
        output: path to write.

    Raises:
        UserError: the archive is damaged, does not hold exactly one such file, or has any entry
            that is neither a plain file nor a folder or that leads out of its own folder.
    """
    try:
        with tarfile.open(archive, "r:") as tar:
            entries = []
            for entry in tar:  # one by one: a length below 0 leads back to the same entry for ever
                _check(archive, entry)
                entries.append(entry)
            found = [e for e in entries if e.isfile() and _path(e).name == member]
            if len(found) != 1:
                raise UserError(f"{archive}: should hold one {member}, holds {len(found)}")
            with tar.extractfile(found[0]) as source, open(output, "wb") as target:
                shutil.copyfileobj(source, target)
    except (tarfile.TarError, EOFError, ValueError, OverflowError, RecursionError) as error:
        words = what_it_is(read_whole(archive), archive)
        if words and not words.startswith("a tar"):
            raise UserError(f"{archive}: not a .tar but {words}") from None
        raise UserError(f"{archive}: no readable .tar ({first_line(error)})") from None


def _path(entry):
    return pathlib.PurePosixPath(entry.name)


def _check(archive, entry):
    if entry.size < 0:
        raise UserError(f"{archive}: no readable .tar (an entry of {entry.size} bytes)")
    if _path(entry).is_absolute() or ".." in _path(entry).parts:
        raise UserError(f"{archive}: refused: its entry {entry.name!r} leads out of its folder")
    plain = entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()
    if not (plain or entry.isdir()):
        raise UserError(
            f"{archive}: refused: its entry {entry.name!r} is neither a plain file nor a folder"
        )
