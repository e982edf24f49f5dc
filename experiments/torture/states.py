"""Damaged states, configs and extracted folders: said, or refused, or harmless; never silent."""

import json
import shutil

from experiments.torture import damage
from experiments.torture.ground import best_of, scores, steps_of
from experiments.torture.judge import require, require_said
from experiments.torture.runs import same_end


def _evaluated(trial, weights, name):
    """Damaged weights are scored as they were before, or it is said that they are not."""
    outcome = trial.run("evaluate", *trial.ground.evaluating(weights, trial.rng.random() < 0.5))
    require_said(outcome, trial.ground.good[f"evaluate {name}"], scores)
    if outcome.status:  # a config of its own may have led to nothing, so the path is all to ask for
        require(trial.folder.name in outcome.errors[0], f"does not name it: {outcome.errors[0]}")


def _of_best(run, part):
    """A part of the best state of a run: a file or folder."""
    return run / "checkpoints" / str(best_of(run)) / part


def flip_in_state(trial):
    """One bit of the best state, mostly of its large files."""
    run = trial.copy("run")
    files = damage.files_below(_of_best(run, "state"))
    large = [path for path in files if path.stat().st_size > 20_000 and "/d/" in str(path)]
    trial.input = trial.rng.choice(large if large and trial.rng.random() < 0.7 else files)
    trial.note = damage.flip_bit(trial.rng, trial.input)
    _evaluated(trial, run, "run")


def flip_in_meta(trial):
    """One bit of what stands beside the best state."""
    run = trial.copy("run")
    trial.input = _of_best(run, "meta/metadata")
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    _evaluated(trial, run, "run")


def flip_in_metrics(trial):
    """One bit of the number by which the best state is chosen."""
    run = trial.copy("run")
    trial.input = trial.rng.choice(list(run.glob("checkpoints/*/metrics/metrics")))
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    _evaluated(trial, run, "run")


def flip_in_config(trial):
    """One bit of the config beside weights, which says at which size and thresholds to score."""
    name = trial.rng.choice(["run", "extracted"])
    folder = trial.copy(name)
    trial.input = folder / "config.json"
    trial.note = damage.damage(trial.rng, trial.input, (damage.flip_bit, damage.flip_low_bit))
    outcome = trial.run("evaluate", "--weights", folder)
    require_said(outcome, trial.ground.good[f"evaluate {name}"], scores)


def flip_in_extracted(trial):
    """One bit of a network that `extract` wrote."""
    folder = trial.copy("extracted")
    files = damage.files_below(folder / "state")
    large = [path for path in files if path.stat().st_size > 20_000 and "/d/" in str(path)]
    trial.input = trial.rng.choice(large if large and trial.rng.random() < 0.7 else files)
    trial.note = damage.flip_bit(trial.rng, trial.input)
    _evaluated(trial, folder, "extracted")


def broken_files(trial):
    """Any file of a workdir or an extracted folder cut, removed or overwritten."""
    name = trial.rng.choice(["run", "run", "extracted"])
    folder = trial.copy(name)
    below = _of_best(folder, "") if name == "run" else folder
    trial.input = trial.rng.choice(damage.files_below(below))
    ways = (damage.shorten, damage.remove, damage.overwrite)
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
        picture = trial.ground.path("data/val_0.png")
        argv = ("--weights", folder, "--images", picture, "--output", output)
        trial.run("predict", *argv, writes=(output,))
    elif command == "extract":
        _extracted(trial, folder)
    elif command == "list":
        trial.run("extract", "--weights", folder, "--list")
    else:
        workdir = trial.folder / "new"
        argv = trial.ground.short(workdir, f"--config.init_from.student={folder}")
        trial.run("train", *argv, writes=(workdir,))


def _extracted(trial, folder):
    """Damaged weights are extracted as they were, or it is said that they are not."""
    output = trial.folder / "out.pdparams"
    argv = ("--weights", folder, "--role", "student", "--output", output)
    outcome = trial.run("extract", *argv, writes=(output,))
    if (
        outcome.status == 0
        and output.read_bytes() != trial.ground.path("net.pdparams").read_bytes()
    ):
        require(outcome.said(trial.ground.good["to_pdparams"]), "SILENT: other weights, not a word")


def resume_small_files(trial):
    """A run whose states are whole goes on bit for bit, whatever happened to its small files."""
    workdir = trial.copy("half")
    trial.input = workdir / trial.rng.choice(["config.json", "config.json", "metrics.jsonl"])
    ways = (damage.flip_bit, damage.flip_low_bit, damage.shorten, damage.overwrite, damage.remove)
    ways += (damage.change_json,) * 3 if trial.input.suffix == ".json" else ()
    trial.note = damage.damage(trial.rng, trial.input, ways)
    outcome = trial.run("train", *trial.ground.short(workdir), writes=(workdir,))
    require(outcome.status == 0, f"its states are whole: {outcome.errors}")
    records = trial.input.name == "config.json"
    same_end(trial, workdir, records)


def resume_damaged_state(trial):
    """A run with a damaged state goes on from the one before it bit for bit, or says why not."""
    workdir = trial.copy("half")
    last = workdir / "checkpoints" / str(steps_of(workdir)[-1])
    trial.input = trial.rng.choice(damage.files_below(last))
    ways = (damage.flip_bit, damage.shorten, damage.overwrite, damage.remove)
    trial.note = f"{trial.input.relative_to(workdir)}: " + damage.damage(
        trial.rng, trial.input, ways
    )
    outcome = trial.run("train", *trial.ground.short(workdir), writes=(workdir,))
    if outcome.status == 0:
        same_end(trial, workdir)


def hostile_config(trial):
    """A config that comes with weights makes the program write, draw or delete nothing."""
    folder = trial.copy(trial.rng.choice(["run", "extracted"]))
    victims = trial.folder / "victims"
    shutil.copytree(trial.ground.path("data"), victims)
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
    trial.note = f"draws {data['val']} below {data['root']}"
    output = trial.folder / "out"
    command, argv, writes = trial.rng.choice([
        *[("evaluate", ("--weights", folder), ())] * 4,  # which reads the data
        ("export", ("--weights", folder, "--output", output / "x.onnx"), (output,)),
        ("predict", ("--weights", folder, "--images", victims, "--output", output), (output,)),
    ])  # fmt: skip
    output.mkdir()
    trial.run(command, *argv, writes=writes)
