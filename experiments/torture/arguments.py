"""Trials with wrong arguments, and with YAML files that are not valid PaddleOCR configs."""

from typing import Any

import yaml

from experiments.torture import damage
from experiments.torture.judge import require_refused
from experiments.torture.trial import Trial
from experiments.torture.valid import SHORT


def wrong_arguments(trial: Trial) -> None:
    """Meaningless arguments are refused with one line."""
    command, argv = trial.rng.choice(_wrong(trial))
    trial.note = f"{command} {' '.join(map(str, argv))}"[:150]
    require_refused(trial.run(command, *argv))


def _wrong(trial: Trial) -> list[tuple[str, tuple[Any, ...]]]:
    """`[(command, arguments)]`, each wrong in some way."""
    paddle = trial.folder / "mine.yml"
    paddle.write_text("Global:\n  epoch_num: 3\n")
    rng, new = trial.rng, trial.folder / "new"
    run, config = trial.valid.path("run"), trial.valid.config
    key = rng.choice(
        ["steps", "batch_size", "learning_rate", "crop", "eval.limit_side", "data.workers"]
    )
    side, level = rng.choice(["limit_side", "batch_size"]), rng.choice(["nan", "x", "7"])
    nearly = rng.choice(["valid", "rot", "draw"])
    value = rng.choice(["-1", "x", "1e400", "nan", "", "[1]", "99999999999999999999", "None"])
    return [
        ("train", ("--config", config, "--workdir", new, f"--config.{key}={value}")),
        ("train", ("--config", paddle, "--workdir", new)),
        ("train", ("--config", config, "--workdir", new, f"--config.init_from.student=~/{value}x")),
        ("train", ("--config", config, "--workdir", "gs://no-such-bucket-here/run")),
        ("train", ("--config", config, "--workdir", "s3://no-such-bucket-here/run")),
        ("train", ("--config", config, "--workdir", "/proc/run", *SHORT)),
        ("train", ("--config", "/dev/null", "--workdir", new)),
        ("train", ("--config", config.parent, "--workdir", new)),
        ("evaluate", ("--weights", run / "77")),
        ("evaluate", ("--weights", trial.folder)),
        ("evaluate", ("--weights", run, "--role", value or "y")),
        ("evaluate", ("--weights", run, f"--config.eval.{side}={value}")),
        ("evaluate", ("--weights", run, f"--config.postprocess.thresh={level}")),
        ("predict", ("--weights", run, "--images", trial.folder / "none", "--output", new)),
        ("extract", ("--weights", run, "--role", "nobody", "--output", new)),
        ("export", ("--weights", run, "--output", f"{new}.xyz")),
        ("check_data", ("--config", config, "--config.data.val=nowhere.txt")),
        ("check_data", ("--config", config, f"--config.data.{nearly}=1")),
    ]  # fmt: skip


YAML = """
Global:
  epoch_num: 500
  pretrained_model:
  save_model_dir: ./output/
Architecture:
  model_type: det
  algorithm: DB
  Transform:
  Backbone: {name: MobileNetV3, scale: 0.5, model_name: large, disable_se: true}
  Neck: {name: RSEFPN, out_channels: 96, shortcut: true}
  Head: {name: DBHead, k: 50}
Loss: {name: DBLoss, balance_loss: true, main_loss_type: DiceLoss, alpha: 5, beta: 10}
Optimizer:
  name: Adam
  beta1: 0.9
  beta2: 0.999
  lr: {name: Cosine, learning_rate: 0.001, warmup_epoch: 2}
  regularizer: {name: L2, factor: 5.0e-05}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, unclip_ratio: 1.5}
Metric: {name: DetMetric, main_indicator: hmean}
Train:
  dataset:
    name: SimpleDataSet
    data_dir: data
    label_file_list: [data/train.txt]
    ratio_list: [1.0]
    transforms:
    - DecodeImage: {img_mode: BGR, channel_first: false}
    - DetLabelEncode:
    - EastRandomCropData: {size: [960, 960], max_tries: 50, keep_ratio: true}
    - MakeBorderMap: {shrink_ratio: 0.4, thresh_min: 0.3, thresh_max: 0.7}
    - MakeShrinkMap: {shrink_ratio: 0.4, min_text_size: 8}
  loader: {shuffle: true, drop_last: false, batch_size_per_card: 8, num_workers: 4}
Eval:
  dataset:
    name: SimpleDataSet
    data_dir: data
    label_file_list: [data/val.txt]
    transforms:
    - DecodeImage: {img_mode: BGR, channel_first: false}
    - DetLabelEncode:
    - DetResizeForTest:
  loader: {shuffle: false, batch_size_per_card: 1, num_workers: 2}
"""


def broken_yaml(trial: Trial) -> None:
    """A PaddleOCR YAML file with changed values or bytes is converted, or refused with one line."""
    output = trial.folder / "mine.py"
    if trial.rng.random() < 0.6:
        tree = yaml.safe_load(YAML)
        for _ in range(trial.rng.choice([1, 1, 3])):
            trial.note, tree = damage.change_node(trial.rng, tree)
        try:
            text = yaml.safe_dump(tree, allow_unicode=True)
        except RecursionError:  # too deep for PyYAML to write, but a file may contain it
            text = f"Global: {'[' * 20_000}"
        path = trial.write("bad.yml", text)
    else:
        path = trial.write("bad.yml", YAML)
        trial.note = damage.damage(trial.rng, path)
    outcome = trial.run("convert_config", path, "--output", output, writes=(output,))
    if outcome.status:
        require_refused(outcome)
