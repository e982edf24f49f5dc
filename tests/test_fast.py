"""The subset for every few minutes of work."""

import pytest
from fast import FAST, TESTS, is_fast


@pytest.mark.parametrize("place", FAST)
def test_what_is_named_is_there(place):
    assert (TESTS / place).exists()


def test_a_test_knows_whether_it_is_fast(request):
    fast = {item for item in request.session.items if item.get_closest_marker("fast")}
    assert request.node in fast and fast == {i for i in request.session.items if is_fast(i)}
    assert not any(item.get_closest_marker("long") for item in fast)
