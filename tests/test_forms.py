"""Older forms of a config: what is filled, what is left out, what is refused."""

import json

import pytest
from tiny import ROOT, load_config

from ppocr_jax import config, forms
from ppocr_jax.errors import UserError


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


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000])
def test_what_is_no_json_is_one_line(tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match="x.json: not readable as JSON"):
        forms.read(tmp_path / "x.json")


def test_a_saved_config_says_its_form(tmp_path, tree):
    config.save(load_config(ROOT / "configs" / "quickstart.py"), tmp_path / "config.json")
    assert forms.read(tmp_path / "config.json")["form"] == forms.FORM
