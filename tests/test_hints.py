"""The right name for what other trainers call otherwise."""

import pytest
from tiny import load_config, write_config

from ppocr_jax import hints
from ppocr_jax.forms import keys


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    return list(keys(load_config(write_config(folder, folder))))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("lr", "; did you mean learning_rate?"),
        ("Optimizer.lr.learning_rate", "; did you mean learning_rate?"),
        ("Global.epoch_num", "; did you mean epochs?"),
        ("epochs_num", "; did you mean epochs?"),
        ("bs", "; did you mean batch_size?"),
        ("Batch-Size", "; did you mean batch_size?"),
        ("workers", "; did you mean data.workers?"),
        ("root", "; did you mean data.root?"),
        ("img_size", "; did you mean crop?"),
        ("amp", "; did you mean dtype?"),
        ("weight_decay", "; did you mean optimizer.l2?"),
        ("pretrained", "; did you mean init_from.student?"),
        ("wandb", "; did you mean log.writers?"),
        ("patience", "; did you mean eval.patience?"),
        ("ema", "; did you mean average.decay?"),
        ("frozen_stages", "; did you mean freeze?"),
        ("max_time", "; did you mean time_limit_minutes?"),
        ("warmup_iters", "; did you mean warmup_steps?"),
        (
            "resume",
            "; nothing to set: the same command with the same --workdir continues by itself",
        ),
        ("every_steps", "; did you mean eval.every_steps or log.every_steps or save.every_steps?"),
        ("learnin_rate", "; did you mean learning_rate?"),
        ("data.augment.flipp", "; did you mean data.augment.flip?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_the_right_name_is_said(known, given, wanted):
    assert hints.hint_for(given, known) == wanted


def test_every_usual_name_leads_somewhere(known):
    """To a key that there is, or to a sentence; and no name to two places."""
    assert set(hints.USUAL) <= {*known, *hints.ADVICE}
    assert set(hints.ADVICE) <= set(hints.USUAL)
    names = [name for names in hints.USUAL.values() for name in names.split()]
    assert len(names) == len(set(names)) and all(name == name.lower() for name in names)
    assert not set(names) & set(known)


def test_the_name_of_a_network_counts(known):
    """Where no student is, another one is meant."""
    others = [key.replace("student", "mine") for key in known if key != "init_from.all"]
    assert hints.hint_for("pretrained", others) == "; did you mean init_from.mine?"
