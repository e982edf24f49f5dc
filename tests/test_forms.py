"""Older forms of a config: what is filled, what is left out, what is refused."""

import json

import ml_collections
import pytest
from tiny import ROOT, load_config

from ppocr_jax import config, forms
from ppocr_jax.errors import UserError
from ppocr_jax.files import read_json
from ppocr_jax.weights import saved_config


@pytest.fixture
def tree():
    return forms.plain(load_config(ROOT / "configs" / "ppocrv3_det_mobile.py"))


def test_a_whole_config_stays_as_it_is(tree):
    assert forms.upgrade(json.loads(json.dumps(tree))) == (tree, [])
    assert forms.upgrade({"form": forms.FORM, **tree}) == (tree, [])


def test_missing_keys_are_filled_and_unknown_ones_named(tree):
    old = json.loads(json.dumps(tree))
    del old["remat"], old["eval"]["pictures"], old["loss"]["mutual_act"]
    old["foo"] = {"bar": 1}
    new, (filled, unknown) = forms.upgrade(old)
    assert new == tree
    assert all(part in filled for part in ("remat=false", "eval.pictures=8", 'mutual_act="none"'))
    assert "foo.bar=1" in unknown


def test_a_missing_precision_says_what_older_versions_did_on_gpus(tree):
    """They rounded float32 products there, so the default alone would not tell the truth."""
    del tree["precision"], tree["remat"]
    new, (line,) = forms.upgrade(tree)
    assert new["precision"] == "float32"
    assert 'precision="float32" (but tf32 on GPUs: set it to keep their rounding)' in line
    assert "remat=false," in line or line.endswith("remat=false")  # true of every device


def test_the_sum_follows_the_mutual_term(tree):
    del tree["loss"]["total"]
    assert forms.upgrade(tree)[0]["loss"]["total"] == "mean"
    tree["loss"]["mutual"] = [["student", "student2"]]
    assert forms.upgrade(tree)[0]["loss"]["total"] == "sum"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("data", 5, "config.data=5: should be a mapping"),
        ("eval", None, "config.eval=null: should be a mapping"),
        ("postprocess", [], "config.postprocess=.*: should be a mapping"),
        ("learning_rate", "x", "should be a number"),
        ("batch_size", 2.5, "should be a whole number"),
        ("batch_size", 10**400, "should be a whole number"),
        ("learning_rate", 10**400, "should be a number"),
        ("remat", 1, "should be true or false"),
        ("trainable", 5, "should be a list"),
        ("form", 99, "update it"),
    ],
)
def test_values_of_another_kind_are_named(tree, key, value, message):
    tree[key] = value
    with pytest.raises(UserError, match=f"x.json: .*{message}"):
        forms.upgrade(tree, "x.json")


@pytest.mark.parametrize("key", ["roles", "trainable"])
def test_what_nothing_can_fill_is_refused(tree, key):
    del tree[key]
    with pytest.raises(UserError, match=f"config.{key} is missing"):
        forms.upgrade(tree)


def test_a_saved_config_says_its_form(tmp_path, tree):
    config.save(load_config(ROOT / "configs" / "quickstart.py"), tmp_path / "config.json")
    assert read_json(tmp_path / "config.json")["form"] == forms.FORM


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("postprocess.thresh", float("nan"), "should be a number"),
        ("postprocess.box_thresh", None, "config.postprocess.box_thresh=null: should be a number"),
        ("data.augment.scale", [1.0], "should be a list of 2 or more"),
        ("loss.mutual", [["student"]], "config.loss.mutual"),
        ("loss.teacher", [["student", "teacher", "much"]], "config.loss.teacher"),
        ("trainable", [5], "should be text"),
        ("roles.student", None, "should be a network"),
        ("roles.student.neck", {}, "config.roles.student.neck={}: should be a mapping with a name"),
    ],
)
def test_values_inside_a_section_are_named(tree, key, value, message):
    *parents, last = key.split(".")
    section = tree
    for parent in parents:
        section = section[parent]
    section[last] = value
    with pytest.raises(UserError, match=f"x.json: .*{message}"):
        forms.upgrade(tree, "x.json")


@pytest.mark.parametrize("name", ["../../x", "a/b", "", "all", "a b", "x" * 65, "a\nb", "a.b"])
def test_names_of_networks_could_name_files(tree, name):
    tree["roles"][name] = tree["roles"]["student"]
    with pytest.raises(UserError, match="x.json: config.roles.*name of a network may have letters"):
        forms.upgrade(tree, "x.json")


def test_arguments_of_networks_are_names(tree):
    tree["roles"]["student"]["neck"]["a.b"] = 1
    with pytest.raises(UserError, match='student.neck="a.b": should be an argument'):
        forms.upgrade(tree, "x.json")


def test_a_whole_number_will_do_for_a_float(tree):
    tree["learning_rate"], tree["data"]["ratios"] = 1, [1]
    upgraded, lines = forms.upgrade(tree)
    assert lines == [] and type(upgraded["learning_rate"]) is float
    assert type(upgraded["data"]["ratios"][0]) is float


def test_what_a_network_takes_is_for_the_network_to_say(tree):
    tree["roles"]["student"]["backbone"]["novel"] = 1
    tree["init_from"]["student3"] = "x.pdparams"
    assert forms.upgrade(tree) == (tree, [])


def test_a_config_is_completed_in_place(tree):
    del tree["remat"], tree["eval"]
    tree["zzz"] = 1
    c = ml_collections.ConfigDict(forms.with_tuples(tree)).lock()
    filled, unknown = forms.complete(c, "x.py")
    assert "remat=false" in filled and "eval.limit_side=736" in filled and "zzz=1" in unknown
    assert c.is_locked and c.remat is False and c.eval.limit_side == 736 and "zzz" not in c


def test_damaged_files_have_one_line(shared):
    """Recorded damages of one small run's config: read after all, or one line with its name."""
    fine = {"H_bom", "H_eval_dict", "H_best_dict", "H_best_missing", "H_data_missing", "flip11",
            "H_postprocess_missing"}  # fmt: skip
    paths, read = sorted(shared("cases/config").glob("*.json")), set()
    assert len(paths) > 40
    for path in paths:
        try:
            upgraded, _ = forms.upgrade(saved_config.read(path), str(path))
            config.check(ml_collections.ConfigDict(forms.with_tuples(upgraded)))
            read.add(path.stem)
        except UserError as error:
            assert "\n" not in str(error)
            assert path.name in str(error) or "config." in str(error)
    assert read == fine
