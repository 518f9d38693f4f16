from __future__ import annotations

from pathlib import Path

import pytest

from sdk.cli.options import check_sampling, parse_output, parse_pool, parse_size
from sdk.errors import UsageError


@pytest.mark.parametrize("text", ["1920x1080", " 1920X1080 ", "1920×1080"])
def test_sizes(text):
    assert parse_size(text) == (1920, 1080)


@pytest.mark.parametrize(
    "text", ["", "1920", "1920x", "x1080", "1920x1080x3", "-1x5", "1e3x5", "0x9"]
)
def test_what_is_no_size(text):
    with pytest.raises(UsageError, match="frame size"):
        parse_size(text)


def test_a_dash_is_standard_output_and_no_file():
    assert parse_output(None) is None
    assert parse_output(Path("-")) is None
    assert parse_output(Path("./x/-")) == Path("x/-")


def test_pool_methods_keep_their_order_and_come_once():
    assert parse_pool("P5, mean,p5") == ("p5", "mean")


@pytest.mark.parametrize("text", ["", "mean,", "mean;p5"])
def test_what_is_no_pool_method(text):
    with pytest.raises(UsageError, match="pooling method"):
        parse_pool(text)


def test_sampling_alone_is_fine():
    check_sampling(None, None)
    check_sampling(3, None)
    check_sampling(None, 0.5)
