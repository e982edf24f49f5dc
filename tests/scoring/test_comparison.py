"""Several weights on the same images: numbers, verdicts, images that changed."""

import json

from outcomes import bar, make_outcome, map_of

from ppocr_jax.scoring import comparison
from ppocr_jax.scoring.comparison import Scored
from ppocr_jax.scoring.metrics import summarise

WORD, FINDS = bar(10, 9, 60, 18), map_of((14, 14, 52, 8, 0.95))
FALSE = map_of((14, 14, 52, 8, 0.95), (20, 60, 40, 12, 0.95))


def scored(name, maps, labels=(WORD,)):
    """`Scored` of weights that draw these maps on images of one word each."""
    outcomes = [
        make_outcome(labels, [False] * len(labels), shrink_map, path=f"{index}.png")
        for index, shrink_map in enumerate(maps)
    ]
    return Scored(name, summarise([outcome.counts for outcome in outcomes]), outcomes)


def test_images_that_changed_and_the_verdict():
    first = scored("mine", [FINDS, FINDS, map_of(), FALSE] * 10)
    other = scored("base", [FINDS, map_of(), map_of(), FINDS] * 10)
    pair = comparison.pair(first, other)
    assert [change.index % 4 for change in pair.better] == [1] * 10
    assert [change.index % 4 for change in pair.worse] == [3] * 10
    assert {change.gained for change in pair.better} == {1}
    assert pair.difference.gain == first.metrics["hmean"] - other.metrics["hmean"]
    verdict = pair.verdict()
    assert verdict.startswith("mine against base: hmean +0.0833 (")
    assert "fewer errors in 10 images, more in 10, as many in 20" in verdict
    back = comparison.pair(other, first)
    assert back.difference.gain == -pair.difference.gain
    assert [c.index for c in back.better] == [c.index for c in pair.worse]


def test_chance_is_told_from_more_than_that():
    base = scored("base", [map_of(), FINDS] * 20)
    sure = comparison.pair(scored("all", [FINDS] * 40), base)
    assert "(more than chance: with other" in sure.verdict()
    one = comparison.pair(scored("one", [FINDS, FINDS] + [map_of(), FINDS] * 19), base)
    assert "(may be chance: with other" in one.verdict()
    assert "(no image tells them apart)" in comparison.pair(base, base).verdict()
    alone = comparison.pair(scored("a", [FINDS]), scored("b", [map_of()]))
    assert "(one image says nothing about others)" in alone.verdict()


def test_table_and_sizes_for_a_terminal():
    two = [scored("mine", [FINDS, FALSE]), scored("a longer name", [map_of(), FINDS])]
    head, first, second = comparison.write_table(two)
    assert head.split() == list(comparison.COLUMNS) and len(head) == len(first) == len(second)
    assert first.split() == "mine 0.8000 0.6667 1.0000 2 0 1 0 0".split()
    assert second.split()[3:] == "0.6667 1.0000 0.5000 1 1 0 0 0".split()
    lines = list(comparison.write_sizes(two, "Text height in the image"))
    assert lines[0].startswith("Text height in the image: recall")
    assert [line.split() for line in lines[1:]] == ["16 to 24 px 1.000 0.500 of 2 words".split()]
    assert list(comparison.write_sizes([scored("a", [map_of()], ())] * 2, "Text height")) == []


def test_merged_words_are_in_the_table():
    over_two = [map_of((9, 12, 58, 8, 0.9))]
    row = scored("m", over_two, [bar(5, 9, 30, 14), bar(40, 9, 30, 14)]).row()
    assert (row["missed"], row["false"], row["merged"], row["split"]) == (2, 1, 2, 0)


def test_all_numbers_are_json():
    first, other = scored("mine", [FINDS, map_of()]), scored("base", [map_of(), map_of()])
    found = comparison.to_json([comparison.pair(first, other)], [first, other], {"a": 1})
    assert json.loads(json.dumps(found)) == found
    assert found["pairs"][0]["better"] == ["0.png"] and found["weights"][0]["missed"] == 1
