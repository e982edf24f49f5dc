"""Full disks, closed pipes, odd names, wrong arguments, YAML that is no config."""

import shutil

from experiments.torture import damage
from experiments.torture.ground import SHORT
from experiments.torture.judge import require, require_refused
from experiments.torture.runs import same_end

# A small file system that nobody else sees, and that is gone with the shell that made it.
ON_SMALL_DISK = """
mkdir -p "$1" && mount -t tmpfs -o size=$2k tmpfs "$1" || exit 99
cp -r "$3/." "$1" 2>/dev/null; shift 3
"$@"; status=$?
ls -A "$SMALL" >&3
exit $status
"""


def full_disk(trial):
    """A disk without room: one line with the path, nothing half written, and then it goes on."""
    small = trial.folder / "small"
    room = trial.rng.choice([0, 4, 60, 200, 400, 800, 1600])  # KiB, below what any output takes
    command, argv, output = trial.rng.choice(_writers(trial, small))
    trial.note = f"{command} with {room} KiB for {output.name}"
    if command == "train" and trial.rng.random() < 0.5:
        return _goes_on_later(trial)
    listing = trial.folder / "listing"
    shell = (f"{ON_SMALL_DISK}", "sh", small, max(room, 4), "/nonexistent")
    wrapped = (
        "-rm",
        "sh",
        "-c",
        f"exec 3>'{listing}'; {shell[0]}",
        *shell[1:],
        *_python(command),
        *argv,
    )
    running = trial.start("", *wrapped, program="unshare", env={"SMALL": str(small)})
    outcome = trial.finish(running, command)
    if outcome.status == 0:
        return  # there was room enough
    require(str(small) in outcome.errors[0], f"names no path: {outcome.errors[0]}")
    left = listing.read_text().split()
    rests = [
        n for n in left if n.endswith((".tmp", ".unchecked", ".part")) or n == output.name != "run"
    ]
    require(not rests, f"leaves {', '.join(rests)}")


def _python(command):
    import sys

    return (sys.executable, "-m", f"ppocr_jax.{command}")


def _writers(trial, folder):
    """`[(command, arguments, output)]` of what writes into a folder."""
    weights = trial.ground.path("run")
    config = ("--config", trial.ground.config)
    files = ("x", "x.pdparams", "x.onnx", "x.stablehlo")
    return [
        ("train", trial.ground.short(folder / "run"), folder / "run"),
        ("extract", ("--weights", weights, "--output", folder / files[0]), folder / files[0]),
        ("extract", ("--weights", weights, "--output", folder / files[1]), folder / files[1]),
        ("export", (*config, "--weights", weights, "--output", folder / files[2]), folder / files[2]),
        ("predict", trial.ground.predicting(weights, trial.ground.path("data"), folder / "out"),
         folder / "out"),
        ("evaluate", (*config, "--weights", weights, "--output", folder / "m.json"), folder / "m.json"),
    ]  # fmt: skip


def _goes_on_later(trial):
    """A run whose files may not grow beyond a size ends in one line, and goes on without it."""
    workdir = trial.folder / "run"
    most = trial.rng.choice([1_000, 20_000, 60_000, 200_000])
    trial.note = f"train with files of at most {most} bytes"
    running = trial.start("train", *trial.ground.short(workdir), file_bytes=most)
    outcome = trial.finish(running, "train")
    require(outcome.status == 0 or str(workdir) in outcome.errors[0],
            f"names no path: {outcome.errors[:1]}")  # fmt: skip
    again = trial.run("train", *trial.ground.short(workdir), writes=(workdir,))
    require(again.status == 0, f"does not go on: {again.errors}")
    same_end(trial, workdir)


def cut_pipe(trial):
    """Output that nobody reads to its end ends a command quietly."""
    weights = trial.ground.path("run")
    command, argv = trial.rng.choice([
        ("extract", f"--weights {weights} --list"),
        ("evaluate", f"--weights {weights}"),
        ("check_data", f"--config {trial.ground.config} --config.data.val=train.txt"),
        ("train", "--help"),
        ("convert_config", "--help"),
    ])  # fmt: skip
    reader = trial.rng.choice(["head -c 0", "head -n 1", "true", "sh -c 'exec <&-; sleep 1'"])
    trial.note = f"{command} | {reader}"
    line = f"{' '.join(_python(command))} {argv} | {reader} > /dev/null; exit ${{PIPESTATUS[0]}}"
    running = trial.start("", "-c", line, program="bash")
    outcome = trial.finish(running, command, (13,))
    require("Broken pipe" not in outcome.err.replace("error: ", ""), f"says: {outcome.lines[-1:]}")


def odd_names(trial):
    """Names with control characters are shown escaped, and names with blanks are used as they are."""
    odd = trial.rng.choice(["a\nb", "\x1b[31mred", " blank ", "tab\there", "~", "x" * 250, "\u202eabc",
                            "per%cent", "com,ma", "-dash", "\udcff"])  # fmt: skip
    trial.note = repr(odd)[:40]
    folder = trial.folder / odd
    if trial.rng.random() < 0.5:
        shutil.copytree(trial.ground.path("run"), folder)
        shutil.rmtree(folder / "checkpoints")
        outcome = trial.run("evaluate", *trial.ground.evaluating(folder))
        require_refused(outcome)
        return
    shutil.copytree(trial.ground.path("extracted"), folder)
    outcome = trial.run("evaluate", *trial.ground.evaluating(folder))
    require(outcome.status == 0, f"does not take a good folder: {outcome.errors}")


def wrong_arguments(trial):
    """Arguments that mean nothing, or something else, end in one line."""
    command, argv = trial.rng.choice(_wrong(trial))
    trial.note = f"{command} {' '.join(map(str, argv))}"[:150]
    require_refused(trial.run(command, *argv))


def _wrong(trial):
    yaml = trial.folder / "mine.yml"
    yaml.write_text("Global:\n  epoch_num: 3\n")
    rng, new = trial.rng, trial.folder / "new"
    run, config = trial.ground.path("run"), trial.ground.config
    key = rng.choice(
        ["steps", "batch_size", "learning_rate", "crop", "eval.limit_side", "data.workers"]
    )
    value = rng.choice(["-1", "x", "1e400", "nan", "", "[1]", "99999999999999999999", "None"])
    return [
        ("train", ("--config", config, "--workdir", new, f"--config.{key}={value}")),
        ("train", ("--config", yaml, "--workdir", new)),
        ("train", ("--config", config, "--workdir", new, f"--config.init_from.student=~/{value}x")),
        ("train", ("--config", config, "--workdir", "gs://no-such-bucket-here/run")),
        ("train", ("--config", config, "--workdir", "s3://no-such-bucket-here/run")),
        ("train", ("--config", config, "--workdir", "/proc/run", *SHORT)),
        ("train", ("--config", "/dev/null", "--workdir", new)),
        ("train", ("--config", config.parent, "--workdir", new)),
        ("evaluate", ("--weights", run / "77")),
        ("evaluate", ("--weights", trial.folder)),
        ("evaluate", ("--weights", run, "--role", value or "y")),
        ("evaluate", ("--weights", run, f"--config.eval.{rng.choice(['limit_side', 'batch_size'])}={value}")),
        ("evaluate", ("--weights", run, f"--config.postprocess.thresh={rng.choice(['nan', 'x', '7'])}")),
        ("predict", ("--weights", run, "--images", trial.folder / "none", "--output", new)),
        ("extract", ("--weights", run, "--role", "nobody", "--output", new)),
        ("export", ("--weights", run, "--output", f"{new}.xyz")),
        ("check_data", ("--config", config, "--config.data.val=nowhere.txt")),
        ("check_data", ("--config", config, f"--config.data.{rng.choice(['valid', 'rot', 'draw'])}=1")),
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
Loss: {name: DBLoss, balance_loss: true, main_loss_type: DiceLoss, alpha: 5, beta: 10, ohem_ratio: 3}
Optimizer:
  name: Adam
  beta1: 0.9
  beta2: 0.999
  lr: {name: Cosine, learning_rate: 0.001, warmup_epoch: 2}
  regularizer: {name: L2, factor: 5.0e-05}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}
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


def broken_yaml(trial):
    """A YAML file of PaddleOCR with values changed, or bytes: converted, or refused in one line."""
    import yaml

    output = trial.folder / "mine.py"
    if trial.rng.random() < 0.6:
        tree = yaml.safe_load(YAML)
        for _ in range(trial.rng.choice([1, 1, 3])):
            trial.note, tree = damage.change_node(trial.rng, tree)
        path = trial.write("bad.yml", yaml.safe_dump(tree, allow_unicode=True))
    else:
        path = trial.write("bad.yml", YAML)
        trial.note = damage.damage(trial.rng, path)
    outcome = trial.run("convert_config", path, "--output", output, writes=(output,))
    if outcome.status:
        require_refused(outcome)
