"""Trials with damaged checkpoints, configs and extracted folders: never silently wrong."""

import json
import pathlib
import shutil

from experiments.torture import damage
from experiments.torture.judge import require, require_message
from experiments.torture.runs import same_end
from experiments.torture.trial import Trial
from experiments.torture.valid import best_of, scores, steps_of


def _evaluated(trial: Trial, weights: pathlib.Path, name: str) -> None:
    """Damaged weights score like the undamaged ones called `name`, or a message says why not."""
    outcome = trial.run("evaluate", *trial.valid.evaluating(weights, trial.rng.random() < 0.5))
    require_message(outcome, trial.valid.good[f"evaluate {name}"], scores)
    if outcome.status:  # the damage may be in the config beside it: only the folder must be named
        require(trial.folder.name in outcome.errors[0], f"does not name it: {outcome.errors[0]}")


def _of_best(run: pathlib.Path, part: str) -> pathlib.Path:
    """A file or folder of a run's best checkpoint."""
    return run / "checkpoints" / str(best_of(run)) / part


def flip_in_state(trial: Trial) -> None:
    """Flips one bit of the best checkpoint, mostly in its large files."""
    run = trial.copy("run")
    files = damage.files_below(_of_best(run, "state"))
    large = [path for path in files if path.stat().st_size > 20_000 and "/d/" in str(path)]
    trial.input = trial.rng.choice(large if large and trial.rng.random() < 0.7 else files)
    trial.note = damage.flip_bit(trial.rng, trial.input)
    _evaluated(trial, run, "run")


def flip_in_meta(trial: Trial) -> None:
    """Flips one bit in the metadata of the best checkpoint."""
    run = trial.copy("run")
    trial.input = _of_best(run, "meta/metadata")
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    _evaluated(trial, run, "run")


def flip_in_metrics(trial: Trial) -> None:
    """Flips one bit in the metrics by which the best checkpoint is chosen."""
    run = trial.copy("run")
    trial.input = trial.rng.choice(list(run.glob("checkpoints/*/metrics/metrics")))
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    _evaluated(trial, run, "run")


def flip_in_config(trial: Trial) -> None:
    """Flips one bit in the config beside the weights, which has the image size and thresholds."""
    name = trial.rng.choice(["run", "extracted"])
    folder = trial.copy(name)
    trial.input = folder / "config.json"
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    outcome = trial.run("evaluate", "--weights", folder)
    require_message(outcome, trial.valid.good[f"evaluate {name}"], scores)


def flip_in_extracted(trial: Trial) -> None:
    """Flips one bit of a network that `extract` wrote."""
    folder = trial.copy("extracted")
    files = damage.files_below(folder / "state")
    large = [path for path in files if path.stat().st_size > 20_000 and "/d/" in str(path)]
    trial.input = trial.rng.choice(large if large and trial.rng.random() < 0.7 else files)
    trial.note = damage.flip_bit(trial.rng, trial.input)
    _evaluated(trial, folder, "extracted")


def broken_files(trial: Trial) -> None:
    """Truncates, removes or overwrites any file of a workdir or an extracted folder."""
    name = trial.rng.choice(["run", "run", "extracted"])
    folder = trial.copy(name)
    below = _of_best(folder, "") if name == "run" else folder
    trial.input = trial.rng.choice(damage.files_below(below))
    ways: tuple[damage.Damage, ...] = (damage.shorten, damage.remove, damage.overwrite)
    if trial.input.name in ("metadata", "metrics", "config.json", "extracted.json"):
        ways += (damage.change_json,) * 3
    trial.note = f"{trial.input.relative_to(folder)}: " + damage.damage(
        trial.rng, trial.input, ways
    )
    command = trial.rng.choice(["evaluate", "evaluate", "predict", "extract", "list", "init_from"])
    if command == "evaluate":
        _evaluated(trial, folder, name)
    elif command == "predict":
        output = trial.folder / "out"
        picture = trial.valid.path("data/val_0.png")
        argv = ("--weights", folder, "--images", picture, "--output", output)
        trial.run("predict", *argv, writes=(output,))
    elif command == "extract":
        _extracted(trial, folder)
    elif command == "list":
        trial.run("extract", "--weights", folder, "--list")
    else:
        workdir = trial.folder / "new"
        argv = trial.valid.short(workdir, f"--config.init_from.student={folder}")
        trial.run("train", *argv, writes=(workdir,))


def _extracted(trial: Trial, folder: pathlib.Path) -> None:
    """Damaged weights are extracted like the undamaged ones, or a message says why not."""
    output = trial.folder / "out.pdparams"
    argv = ("--weights", folder, "--role", "student", "--output", output)
    outcome = trial.run("extract", *argv, writes=(output,))
    if outcome.status == 0 and output.read_bytes() != trial.valid.path("net.pdparams").read_bytes():
        require(
            outcome.new_messages(trial.valid.good["to_pdparams"]),
            "SILENT: other weights, no message",
        )


def resume_small_files(trial: Trial) -> None:
    """A run with intact checkpoints resumes bit for bit, whatever happened to its small files."""
    workdir = trial.copy("half")
    trial.input = workdir / trial.rng.choice(["config.json", "config.json", "metrics.jsonl"])
    ways: tuple[damage.Damage, ...] = (
        damage.flip_bit, damage.flip_low_bit, damage.shorten, damage.overwrite, damage.remove,
    )  # fmt: skip
    ways += (damage.change_json,) * 3 if trial.input.suffix == ".json" else ()
    trial.note = damage.damage(trial.rng, trial.input, ways)
    outcome = trial.run("train", *trial.valid.short(workdir), writes=(workdir,))
    require(outcome.status == 0, f"its checkpoints are intact: {outcome.errors}")
    records = trial.input.name == "config.json"  # damaged records cannot be compared
    same_end(trial, workdir, records)


def resume_damaged_state(trial: Trial) -> None:
    """A run with a damaged checkpoint resumes from an earlier one bit for bit, or says why not."""
    workdir = trial.copy("half")
    last = workdir / "checkpoints" / str(steps_of(workdir)[-1])
    trial.input = trial.rng.choice(damage.files_below(last))
    ways = (damage.flip_bit, damage.shorten, damage.overwrite, damage.remove)
    trial.note = f"{trial.input.relative_to(workdir)}: " + damage.damage(
        trial.rng, trial.input, ways
    )
    outcome = trial.run("train", *trial.valid.short(workdir), writes=(workdir,))
    if outcome.status == 0:
        same_end(trial, workdir)


def hostile_config(trial: Trial) -> None:
    """A config that comes with weights cannot make a command write, generate or delete data."""
    folder = trial.copy(trial.rng.choice(["run", "extracted"]))
    victims = trial.folder / "victims"
    shutil.copytree(trial.valid.path("data"), victims)
    trial.input = folder / "config.json"
    tree = json.loads(trial.input.read_text())
    data = tree["data"]
    data["root"] = str(trial.rng.choice([victims, trial.folder / "new", victims / "in", folder]))
    names = ("val.txt", "../victims/val.txt", str(victims / "val_0.png"), "../victims/new.txt")
    data["val"], data["train"] = trial.rng.choice(names), trial.rng.choice(names)
    data["draw"].update(
        train=trial.rng.choice([0, 1]), val=1, side=trial.rng.choice([64, 320, 320])
    )
    trial.input.write_text(json.dumps(tree))
    trial.note = f"generates {data['val']} in {data['root']}"
    output = trial.folder / "out"
    command, argv, writes = trial.rng.choice([
        *[("evaluate", ("--weights", folder), ())] * 4,  # more often: it reads the data
        ("export", ("--weights", folder, "--output", output / "x.onnx"), (output,)),
        ("predict", ("--weights", folder, "--images", victims, "--output", output), (output,)),
    ])  # fmt: skip
    output.mkdir()
    trial.run(command, *argv, writes=writes)
