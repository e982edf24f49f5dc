"""Which roles of a config are averages of others: by name alone, no arrays.

Where `config.average.decay` is above 0, every role that learns has a second one beside it, such as
`student_average`: the same network, whose weights are an exponential average of the first one's.
It is scored, kept, extracted and exported as any other role; it has no loss and no optimiser.
"""

from ppocr_jax.errors import UserError

ENDING = "_average"  # of the names of such roles, which no other role may have


def is_average(role):
    """Whether a role is an average, by its name."""
    return role.endswith(ENDING)


def followed(average):
    """The role that an average follows."""
    return average.removesuffix(ENDING)


def averages(config):
    """Names of the averages that a config asks for."""
    return [role + ENDING for role in config.trainable] if config.average.decay else []


def networks(config):
    """Names of the roles that are no averages, in the config's order."""
    return [role for role in config.roles if not is_average(role)]


def scored(config):
    """Names of the roles that change while a run goes on, and are evaluated."""
    return [*config.trainable, *averages(config)]


def complete(config):
    """Gives `config.roles` the averages that it asks for, in place; those it had before go.

    An average that belongs to no role stays, for `check` to name it.
    """
    with config.unlocked():
        for role in [r for r in config.roles if is_average(r) and followed(r) in config.roles]:
            del config.roles[role]
        for role in averages(config):
            if followed(role) in config.roles:
                config.roles[role] = config.roles[followed(role)].copy_and_resolve_references()


def check(config):
    """Refuses averages that nothing makes.

    Raises:
        UserError: names the role.
    """
    made, best = averages(config), config.best.role
    for role in config.roles:
        if is_average(role) and role not in made:
            raise UserError(
                f"config.roles.{role}: names that end in {ENDING} are those of averages, which "
                "config.average.decay makes of the roles that learn"
            )
    if is_average(best) and not made:
        raise UserError(
            f"config.best.role={best}: config.average.decay is 0, so there is no average: take "
            f"--config.best.role={followed(best)}"
        )


def describe(config):
    """A line on the averages of a run, in a list; none where there are none."""
    if not averages(config):
        return []
    decay, share = config.average.decay, config.average.share
    most = round(1 / (1 - decay))
    return [
        f"{', '.join(averages(config))}: weights averaged over about the last {share:.0%} of the "
        f"updates, {most} at most; best is chosen by {config.best.role}"
    ]
