"""Takes one network out of a run, as a small checkpoint of its own or as PaddleOCR's file.

    python -m ppocr_jax.extract --weights runs/mobile --role student --output student_dir
    python -m ppocr_jax.extract --weights runs/mobile --role student --output student.pdparams
    python -m ppocr_jax.extract --weights runs/cml --role all --output tree.pdparams
    python -m ppocr_jax.extract --weights best_accuracy.pdparams --role teacher --output teacher
    python -m ppocr_jax.extract --weights ch_PP-OCRv3_det_infer.onnx --output student.pdparams
    python -m ppocr_jax.extract --weights runs/mobile --list

`--weights` is a workdir (its best state), `<workdir>/latest`, `<workdir>/<step>`, an extracted
folder, a `.pdparams` file or an ONNX file whose batch norm is not folded, as PaddleOCR publishes
them. An output that ends in `.pdparams` is written with PaddlePaddle's names and layouts, with
`--role all` as PaddleOCR's distillation files; any other is a folder that every command takes as
weights.
"""

import json
import shutil

import jax
import numpy as np
import orbax.checkpoint as ocp
from etils import epath

from ppocr_jax import __version__, cli, runtime, sources
from ppocr_jax.errors import UserError
from ppocr_jax.pdparams import read_pdparams, write_pdparams
from ppocr_jax.weights import array_hash


def choose_role(source, role):
    """The role to take: the one that was named, or the only one, or the best role of the run."""
    roles = source.roles()
    if role:
        if role == "all" and roles != [""]:
            return role
        if role not in roles and roles != [""]:
            raise UserError(f"{source}: holds {', '.join(roles)}, not {role}")
        return role
    if len(roles) == 1:
        return roles[0]
    best = source.meta.get("config", {}).get("best", {}).get("role")
    if best in roles:
        return best
    raise UserError(f"{source}: holds {', '.join(roles)}: say which with --role")


def write_folder(output, variables, meta):
    """Writes an extracted folder: `state/` by Orbax, `extracted.json`, `config.json`.

    It is complete or absent: written beside its place and moved there.
    """
    output = epath.Path(output).resolve()
    temporary = output.with_name(output.name + ".tmp")
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir(parents=True)
    with ocp.StandardCheckpointer() as writer:
        writer.save(temporary / "state", jax.tree.map(np.asarray, variables))
    (temporary / sources.EXTRACTED).write_text(json.dumps(meta, indent=1) + "\n")
    if meta.get("config"):
        (temporary / "config.json").write_text(json.dumps(meta["config"], indent=1) + "\n")
    if output.exists():
        shutil.rmtree(output)
    temporary.rename(output)


def extract(weights, role, output):
    """Writes one role of `weights` to `output`; returns a line that says what was written."""
    source = open_weights(weights)
    role = choose_role(source, role)
    output = epath.Path(output)
    if output.is_dir() and any(output.iterdir()) and not (output / sources.EXTRACTED).exists():
        raise UserError(f"--output {output}: a folder with other content stands there")
    if role == "all" and output.suffix != ".pdparams":
        raise UserError(f"--output {output}: all roles together go into a .pdparams file alone")
    arrays = sources.read_tree(source) if role == "all" else sources.read_arrays(source, role)
    if output.suffix == ".pdparams":
        write_pdparams(str(output), arrays)
    else:
        meta = {
            "role": role,
            "roles": [role],
            "from": str(source),
            "step": source.step,
            "config": source.meta.get("config"),
            "metrics": {k: v for k, v in source.meta.get("metrics", {}).items() if k == role},
            "hash": array_hash(arrays),
            "version": __version__,
        }
        write_folder(output, sources.read_variables(source, role), meta)
    count = sum(array.size for array in arrays.values())
    return f"{role or 'network'} of {source}: {len(arrays)} tensors, {count} numbers -> {output}"


def open_weights(weights):
    """As `sources.open_source`; a file that is not there is refused here, before it is needed."""
    source = sources.open_source(weights)
    if source.kind == "pdparams":
        read_pdparams(str(source.path))
    return source


def describe(weights):
    """What is in it: a line per role, with its own hmean where it is known, and its tensors."""
    source = open_weights(weights)
    lines = []
    for role in source.roles():
        arrays = sources.read_arrays(source, role)
        size = sum(array.nbytes for array in arrays.values())
        count = sum(array.size for array in arrays.values())
        scored = source.meta.get("metrics", {}).get(role)
        hmean = f", hmean {scored['hmean']:.4f}" if scored else ""
        lines.append(
            f"{role or 'network'}: {len(arrays)} tensors, {count} numbers, {size} bytes{hmean}"
        )
        lines += [f"  {name} {list(array.shape)}" for name, array in arrays.items()]
    return lines


def main(argv):
    arguments = cli.parser(__doc__)
    arguments.add_argument("--weights", required=True, help="where to take it from")
    arguments.add_argument("--role", help="which network, needed when there are several, or all")
    arguments.add_argument("--output", help="folder or .pdparams file to write")
    arguments.add_argument("--list", action="store_true", help="only say what is in it")
    args, _ = cli.parse(arguments, argv, needs_config=False)
    runtime.prepare()
    if args.list:
        print("\n".join(describe(args.weights)))
        return 0
    if not args.output:
        raise UserError("--output is missing: a folder or a .pdparams file")
    print(extract(args.weights, args.role, args.output))
    return 0


if __name__ == "__main__":
    cli.run(main)
