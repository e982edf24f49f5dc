"""What all pages share: one HTML file that needs no other file, no network and no script."""

import base64
import json
import pathlib
import sys

import jinja2

from ppocr_jax.config import plain
from ppocr_jax.errors import shown
from ppocr_jax.files import write_text


def write_page(path, template, **values):
    """Writes a page, whole or not at all.

    Args:
        path: of the file; its folder exists.
        template: name of a file of this folder.
        values: what it asks for; text is escaped, and what does not print shown as an escape.
    """
    loader = jinja2.FileSystemLoader(pathlib.Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=lambda value: shown(value, "\n\u3000") if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    write_text(path, environment.get_template(template).render(**values))


def data_address(kind, data):
    """Bytes as the address of a picture, such as `data:image/png;base64,...`."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def config_text(config):
    """All values of a config, for people."""
    return json.dumps(plain(config), indent=1)


def describe_rule(config):
    """How images were resized and maps read, in sentences."""
    post, resize = config.postprocess, config.eval
    dilated = ", bitmap dilated" if post.use_dilation else ""
    return (
        f"Thresholds: {post.thresh:g} for the bitmap, {post.box_thresh:g} for a box, unclip ratio "
        f"{post.unclip_ratio:g}; {post.box_type}, score {post.score_mode}{dilated}. Images are "
        f"resized with limit_side {resize.limit_side}, limit_type {resize.limit_type}."
    )


def align(tables):
    """Bins of several tables side by side: `[(range, [Bin or None of each table])]`."""
    names = list(dict.fromkeys(bin.name for table in tables for bin in table))
    by_name = [{bin.name: bin for bin in table} for table in tables]
    return [(name, [bins.get(name) for bins in by_name]) for name in names]


def command(name, *words):
    """A command line, begun as this program was: `ppocr-jax NAME` or `python -m ppocr_jax.NAME`."""
    one_name = sys.argv[0].startswith("ppocr-jax ")
    return " ".join([f"ppocr-jax {name}" if one_name else f"python -m ppocr_jax.{name}", *words])
