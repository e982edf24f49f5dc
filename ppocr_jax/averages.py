"""Which roles of a config are averages of others. Names only, no arrays.

If `config.average.decay` is above 0, every trainable role gets a second one, such as
`student_average`: the same network with an exponential moving average (EMA) of the weights. It is
evaluated, saved, extracted and exported like any other role, but has no loss and no optimiser.
"""

import ml_collections

from ppocr_jax.errors import UserError

ENDING = "_average"  # of the names of such roles, which no other role may have


def is_average(role: str) -> bool:
    """Whether a role is an average, by its name."""
    return role.endswith(ENDING)


def followed(average: str) -> str:
    """The role whose weights an average follows."""
    return average.removesuffix(ENDING)


def averages(config: ml_collections.ConfigDict) -> list[str]:
    """Names of the averages that a config asks for."""
    return [role + ENDING for role in config.trainable] if config.average.decay else []


def networks(config: ml_collections.ConfigDict) -> list[str]:
    """Names of the roles that are not averages, in the order of the config."""
    return [role for role in config.roles if not is_average(role)]


def scored(config: ml_collections.ConfigDict) -> list[str]:
    """Names of the roles that are evaluated during a run: the trainable ones and their averages."""
    return [*config.trainable, *averages(config)]


def complete(config: ml_collections.ConfigDict) -> None:
    """Sets the averages in `config.roles`, in place, from `average.decay` and `trainable`.

    Existing averages are replaced. One that belongs to no role stays, and `check` reports it.
    """
    with config.unlocked():
        for role in [r for r in config.roles if is_average(r) and followed(r) in config.roles]:
            del config.roles[role]
        for role in averages(config):
            if followed(role) in config.roles:
                config.roles[role] = config.roles[followed(role)].copy_and_resolve_references()


def check(config: ml_collections.ConfigDict) -> None:
    """Checks that every average in a config is one that the run would make.

    Raises:
        UserError: names the role.
    """
    made, best = averages(config), config.best.role
    for role in config.roles:
        if is_average(role) and role not in made:
            raise UserError(
                f"config.roles.{role}: names that end in {ENDING} are reserved for averages, which "
                "config.average.decay makes of the trainable roles"
            )
    if is_average(best) and not made:
        raise UserError(
            f"config.best.role={best}: config.average.decay is 0, so there is no average: use "
            f"--config.best.role={followed(best)}"
        )


def describe(config: ml_collections.ConfigDict) -> list[str]:
    """A line on the averages of a run, in a list; [] if there are none."""
    if not averages(config):
        return []
    decay, share = config.average.decay, config.average.share
    most = round(1 / (1 - decay))  # steps that an average with this decay spans
    return [
        f"{', '.join(averages(config))}: weights averaged over about the last {share:.0%} of the "
        f"steps, at most {most}; the best checkpoint is selected by {config.best.role}"
    ]
