"""Writes pages: each is one HTML file that needs no other file, no network and no script."""

import base64
import json
import os
import pathlib
import sys
from typing import Any

import jinja2
from ml_collections import ConfigDict

from ppocr_jax.config import plain
from ppocr_jax.errors import shown
from ppocr_jax.files import write_text


def write_page(path: str | os.PathLike[str], template: str, **values: Any) -> None:
    """Writes a page, completely or not at all.

    Args:
        path: of the file; its folder exists.
        template: name of a file in this folder.
        values: the template's variables. Text is escaped for HTML, and characters that do not print
            are shown as escapes.

    Raises:
        jinja2.UndefinedError: a variable is missing.
    """
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,  # a misspelled variable is an error, not a blank
        # Of `str` alone: Markup is a subclass, and was made for the page already.
        finalize=lambda value: shown(value, "\n\u3000") if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(**values))


def data_address(kind: str, data: bytes) -> str:
    """The bytes of a picture as a URL that contains it, such as `data:image/png;base64,...`."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def config_text(config: ConfigDict) -> str:
    """All values of a config as indented JSON."""
    return json.dumps(plain(config), indent=1)


def describe_rule(config: ConfigDict) -> str:
    """The settings of resizing and post-processing, in sentences."""
    post, resize = config.postprocess, config.eval
    dilated = ", bitmap dilated" if post.use_dilation else ""
    return (
        f"Post-processing: thresh {post.thresh:g}, box_thresh {post.box_thresh:g}, unclip_ratio "
        f"{post.unclip_ratio:g}, box_type {post.box_type}, score_mode {post.score_mode}{dilated}. "
        f"Images are resized with limit_side {resize.limit_side}, limit_type {resize.limit_type}."
    )


def command(name: str, *words: str) -> str:
    """A command line in the form this program was started in.

    That is `ppocr-jax NAME`, or `python -m ppocr_jax.NAME`.
    """
    one_name = sys.argv[0].startswith("ppocr-jax ")
    return " ".join([f"ppocr-jax {name}" if one_name else f"python -m ppocr_jax.{name}", *words])
