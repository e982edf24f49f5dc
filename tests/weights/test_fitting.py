"""Weights without a config take the one of the program whose networks have their shapes."""

import jax
import numpy as np
import pytest
from tiny import TEACHER, TINY

from ppocr_jax import config_files, defaults
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector, shapes_of
from ppocr_jax.shipping.extraction import extract, write_folder
from ppocr_jax.weights.fitting import find_fitting
from ppocr_jax.weights.paddle import to_paddle
from ppocr_jax.weights.pdparams import write_pdparams

CONFIGS = {  # in the order and with the roles of `config_files.PRESETS`
    "mobile": {"student": TINY},
    "server": {"teacher": TEACHER},
    "cml": {"student": TINY, "student2": TINY, "teacher": TEACHER},
    "dml": {"student": TEACHER, "student2": TEACHER},
}


def zeros(network):
    """Arrays of a network, as files of PaddleOCR name them."""
    shapes = shapes_of(build_detector(network))
    return to_paddle(jax.tree.map(lambda leaf: np.zeros(leaf.shape, "f4"), shapes))


@pytest.fixture(scope="module")
def arrays():
    return zeros(TINY), zeros(TEACHER)


def tree(**roles):
    """Several networks under the prefixes of their roles."""
    return {f"{role}.{name}": array for role, part in roles.items() for name, array in part.items()}


def test_the_config_that_fits_is_found(arrays, tmp_path):
    small, large = arrays
    place = str(tmp_path / "w.pdparams")
    for content, name in (
        (small, "mobile"),
        (large, "server"),
        (tree(Student=small), "mobile"),
        (tree(Student=small, Student2=small, Teacher=large), "cml"),
        (tree(Student=large, Student2=large), "dml"),
    ):
        write_pdparams(place, content)
        assert find_fitting(place, CONFIGS) == name
    extract(place, "student", str(tmp_path / "folder"))
    assert find_fitting(str(tmp_path / "folder"), CONFIGS) == "server"


def test_a_backbone_alone_fits_where_that_will_do(arrays, tmp_path):
    for whole, name in zip(arrays, ("mobile", "server"), strict=True):
        backbone = {key: array for key, array in whole.items() if key.startswith("backbone.")}
        write_pdparams(str(tmp_path / "w.pdparams"), backbone)
        assert find_fitting(str(tmp_path / "w.pdparams"), CONFIGS, partial=True) == name


def test_what_fits_nothing_is_refused_with_what_is_missing(arrays, tmp_path):
    small, large = arrays
    backbone = {name: array for name, array in large.items() if name.startswith("backbone.")}
    odd = {name: np.zeros((1, *array.shape), "f4") for name, array in small.items()}
    for content, message in (
        (backbone, "w.pdparams: nothing for neck, head.binarize.*name it with --config FILE"),
        (odd, "belong to another network; if they have a config, name it"),
        (tree(Student=small, Teacher=large), "w.pdparams: holds student, teacher, not student"),
    ):
        write_pdparams(str(tmp_path / "w.pdparams"), content)
        with pytest.raises(UserError, match=message):
            find_fitting(str(tmp_path / "w.pdparams"), CONFIGS)
    with pytest.raises(UserError, match="gone.pdparams: there is no such file"):
        find_fitting(str(tmp_path / "gone.pdparams"), CONFIGS)


def check_shipped(tmp_path, network, config):
    """Writes zeros of a network and expects a shipped config for them, and a line on it."""
    file, lines = str(tmp_path / "w.pdparams"), []
    write_pdparams(file, zeros(network))
    found = config_files.find_for(file, lines.append)
    assert found == str(config_files.shipped_folder() / f"{config}.py")
    assert lines == [f"{file} has no config: using configs/{config}.py, whose networks fit"]
    extract(file, None, str(tmp_path / "folder"))  # which has no config either
    assert config_files.find_for(str(tmp_path / "folder"), lines.append) == found


def test_the_published_student_has_the_mobile_config(tmp_path):
    check_shipped(tmp_path, defaults.small(), "ppocrv3_det_mobile")


@pytest.mark.long
def test_the_published_teacher_has_the_server_config(tmp_path):
    check_shipped(tmp_path, defaults.large(), "ppocrv3_det_server")


def test_shipped_configs_hold_what_their_names_say():
    folder = config_files.shipped_folder()
    roles = [config_files.open_config(str(folder / f"{name}.py"))[0].roles.to_dict()
             for name in config_files.PRESETS]  # fmt: skip
    small, large = defaults.small(), defaults.large()
    swapped = {str(TINY): small, str(TEACHER): large}
    expected = [{role: swapped[str(network)] for role, network in config.items()}
                for config in CONFIGS.values()]  # fmt: skip
    assert roles == expected


def test_a_saved_config_comes_first(tmp_path):
    shapes = shapes_of(build_detector(TINY))
    meta = {"role": "student", "roles": ["student"], "config": {"seed": 1}}
    write_folder(tmp_path / "own", jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes), meta)
    assert config_files.find_for(str(tmp_path / "own")) == str(tmp_path / "own" / "config.json")
