"""PaddleOCR's `Architecture` -> the roles of a config, and the weights that they start from."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ppocr_jax import defaults as parts
from ppocr_jax.errors import UserError
from ppocr_jax.models.detector import build_detector
from ppocr_jax.paddle_config.ledger import Conversion, Section, as_bool, as_number, show
from ppocr_jax.weights.published import FILES

# Blocks in the four stages of ResNet_vd, by its number of layers.
DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 12, 48, 3)}
BACKBONE_FILE = re.compile(r"(MobileNetV3|ResNet)\w*_pretrained(\.pdparams)?$")


def read_networks(conversion: Conversion) -> dict[str | None, str]:
    """Fills `roles`, `trainable` and `init_from` of the config.

    Returns:
        `{PaddleOCR's name: role}`; the name is None in a config with a single network.

    Raises:
        UserError: not a text detector, or one that cannot be built here.
    """
    architecture, config = conversion.section("Architecture"), conversion.config
    if not architecture.tree:
        raise conversion.fail(("Architecture",), "is missing: not a PaddleOCR training config")
    _require_detector(architecture, ("DB", "Distillation"))
    if "Models" in architecture:
        models = architecture.sub("Models")
        sections: dict[str | None, Section] = {name: models.sub(name) for name in models.tree}
        if not sections:
            raise architecture.fail("Models", "should map names to networks")
        architecture.expect("name", ("DistillationModel",), "several networks train side by side")
    else:
        sections = {None: architecture}
    roles: dict[str | None, str] = {}
    networks: dict[str, Any] = {}
    for name, section in sections.items():
        network = _network(section)
        role = _role_of(name, section, network)
        if role in networks:
            raise section.fail("Backbone", f"a second network would be called {role}: rename one")
        roles[name], networks[role] = role, network
    config.roles = networks
    config.trainable = tuple(
        roles[name] for name, section in sections.items() if _learns(name, section)
    )
    if not config.trainable:
        raise architecture.fail("Models", "every network is frozen, none is left to train")
    # Every later step checks the whole config, so the parts that belong to the roles have to fit
    # them already: `Metric` and `Loss` are read afterwards and may change these two.
    config.best.role = "student" if "student" in config.trainable else config.trainable[0]
    config.loss = parts.losses(labels=config.trainable)
    config.init_from = parts.init_from(networks)
    _read_weights(conversion, sections, roles)
    return roles


def _require_detector(section: Section, algorithms: tuple[str, ...]) -> None:
    """Refuses anything other than the DB text detector."""
    kind, algorithm = section.get("model_type", "det"), section.get("algorithm")
    if kind != "det" or algorithm not in (None, *algorithms):
        name = "model_type" if kind != "det" else "algorithm"
        raise section.fail(name, f"only text detectors are trained here, {' or '.join(algorithms)}")
    section.carry("model_type", "built in")
    section.carry("algorithm", "built in")


def _role_of(name: str | None, section: Section, network: Mapping[str, Any]) -> str:
    """`student2` for `Student2`; a network without a name gets its role in our own configs."""
    if name is None:
        return "student" if network["backbone"]["name"] == "MobileNetV3" else "teacher"
    role = str(name)[:1].lower() + str(name)[1:]
    if not role.isidentifier() or keyword.iskeyword(role) or role == "all":
        raise section.conversion.fail(section.path, f"{role!r} cannot be the name of a role")
    return role


def _learns(name: str | None, section: Section) -> bool:
    """Whether a network is trained; a single one always is."""
    if name is None:
        return True
    try:
        frozen = as_bool(section.get("freeze_params", False))
    except ValueError as error:
        raise section.fail("freeze_params", error) from None
    section.carry("freeze_params", "trainable")
    return not frozen


# -- parts -----------------------------------------------------------------------------------------


def _network(section: Section) -> dict[str, Any]:
    """One entry of `config.roles`. Raises UserError where it cannot be built."""
    _require_detector(section, ("DB",) if section.path[-1] != "Architecture" else (
        "DB", "Distillation"))  # fmt: skip
    if "Transform" in section:
        raise section.fail("Transform", "detectors have none, remove it")
    section.expect("return_all_feats", (False,), "networks return only their maps")
    network = {
        "backbone": _backbone(section.sub("Backbone")),
        "neck": _neck(section.sub("Neck")),
        "head": _head(section.sub("Head")),
    }
    build_detector(network)
    return network


def _backbone(section: Section) -> dict[str, Any]:
    name = section.get("name")
    _only(section, "in_channels", 3, "images have three channels")
    if name == "MobileNetV3":
        section.carry("name", "built in")
        _only(section, "model_name", "large", "MobileNetV3-large is what is built here")
        gates = not _value(section, "disable_se", as_bool, False)
        scale = _value(section, "scale", as_number, 0.5)
        return dict(name="MobileNetV3", scale=scale, squeeze_excite=gates)
    if name in ("ResNet", "ResNet_vd"):
        section.carry("name", "ResNetVD, the variant that both names stand for in the detector")
        layers = _value(section, "layers", as_number, 50)
        if layers not in DEPTHS:
            raise section.fail("layers", f"ResNet_vd is built with {_either(DEPTHS)} layers here")
        deformed = section.get("dcn_stage", [])
        if any(deformed) if isinstance(deformed, list) else deformed:
            raise section.fail("dcn_stage", "deformable convolutions are not built here")
        section.carry("dcn_stage", "built in")
        return dict(name="ResNetVD", depths=DEPTHS[int(layers)], width=64)
    raise _unknown(section, ("MobileNetV3", "ResNet_vd", "ResNet"))


def _neck(section: Section) -> dict[str, Any]:
    name = section.get("name")
    if name not in ("RSEFPN", "LKPAN", "DBFPN"):
        raise _unknown(section, ("RSEFPN", "LKPAN", "DBFPN"))
    section.carry("name", "built in")
    channels = _value(section, "out_channels", as_number, None)
    if channels is None or channels < 4 or channels % 4:
        raise section.fail("out_channels", "should be a multiple of 4")
    network: dict[str, Any] = dict(name=name, channels=int(channels))
    if name == "RSEFPN":
        network["shortcut"] = _value(section, "shortcut", as_bool, True)
    if name == "LKPAN":
        network["mode"] = _value(section, "mode", str, "large")
        if network["mode"] not in ("large", "lite"):
            raise section.fail("mode", "should be large or lite")
        _only(section, "intracl", False, "blocks within a level are not built here")
    if name == "DBFPN":
        _only(section, "use_asf", False, "adaptive scale fusion is not built here")
    return network


def _head(section: Section) -> dict[str, Any]:
    if section.get("name") != "DBHead":
        raise _unknown(section, ("DBHead",))
    section.carry("name", "built in")
    kernels = section.get("kernel_list", [3, 2, 2])
    fits = isinstance(kernels, list) and len(kernels) == 3 and kernels[1:] == [2, 2]
    if not fits or not isinstance(kernels[0], int) or kernels[0] < 1 or kernels[0] % 2 == 0:
        raise section.fail("kernel_list", "should be an odd size and twice 2, such as [3, 2, 2]")
    section.carry("kernel_list", "roles")
    _only(section, "fix_nan", False, "a loss that is not finite stops the run here")
    return dict(name="DBHead", kernels=tuple(kernels), k=_value(section, "k", as_number, 50.0))


def _value(section: Section, name: str, change: Callable[[Any], Any], absent: Any) -> Any:
    """An argument of a part of the network, `absent` where it is missing.

    One that cannot be read is refused, not dropped: the network would be another one.
    """
    if name not in section:
        return absent
    try:
        value = change(section.get(name))
    except ValueError as error:
        raise section.fail(name, error) from None
    section.carry(name, "roles")
    return value


def _only(section: Section, name: str, value: Any, reason: str) -> None:
    """Refuses any value except the one that is built here, for the same reason."""
    if section.get(name, value) != value:
        raise section.fail(name, reason)
    section.carry(name, "built in")


def _unknown(section: Section, known: Iterable[str]) -> UserError:
    return section.fail("name", f"no such {str(section.path[-1]).lower()} here: {_either(known)}")


def _either(known: Iterable[object]) -> str:
    *first, last = map(str, known)
    return f"{', '.join(first)} or {last}" if first else last


# -- weights ---------------------------------------------------------------------------------------


def _read_weights(
    conversion: Conversion,
    sections: Mapping[str | None, Section],
    roles: Mapping[str | None, str],
) -> None:
    """Fills `init_from` from `Global.pretrained_model` and each network's `pretrained`."""
    whole, distils = conversion.section("Global"), None not in roles
    path = whole.get("pretrained_model")
    start = "all" if distils else next(iter(roles.values()))
    # In a distillation config, PaddleOCR compares the names in the file with `Student.backbone...`:
    # a backbone's own file has no prefix, and silently nothing is loaded.
    if distils and BACKBONE_FILE.search(str(path)):
        whole.drop(
            "pretrained_model",
            "has no effect in PaddleOCR: the names in this file lack a network's prefix, so "
            "nothing is loaded; to load it into one network: "
            f"--config.init_from.{next(iter(roles.values()))}={show(path)}",
        )
    _put_weights(whole, "pretrained_model", start)
    for name, section in sections.items():
        if name is None:
            continue
        if conversion.config.init_from["all"]:
            section.drop("pretrained", "Global.pretrained_model is loaded after it and replaces it")
        _put_weights(section, "pretrained", roles[name])
    resumed = whole.get("checkpoints")
    if not resumed:
        whole.ignore("checkpoints", "empty; a run continues when its workdir is given again")
    else:
        whole.drop(
            "checkpoints",
            "a run of PaddleOCR cannot go on here; to start from its weights: "
            f"--config.init_from.{start}={weights_path(show(resumed))}",
        )


def _put_weights(section: Section, name: str, role: str) -> None:
    """Carries the path of a weights file, unless its leaf has ended already."""
    value = section.conversion.left.get((*section.path, name))
    if value in (None, False, ""):
        section.carry(name, f"init_from.{role} stays empty")
        return
    section.put(name, f"init_from.{role}", change=weights_path)
    path = section.conversion.config.init_from[role]
    if "://" in str(value) and path not in FILES:
        section.conversion.notes.append(
            f"{value} is not fetched by a run: download it to where init_from.{role}={path} finds "
            "it"
        )


def weights_path(value: Any) -> str:
    """The path of a weights file in PaddleOCR's config as a path for `init_from`.

    PaddleOCR leaves out `.pdparams`. Of a URL only the file name is kept, which is enough for
    published weights.

    Raises:
        ValueError: the value is not text.
    """
    if not isinstance(value, str):
        raise ValueError("should be the path of a file")
    name = value.rsplit("/", 1)[-1].removesuffix(".tar").removesuffix(".pdparams")
    if "://" in value:
        return name if name in FILES else f"{name}.pdparams"
    return value if value.endswith(".pdparams") else f"{value}.pdparams"
