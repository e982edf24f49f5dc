"""A resumed run: which keys may change, and what an older config of it becomes."""

import pytest
from tiny import load_config, write_config

from ppocr_jax import config, defaults
from ppocr_jax.data import RESIZE_RULES
from ppocr_jax.errors import UserError
from ppocr_jax.losses import MAIN_LOSSES, MUTUAL_ACTS
from ppocr_jax.optim import OPTIMISERS
from ppocr_jax.paddle_config import losses as paddle_losses
from ppocr_jax.paddle_config import settings as paddle_settings


@pytest.fixture
def tiny_config(tmp_path):
    return load_config(write_config(tmp_path, tmp_path))


def test_an_older_config_resumes_with_lines(tiny_config):
    saved = config.plain(tiny_config)
    del saved["remat"], saved["eval"]["pictures"], saved["loss"]["mutual_act"]
    saved["zzz"] = 0.999
    filled, unknown = config.compare_for_resume(tiny_config, saved)
    assert filled.startswith("config.json: missing keys")
    for name in ("remat=false", "eval.pictures=8", 'loss.mutual_act="none"'):
        assert name in filled
    assert unknown == "config.json: ignoring unknown keys: zzz=0.999"


def test_what_changes_a_run_is_refused_and_the_rest_shown(tiny_config):
    saved = config.record(tiny_config)
    assert config.compare_for_resume(tiny_config, saved) == []
    saved["eval"]["pictures"] = 3
    assert config.compare_for_resume(tiny_config, saved) == [
        "changed since the run began: config.eval.pictures: 3 -> 8"
    ]
    del saved["loss"]["mutual_act"]  # is filled as the run had it, so another one is a change
    tiny_config.loss.mutual_act = "softmax"
    with pytest.raises(UserError, match="config.loss.mutual_act: none -> softmax"):
        config.compare_for_resume(tiny_config, saved)


@pytest.mark.parametrize(
    ("key", "names"),
    [("loss.main", MAIN_LOSSES), ("loss.mutual_act", MUTUAL_ACTS), ("optimizer.name", OPTIMISERS),
     ("eval.limit_type", RESIZE_RULES)],
)  # fmt: skip
def test_names_come_from_the_rooms(tiny_config, key, names):
    section, name = key.split(".")
    for good in names:
        tiny_config[section][name] = good
        config.check(tiny_config)
    tiny_config[section][name] = "other"
    with pytest.raises(UserError, match=f"config.{key}=other: should be {config.one_of(names)}"):
        config.check(tiny_config)


def test_a_network_that_nobody_has_is_refused(tiny_config):
    tiny_config.roles.student.neck.name = "FPN"
    with pytest.raises(UserError, match=r"config.roles.student.neck.name=FPN: .* LKPAN"):
        config.check(tiny_config)


def test_a_multiple_that_only_fills_memory_is_refused(tiny_config):
    tiny_config.eval.shared_shapes = 32_000_000
    with pytest.raises(UserError, match="shared_shapes=32000000: should be at most 1024"):
        config.check(tiny_config)


@pytest.mark.parametrize("key", sorted(config.AT_MOST))
def test_what_only_fills_memory_or_days_is_refused(tiny_config, key):
    *parents, last = key.split(".")
    section = tiny_config
    for parent in parents:
        section = section[parent]
    most = config.AT_MOST[key]
    section[last] = type(section[last])(most // 32 * 32 if last in ("crop",) else most)
    config.check(tiny_config)
    section[last] = type(section[last])(most + 1)
    with pytest.raises(UserError, match=f"config.{key}=.*: should be at most {most}"):
        config.check(tiny_config)


def test_a_crowd_of_networks_is_refused(tiny_config):
    with tiny_config.unlocked():
        for index in range(config.MOST_ROLES):
            tiny_config.roles[f"more{index}"] = tiny_config.roles.student
    with pytest.raises(UserError, match="config.roles holds 17 networks: should be 16 at most"):
        config.check(tiny_config)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", (), "labels, mutual and teacher are empty"),
        ("mutual", (("student", "student"),), "a pair needs two different roles, not student"),
        (
            "teacher",
            (("student", "student", 2.0),),
            "a pair needs two different roles, not student",
        ),
    ],
)
def test_terms_that_teach_nothing_are_refused(tiny_config, key, value, message):
    with tiny_config.unlocked():
        tiny_config.loss[key] = value
    with pytest.raises(UserError, match=f"config.loss: {message}"):
        config.check(tiny_config)


@pytest.mark.parametrize("scale", [(0.0, 1.0), (1e30, 2e30), (-1.0, 1.0)])
def test_scales_that_no_picture_has_are_refused(tiny_config, scale):
    tiny_config.data.augment.scale = scale
    with pytest.raises(UserError, match="config.data.augment.scale.*above 0, at most 100"):
        config.check(tiny_config)


@pytest.mark.parametrize("value", [-0.1, 7.0])
def test_shares_lie_between_0_and_1(tiny_config, value):
    for key in ("thresh", "box_thresh"):
        tiny_config.postprocess[key] = value
        with pytest.raises(UserError, match=f"config.postprocess.{key}={value}: should be "):
            config.check(tiny_config)
        tiny_config.postprocess[key] = 0.5


@pytest.mark.parametrize("key", ["alpha", "beta", "negative_ratio", "teacher_thresh"])
def test_weights_of_losses_are_not_negative(tiny_config, key):
    tiny_config.loss[key] = -3.0
    with pytest.raises(UserError, match=f"config.loss.{key}=-3.0: should be "):
        config.check(tiny_config)


@pytest.mark.parametrize("key", ["postprocess.thresh", "learning_rate", "data.augment.scale"])
def test_numbers_that_are_none_are_refused(tiny_config, key):
    *parents, last = key.split(".")
    section = tiny_config
    for parent in parents:
        section = section[parent]
    bad = float("nan")
    section[last] = (0.5, bad) if isinstance(section[last], tuple) else bad
    with pytest.raises(UserError, match=f"config.{key}=.*: should be finite"):
        config.check(tiny_config)


def test_names_of_the_yaml_reader_are_in_the_tables():
    assert set(paddle_losses.MAIN.values()) <= set(MAIN_LOSSES)
    assert set(paddle_settings.OPTIMISERS.values()) <= set(OPTIMISERS)


def test_two_names_read_as_a_sentence():
    assert config.one_of(("a", "b")) == "a or b" and config.one_of("abc") == "a, b, c"
    assert defaults.all_pairs("abc") == (("a", "b"), ("a", "c"), ("b", "c"))


@pytest.mark.parametrize(
    ("freeze", "found"),
    [
        ((), {}),
        (("backbone",), {"student": ("backbone",), "student2": ("backbone",)}),
        (("neck", "student2.backbone"), {"student": ("neck",), "student2": ("backbone", "neck")}),
        (("",), {}),
        (("student.backbone, student.neck",), {"student": ("backbone", "neck")}),
        (("student.head", "student.head"), {"student": ("head",)}),
    ],
)
def test_frozen_parts_by_role(two_students, freeze, found):
    two_students.freeze = freeze
    config.check(two_students)
    assert config.frozen_parts(two_students) == found


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (("spine",), "freeze=spine: should be backbone, neck, head, or a part of one of"),
        (("teacher.neck",), "freeze=teacher.neck: .* .student, student2., such as student.back"),
        (("student",), "freeze=student: should be"),
        (("student.backbone.conv",), "freeze=student.backbone.conv: should be"),
        (("backbone", "neck", "student2.head"), "all of student2 is frozen: remove it"),
    ],
)
def test_what_cannot_be_frozen_is_refused(two_students, freeze, message):
    two_students.freeze = freeze
    with pytest.raises(UserError, match=message):
        config.check(two_students)


@pytest.fixture
def two_students(tmp_path):
    roles = dict(students=("student", "student2"), teachers=("teacher",))
    return load_config(write_config(tmp_path, tmp_path, **roles))
