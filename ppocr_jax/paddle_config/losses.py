"""PaddleOCR's `Loss` -> `config.loss`: terms on roles and pairs, and the options they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from ppocr_jax import defaults as parts
from ppocr_jax.losses import MUTUAL_ACTS
from ppocr_jax.paddle_config.ledger import Conversion, Section, as_number, brief, show, value_at

MAIN = {"DiceLoss": "dice", "BCELoss": "bce", "MaskL1Loss": "mask_l1"}  # -> losses.MAIN_LOSSES
ACTS = {name: name for name in MUTUAL_ACTS}  # PaddleOCR calls them the same
SHARED = {"alpha": "alpha", "beta": "beta", "ohem_ratio": "negative_ratio",
          "balance_loss": "balance", "main_loss_type": "main"}  # fmt: skip
LABELS, MUTUAL, TEACHER = "DistillationDBLoss", "DistillationDMLLoss", "DistillationDilaDBLoss"


Roles = Mapping[str | None, str]  # {PaddleOCR's name, None for a single network: role}


def read_losses(conversion: Conversion, roles: Roles) -> None:
    """Fills `loss` of the config.

    Args:
        conversion: whose networks have been read.
        roles: see `networks.read_networks`.

    Raises:
        UserError: another loss, an unknown network in a term, or no known term.
    """
    loss = conversion.section("Loss")
    name = loss.get("name")
    if name == "DBLoss" and len(roles) == 1:
        loss.carry("name", "loss.labels")
        terms = {"labels": tuple(roles.values())}
        found = {LABELS: [loss]}
    elif name == "CombinedLoss" and None not in roles:
        loss.carry("name", "loss")
        terms, found = _read_terms(loss, roles)
    else:
        wanted = "CombinedLoss for named networks, DBLoss for a single one"
        raise loss.fail("name", f"no loss for these networks: {wanted}")
    conversion.config.loss = parts.losses(**{"labels": (), **terms})
    for section in found.get(MUTUAL, ()):
        _read_mutual(section)
    fixed: set[str] = set()
    for section in [*found.get(LABELS, ()), *found.get(TEACHER, ())]:
        _read_shared(section, fixed)
    if None not in roles:
        _say_what_counts(conversion, parts.losses(**{"labels": (), **terms}))


def _read_terms(loss: Section, roles: Roles) -> tuple[dict[str, Any], dict[str, list[Section]]]:
    """`(terms, found)`: arguments of `parts.losses`, and the sections of each kind of term."""
    terms: dict[str, Any] = {}
    found: dict[str, list[Section]] = {}
    for entry in loss.items("loss_config_list"):
        for kind in entry.tree:
            section = entry.sub(kind)
            if kind == LABELS:
                key, named = "labels", section.get("model_name_list")
                new: tuple[Any, ...] = tuple(_roles(section, "model_name_list", named, roles))
                section.expect("weight", (1,), "the labels' weight is 1; divide the others by it")
                section.carry("model_name_list", "loss.labels")
            elif kind in (MUTUAL, TEACHER):
                key = "mutual" if kind == MUTUAL else "teacher"
                if reason := _why_lost(section):
                    entry.lose(kind, f"{reason}; this run has no such term in loss.{key}")
                    continue
                section.carry("key", "built in")
                section.carry("maps_name", "built in")
                new = _read_pairs(section, f"loss.{key}", roles)
            else:
                entry.lose(kind, "there is no such term here")
                continue
            terms[key] = terms.get(key, ()) + new
            # One term of a kind for each network or pair, whatever its weight.
            single = {entry[:2] if key != "labels" else entry for entry in terms[key]}
            if len(single) < len(terms[key]):
                raise entry.fail(kind, "a network or pair has such a term already: merge them")
            found.setdefault(kind, []).append(section)
    if not terms:
        raise loss.fail("loss_config_list", f"has none of {LABELS}, {MUTUAL}, {TEACHER}")
    return terms, found


def _why_lost(section: Section) -> str | None:
    """Why a term between networks is not available here; None when it is."""
    maps, taught = section.get("key", "maps"), section.get("maps_name", "thrink_maps")
    if maps != "maps":
        return f"key is {brief(maps)}, and a detector in training gives maps alone (key: maps)"
    if isinstance(taught, list):
        return (
            f"maps_name is a list, {brief(taught)}, of which PaddleOCR takes no map at all; name "
            "one (maps_name: thrink_maps)"
        )
    if taught != "thrink_maps":
        return (
            f"maps_name is {brief(taught)}, and networks learn from each other's shrink map alone "
            "(maps_name: thrink_maps)"
        )
    return None


def _read_pairs(section: Section, key: str, roles: Roles) -> tuple[tuple[Any, ...], ...]:
    """Pairs of roles, each with its weight where that is not 1."""
    pairs = section.get("model_name_pairs", [])
    pairs = pairs if isinstance(pairs, list) else [pairs]
    if not any(isinstance(pair, list) for pair in pairs):
        pairs = [pairs]
    try:
        weight = as_number(section.get("weight", 1.0))
    except ValueError as error:
        raise section.fail("weight", error) from None
    section.carry("model_name_pairs", key)
    section.carry("weight", key)
    named = [_roles(section, "model_name_pairs", pair, roles, 2) for pair in pairs]
    return tuple((*pair, weight) if weight != 1.0 else tuple(pair) for pair in named)


def _roles(
    section: Section, key: str, names: Any, roles: Roles, count: int | None = None
) -> list[str]:
    """The roles of the networks named in a term; `count` of them, or any number."""
    if not isinstance(names, list) or not names or count not in (None, len(names)):
        raise section.fail(key, "should name two networks" if count else "should name networks")
    unknown = [str(name) for name in names if str(name) not in roles]
    if unknown:
        known = ", ".join(str(name) for name in roles)
        raise section.fail(key, f"{brief(unknown[0])} is none of the networks {known}")
    return [roles[str(name)] for name in names]


def _read_mutual(section: Section) -> None:
    """The options of mutual learning besides its pairs."""
    section.put("act", "loss.mutual_act", change=lambda act: _of(ACTS, act))
    section.expect("use_log", (False,), "maps are not taken as logarithms")


def _read_shared(section: Section, fixed: set[str]) -> None:
    """Options that all terms share here: the first term that has one sets it, others must agree.

    Args:
        section: of a term.
        fixed: keys of the config that are set already; grows.
    """
    config = section.conversion.config
    if section.path[-1] == TEACHER:
        section.ignore("beta", "a teacher gives no threshold map")
    for name, key in SHARED.items():
        key = f"loss.{key}"
        change = (lambda main: _of(MAIN, main)) if name == "main_loss_type" else None
        if name not in section or key not in fixed:
            section.put(name, key, change=change)
            fixed |= {key} if name in section else set()
        else:
            agreed = value_at(config, key)
            value = MAIN.get(show(section.get(name))) if change else section.get(name)
            reason = f"all terms share {key}, which is {show(agreed)}"
            section.expect(name, (section.get(name),) if value == agreed else (), reason, key)
    section.expect("eps", (1e-6, "1e-6"), "is 1e-6 here")


def _of(table: Mapping[str, str], value: Any) -> str:
    """Our word for PaddleOCR's. Raises ValueError where there is none."""
    if not isinstance(value, str) or value not in table:
        raise ValueError(f"should be {', '.join(table)}")
    return table[value]


def _say_what_counts(conversion: Conversion, published: ConfigDict) -> None:
    """Notes where a distillation config has an effect here that it has not in PaddleOCR.

    Args:
        conversion: whose loss has been read.
        published: `parts.losses` with its defaults, which PaddleOCR uses.
    """
    loss = conversion.config.loss
    changed = [key for key in SHARED.values() if loss[key] != published[key]]
    if changed:
        conversion.notes.append(
            "PaddleOCR uses its defaults (5, 10, 3, balanced dice) in a distillation config, "
            f"whatever the file says; here {', '.join(f'{k}={show(loss[k])}' for k in changed)} "
            "counts as the file says"
        )
    if loss.mutual_act == "softmax":
        conversion.notes.append(
            "a softmax over the width flattens the maps, so that the networks learn almost nothing "
            "from each other; later versions of PaddleOCR leave it out, as "
            "--config.loss.mutual_act=none does"
        )
