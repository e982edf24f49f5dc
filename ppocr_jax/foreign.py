"""Reads files of unknown origin, within a size limit, and recognises common wrong ones.

A name promises nothing: a file of weights may turn out to be a web page, an archive, a Git LFS
pointer or the weights of another program.
"""

import os
import pathlib
import stat

from ppocr_jax.errors import UserError

MOST_BYTES = 1 << 31  # no detector comes near, and protobuf limits ONNX files to this
TORCH = "a PyTorch file (.pth): convert it to .pdparams or ONNX first"
BEGINNINGS = {  # first bytes of a file: what it is and what to do
    b"version https://git-lfs": "a Git LFS pointer, not the file: fetch it by `git lfs pull`",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": TORCH,
    b"\x1f\x8b": "a gzip archive: unpack it and name the file in it",
    b"BZh": "a bzip2 archive: unpack it and name the file in it",
    b"\xfd7zXZ\x00": "an xz archive: unpack it and name the file in it",
    b"\x28\xb5\x2f\xfd": "a zstd archive: unpack it and name the file in it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it and name the file in it",
    b"Rar!": "a rar archive: unpack it and name the file in it",
    b"\x89HDF\r\n": "an HDF5 file, as Keras writes them: convert it to .pdparams or ONNX first",
    b"\x93NUMPY": "a single NumPy array (.npy), not arrays by name",
    b"GGUF": "a GGUF file, which holds language models",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"\x89PNG": "a picture (PNG)",
    b"%PDF": "a PDF document",
    b"\x7fELF": "a program, not data",
}
PAGES = (b"<!doctype", b"<html", b"<?xml", b"<head")


def read_whole(path: str | os.PathLike[str]) -> bytes:
    """Reads a regular file.

    Raises:
        UserError: not a regular file, unreadable, empty, or larger than MOST_BYTES.
    """
    try:
        # O_NONBLOCK: do not hang on a pipe.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UserError(f"{path}: not a regular file")
            if status.st_size > MOST_BYTES:
                size = status.st_size >> 20
                raise UserError(f"{path}: {size} MiB is too large for weights of a detector")
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{path}: not a valid file name") from None
    if not data:
        raise UserError(f"{path}: empty; copy or download it again")
    return data


def what_it_is(data: bytes, path: str | os.PathLike[str]) -> str:
    """Says in a few words what a wrong file is and what to do about it; "" if unknown.

    Args:
        data: its bytes.
        path: its name; the suffix helps where the bytes do not tell.
    """
    for beginning, words in BEGINNINGS.items():
        if data.startswith(beginning):
            return words
    if data[257:262] == b"ustar":
        return "a tar archive: unpack it and name the file in it"
    if data.startswith(b"PK\x03\x04"):
        is_torch = b"/data.pkl" in data[:256]
        return TORCH if is_torch else "a zip archive: unpack it and name the file in it"
    if data[4:8] in (b"TFL3", b"ORTM"):
        return "a TFLite or ORT file: use the .onnx that it was made from"
    if data[8:9] == b"{" and 1 < int.from_bytes(data[:8], "little") < len(data):
        return "a .safetensors file: convert it to .pdparams or ONNX first"
    if data[:16] == bytes(16):
        return (
            "parameters of an exported Paddle model (.pdiparams), which have no names: use the "
            "training model's .pdparams, or convert it to ONNX"
        )
    return _by_text(data) or _by_name(data, pathlib.PurePath(path))


def _by_text(data):
    start = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:9].lower().startswith(PAGES):
        return "a web page, not the file: download it again, with the link to the file itself"
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        text = start[: error.start].decode() if error.start > len(start) - 4 else ""
    if text and all(c.isprintable() or c in "\t\r\n" for c in text):
        return "a text file" + (" (JSON)" if text[0] in "{[" else "")
    return ""


def _by_name(data, path):
    if path.suffix in (".pdmodel", ".pdiparams"):
        return "part of an exported Paddle model: use its .pdparams, or convert it to ONNX"
    if path.suffix == ".stablehlo":
        return "an exported file, whose weights cannot be read back: use what it was made from"
    if path.suffix == ".onnx" and data[0] == 0x80 and data[1] < 6:
        return "a pickle; if it is a .pdparams file, rename it"
    if path.suffix != ".onnx" and data[0] == 8 and data[1] < 64 and b"onnx" in data[:4096].lower():
        return "an ONNX file; rename it to .onnx"
    return ""
