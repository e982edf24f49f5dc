"""Every epoch has its own order, with the requested share of each source."""

import numpy as np
import pytest

from ppocr_jax.data.order import EpochOrder, samples_per_epoch, steps_per_epoch
from ppocr_jax.errors import UserError


def test_steps_per_epoch():
    assert steps_per_epoch(10, 4, "fill") == 3 and steps_per_epoch(10, 4, "drop") == 2
    assert steps_per_epoch(8, 4, "fill") == 2


def test_ratios_draw_shares_anew_each_epoch():
    order = EpochOrder([10, 4], (0.5, 2.25), 0)
    assert order.length == samples_per_epoch([10, 4], (0.5, 2.25)) == 5 + 9
    epochs = [order.order(epoch) for epoch in range(20)]
    for rows in epochs:
        records = rows[:, 0]
        assert (records < 10).sum() == 5 and len(set(records[records < 10])) == 5
        assert sorted(np.bincount(records[records >= 10] - 10)) in ([2, 2, 2, 3],)
        assert len({tuple(row) for row in rows}) == 14  # copies have numbers of their own
    assert len({tuple(sorted(r[:, 0][r[:, 0] < 10])) for r in epochs}) > 10
    np.testing.assert_array_equal(order.order(3), EpochOrder([10, 4], (0.5, 2.25), 0).order(3))
    with pytest.raises(UserError, match=r"data\.ratios"):
        EpochOrder([10, 4], (0.5, 1.0, 1.0), 0)
