"""What quantisation leaves of the process that it runs in."""

import logging

import pytest

from ppocr_jax.shipping.quantize import _only_errors


def test_the_root_logger_keeps_its_level():
    root = logging.getLogger()
    before = root.level
    with pytest.raises(OSError), _only_errors():
        assert root.level == logging.ERROR
        raise OSError("the disk is full")
    assert root.level == before
