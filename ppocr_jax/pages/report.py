"""An evaluation as one HTML page that needs no other file, no network and no script."""

import json
import pathlib

import cv2
import jax
import jinja2
import numpy as np

from ppocr_jax import __version__
from ppocr_jax import config as configs
from ppocr_jax.data.resize import read_image
from ppocr_jax.errors import UserError, shown
from ppocr_jax.files import write_text
from ppocr_jax.pages import plots
from ppocr_jax.scoring import breakdown
from ppocr_jax.scoring import sweep as sweeps

PICTURE_SIDE = 1400  # pixels of the longer side of a picture
LARGEST_SCALE = 4  # of a small image
# How a polygon is drawn: "label" or "found" with what became of it -> colour (RGB), width. In this
# order, so that errors lie on top. The colours are told apart by colour-blind people too.
STYLES = {
    "label ignored": ((150, 150, 150), 1),
    "found ignored": ((150, 150, 150), 1),
    "label matched": ((0, 158, 115), 1),
    "found matched": ((86, 180, 233), 1),
    "found false": ((240, 228, 66), 2),
    "label missed": ((213, 20, 20), 2),
}
LEGEND = {
    "label matched": "label, found",
    "label missed": "label, missed",
    "found matched": "box on a label",
    "found false": "false box",
    "label ignored": "ignored label, and boxes inside one",
}


def write_report(path, metrics, outcomes, config, swept, loaded="", worst=12):
    """Writes the page.

    Args:
        path: of the file; its folder exists.
        metrics: see `scoring.evaluation.summary`, with `role` and `weights`.
        outcomes: `scoring.evaluation.Outcome`s, those of this process.
        config: a whole config.
        swept: see `sweep.Sweep.result`.
        loaded: what is known of the weights, for people.
        worst: number of images shown, those with most errors.
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
    recall = [
        (title, bins, plots.draw_bins(bins, "recall"))
        for title, bins in breakdown.recall_tables(outcomes).items()
        if bins
    ]
    precision = breakdown.precision_by_score(outcomes)
    page = environment.get_template("report.html").render(
        metrics=metrics,
        loaded=loaded,
        version=__version__,
        config=configs.plain(config),
        config_text=json.dumps(configs.plain(config), indent=1),
        process=(jax.process_index() + 1, jax.process_count(), len(outcomes)),
        unreadable=[outcome.reason for outcome in outcomes if outcome.reason],
        left_out=sum(outcome.matches.truth.count("left out") for outcome in outcomes),
        recall=recall,
        precision=precision,
        precision_plot=plots.draw_bins(precision, "precision") if precision else "",
        swept=swept,
        sweep_lines=list(sweeps.explain(swept)),
        sweep_plots=[plots.draw_sweep_lines(swept), plots.draw_sweep_maps(swept)],
        points=sorted(swept["points"], key=lambda point: -point["hmean"]),
        axes=list(sweeps.AXES),
        images=[describe_image(outcome) for outcome in find_worst(outcomes, worst)],
        legend=[(text, "rgb({}, {}, {})".format(*STYLES[s][0])) for s, text in LEGEND.items()],
    )
    write_text(path, page)


def count_errors(outcome):
    """`(missed, false)` of an image."""
    return outcome.matches.truth.count("missed"), outcome.matches.found.count("false")


def find_worst(outcomes, count):
    """The images with most errors, most first; none without an error."""
    wrong = [outcome for outcome in outcomes if sum(count_errors(outcome))]
    return sorted(wrong, key=lambda outcome: -sum(count_errors(outcome)))[:count]


def describe_image(outcome):
    """What the page says of one image, with its picture; no picture when it cannot be read."""
    missed, false = count_errors(outcome)
    try:
        picture = cv2.imencode(".jpg", draw_errors(outcome), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
        address, reason = plots.data_address("jpeg", picture.tobytes()), ""
    except UserError as error:
        address, reason = "", str(error)
    return {
        "path": outcome.sample.image_path,
        "missed": missed,
        "false": false,
        "counts": outcome.counts,
        "size": outcome.size,
        "network_size": outcome.network_size,
        "address": address,
        "reason": reason,
    }


def draw_errors(outcome):
    """The image, uint8 `[H, W, 3]` BGR, at a size for a page, with labels and found boxes.

    Raises:
        UserError: it cannot be read.
    """
    return read_image(outcome.sample.image_path, lambda image: _draw_errors(image, outcome))


def _draw_errors(image, outcome):
    scale = min(PICTURE_SIDE / max(image.shape[:2]), LARGEST_SCALE)
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(image, size, interpolation=method)
    labels = zip(outcome.matches.truth, outcome.sample.polygons, strict=True)
    found = zip(outcome.matches.found, outcome.polygons, strict=True)
    polygons = [("label " + status, polygon) for status, polygon in labels]
    polygons += [("found " + status, polygon) for status, polygon in found]
    for style, (colour, width) in STYLES.items():
        for name, polygon in polygons:
            if name.replace("left out", "ignored") == style:  # both count nowhere
                points = np.round(np.asarray(polygon) * scale).astype(np.int32)
                cv2.polylines(image, [points], True, colour[::-1], width, cv2.LINE_AA)
    return image
