"""Weights out of a run and in again: every form gives the same network."""

import json
import os
import pathlib

import jax
import numpy as np
import pytest
from tiny import ROOT, draw_data, load_config, run, write_config

from ppocr_jax import extract
from ppocr_jax.detection import network
from ppocr_jax.detection.network import make_predict
from ppocr_jax.errors import UserError
from ppocr_jax.shipping import extraction
from ppocr_jax.training.loop import train
from ppocr_jax.training.state import extract_role
from ppocr_jax.weights import sources
from ppocr_jax.weights.paddle import from_state
from ppocr_jax.weights.pdparams import read_pdparams


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """`(folder, config path, state)`: a run of 6 updates in `folder/run`."""
    folder = tmp_path_factory.mktemp("extract")
    path = write_config(folder, draw_data(folder / "data"))
    state, _ = train(load_config(path, "steps=6", "eval.every_steps=3"), folder / "run")
    return folder, path, jax.device_get(state)


@pytest.fixture(scope="module")
def extracted(trained):
    folder = trained[0]
    extraction.extract(str(folder / "run"), None, str(folder / "student_dir"))
    extraction.extract(str(folder / "run" / "latest"), "student", str(folder / "student.pdparams"))
    return folder


def variables_of(config, weights):
    model, variables, report = network.load_network(config, str(weights), "student")
    assert report.initial == []
    return model, variables


def test_every_form_holds_the_same_numbers(trained, extracted):
    folder, path, state = trained
    config = load_config(path)
    assert extract_role(state, "student").keys() == {"params", "batch_stats"}
    forms = ["run", "run/best", "run/latest", "run/6", "student_dir", "student.pdparams"]
    for form in forms:
        _, variables = variables_of(config, folder / form)
        jax.tree.map(np.testing.assert_array_equal, variables, extract_role(state, "student"))


def test_extracted_maps_are_bit_identical(trained, extracted):
    folder, path, state = trained
    config = load_config(path)
    model, variables = variables_of(config, folder / "student_dir")
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3), np.uint8)
    predict = make_predict(model)
    inside = predict(extract_role(state, "student"), image)
    np.testing.assert_array_equal(predict(variables, image), inside)


def test_extracted_folder_says_what_it_is(trained, extracted):
    meta = json.loads((extracted / "student_dir" / "extracted.json").read_text())
    assert meta["role"] == "student" and meta["step"] == 6
    assert "hmean" in meta["metrics"]["student"] and len(meta["hash"]) == 12
    assert (extracted / "student_dir" / "config.json").exists()


def test_list(trained, extracted):
    folder = trained[0]
    line, *tensors = extraction.describe(str(folder / "run"))
    assert line.startswith("student: ") and "hmean 0." in line
    assert "  head.binarize.conv3.weight [4, 1, 2, 2]" in tensors
    line, *same = extraction.describe(str(folder / "student.pdparams"))
    assert same == tensors
    assert line.startswith("network: ")
    count = sum(v.size for v in read_pdparams(str(folder / "student.pdparams")).values())
    assert f"{count} numbers, {4 * count} bytes" in line


def test_own_states_come_back_leaf_by_leaf(trained):
    """No name of PaddleOCR's lies between, and nothing is taken in part or in another shape."""
    variables = jax.tree.map(np.asarray, extract_role(trained[2], "student"))
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables)
    again, report = from_state(variables, template, "a run")
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    assert report.loaded == report.expected and not report.unused
    with pytest.raises(UserError, match="a run: backbone has .*missing: backbone.conv.bn.mean"):
        from_state({**variables, "batch_stats": {}}, template, "a run")
    with pytest.raises(UserError, match="a run: backbone has 0 of .*wrong shape: backbone.conv"):
        from_state(jax.tree.map(lambda leaf: leaf[None], variables), template, "a run")
    halves = jax.tree.map(lambda leaf: leaf.astype(np.float16), variables)
    with pytest.raises(UserError, match="is float16, not float32"):
        from_state(halves, template, "a run")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("run/7", "holds best, latest, .*there is no 7"),
        ("data", "neither a workdir"),
        ("gone", "no such file"),
        ("data/train.txt", "not a .pdparams file but a text file"),
    ],
)
def test_wrong_places_are_named(trained, weights, message):
    with pytest.raises(UserError, match=message):
        extraction.describe(str(trained[0] / weights))


def test_wrong_outputs_and_roles_are_refused(trained, extracted):
    folder = trained[0]
    with pytest.raises(UserError, match="other content"):
        extraction.extract(str(folder / "run"), None, str(folder / "data"))
    with pytest.raises(UserError, match="holds student, not teacher"):
        extraction.extract(str(folder / "run"), "teacher", str(folder / "x"))
    extraction.extract(str(folder / "run"), None, str(folder / "student_dir"))  # over its own kind
    with pytest.raises(UserError, match="--output is missing"):
        extract.main(["--weights", str(folder / "run")])


def test_a_file_becomes_a_folder(trained, extracted, tmp_path):
    _, _, state = trained
    extraction.extract(str(extracted / "student.pdparams"), None, str(tmp_path / "again"))
    variables = sources.read_variables(sources.open_source(str(tmp_path / "again")), "student")
    jax.tree.map(np.testing.assert_array_equal, variables, extract_role(state, "student"))


def test_an_empty_workdir_has_no_weights(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="not saved a state"):
        sources.open_source(str(tmp_path))


def test_roles_of_a_distillation_file(trained, extracted, tmp_path):
    from ppocr_jax.weights.pdparams import write_pdparams

    arrays = read_pdparams(str(extracted / "student.pdparams"))
    tree = {f"{p}.{n}": v for p in ("Student", "Teacher") for n, v in arrays.items()}
    write_pdparams(tmp_path / "both.pdparams", tree)
    lines = [
        line for line in extraction.describe(str(tmp_path / "both.pdparams")) if line[0] != " "
    ]
    assert [line.split(":")[0] for line in lines] == ["student", "teacher"]
    extraction.extract(str(tmp_path / "both.pdparams"), "teacher", str(tmp_path / "t.pdparams"))
    assert list(read_pdparams(str(tmp_path / "t.pdparams"))) == list(arrays)
    with pytest.raises(UserError, match="say which with --role"):
        extraction.extract(str(tmp_path / "both.pdparams"), None, str(tmp_path / "x.pdparams"))


def test_commands(trained, extracted):
    """The commands as a user types them, with relative paths: evaluate ends with a JSON line."""
    folder, path, _ = trained
    folder = pathlib.Path(os.path.relpath(folder, ROOT))
    status, out, err = run(
        "evaluate", "--weights", folder / "run", "--output", folder / "sub" / "score.json"
    )
    assert status == 0, err
    metrics = json.loads(out.strip().splitlines()[-1])
    assert {"precision", "recall", "hmean", "images", "images_per_s"} <= metrics.keys()
    assert metrics["images"] == 3
    assert json.loads((ROOT / folder / "sub" / "score.json").read_text()) == metrics
    assert "boxes found" in err
    run_meta = sources.open_source(str(ROOT / folder / "run")).meta["metrics"]["student"]
    assert metrics["hmean"] == run_meta["hmean"]
    status, out, _ = run("extract", "--weights", folder / "run", "--list")
    assert status == 0 and out.startswith("student: ")
    status, _, err = run("evaluate", "--weights", folder / "gone", "--config", path)
    assert status == 2 and err.strip().splitlines()[-1].startswith("error: ")
    assert "Traceback" not in err
    for module in ("train", "evaluate", "extract", "check_data"):
        status, out, _ = run(module, "--help")
        assert status == 0 and f"python -m ppocr_jax.{module}" in out
