"""What a run says of its gain: against the weights that it began with, and its own best."""

import json

from ppocr_jax.training.progress import Progress
from ppocr_jax.training.standing import Standing, describe_best, gained_nothing, note_standing

BEFORE = [[4, 4, 2]] * 10 + [[4, 4, 3]] * 10
BETTER = [[4, 4, 3]] * 10 + [[4, 4, 4]] * 10


def score(progress, step, counts, hmean):
    """Notes an evaluation as the judge does; gives what is said of it."""
    progress.step = step
    standing = Standing.of(progress, "student", counts, True)
    metrics = {"student": {"hmean": hmean, "hmean_low": hmean - 0.1, "hmean_high": hmean + 0.1}}
    progress.note_evaluation(metrics, "student")
    note_standing(progress, "student", {"student": counts}, standing)
    return standing


def test_the_base_is_remembered_and_compared_with():
    progress = Progress()
    first = score(progress, 0, BEFORE, 0.625)
    assert first.words(0.625) == "" and first.figures(0.625) == {}
    assert score(progress, 2, BEFORE, 0.625).words(0.625).startswith("; +0.0000 (95 %: +0.000 to")
    progress = Progress.from_meta(json.loads(json.dumps(vars(progress))))  # stopped, and went on
    standing = score(progress, 4, BETTER, 0.875)
    words = standing.words(0.875)
    assert "+0.2500 (95 %: +0.250 to +0.250, more than chance) to the base's 0.6250" in words
    assert "; +0.2500 to the best so far, 0.6250 at step 2" in words
    figures = standing.figures(0.875)
    assert figures["base_gain"] == figures["best_gain"] == 0.25
    assert describe_best(progress, "student") == (
        "best hmean 0.8750 at step 4 (95 %: 0.775 to 0.975), +0.2500 (95 %: +0.250 to +0.250, "
        "more than chance) to the base's 0.6250"
    )


def test_a_run_without_gain_says_so():
    progress = Progress()
    for step, hmean in ((0, 0.625), (2, 0.5), (4, 0.0)):
        score(progress, step, BEFORE, hmean)
    assert gained_nothing(progress, "student")
    assert "nothing was gained" in describe_best(progress, "student")
    progress = Progress()
    for step in (0, 2):  # the newest of equals is the best, and is no gain
        score(progress, step, BEFORE, 0.0)
    assert progress.best["step"] == 2 and gained_nothing(progress, "student")


def test_a_run_from_fresh_values_has_no_base():
    progress = Progress()
    score(progress, 4, BEFORE, 0.625)
    standing = score(progress, 8, BEFORE, 0.5)
    assert standing.base is None and standing.words(0.5).startswith("; -0.1250 to the best so far")
    assert not gained_nothing(progress, "student")
    assert (
        describe_best(progress, "student") == "best hmean 0.6250 at step 4 (95 %: 0.525 to 0.725)"
    )


def test_other_images_or_another_role_are_not_compared():
    progress = Progress()
    score(progress, 0, BEFORE, 0.625)
    progress.step = 4
    assert Standing.of(progress, "student", BEFORE[1:], True).base is None
    assert Standing.of(progress, "student2", BEFORE, False) == Standing()
    assert not gained_nothing(progress, "student2")
    progress.base["settings"] = "thresh 0.3"
    standing = Standing.of(progress, "student", BEFORE, True, "thresh 0.2")
    assert standing.base is None and "base was scored with other eval" in standing.words(0.5)


def test_the_best_of_an_older_version_has_no_interval():
    progress = Progress.from_meta({"step": 8, "best": {"hmean": 0.5, "step": 4}})
    assert describe_best(progress, "student") == "best hmean 0.5000 at step 4"
