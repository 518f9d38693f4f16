"""What is refused, and how it is said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sdk.calibration.site import MIN_LABELS, read_site
from sdk.errors import SourceError, UsageError

from .conftest import SyntheticSite

SCALE = (1.0, 5.0)


def read(table: Path, scale: tuple[float, float] | None = SCALE) -> object:
    return read_site(table, scale, table.parent)


def test_opinions_become_shares_of_the_scale(site: SyntheticSite) -> None:
    found = read_site(site.table(), SCALE, site.folder)
    np.testing.assert_allclose(found.shares, (site.opinions - 1) / 4)
    assert [path.name for path in found.paths] == site.names
    assert (found.described.count, found.described.worst, found.described.best) == (60, 1, 5)
    assert found.contents is None


def test_lower_may_be_better(site: SyntheticSite) -> None:
    found = read_site(site.table(), (5.0, 1.0), site.folder)
    np.testing.assert_allclose(found.shares, (5 - site.opinions) / 4)


def test_scale_in_the_header(site: SyntheticSite) -> None:
    table = site.table()
    table.write_text(table.read_text().replace("mos", "MOS [1:5]", 1))
    assert read_site(table, None, site.folder).described.best == 5
    assert read_site(table, (0.0, 10.0), site.folder).described.best == 10  # what is said counts


def test_no_scale(site: SyntheticSite) -> None:
    with pytest.raises(UsageError, match="do not say the scale") as caught:
        read(site.table(), None)
    assert "--scale 1:5" in caught.value.hint
    assert "mos[1:5]" in caught.value.hint


def test_too_few(make_site: Callable[..., SyntheticSite]) -> None:
    table = make_site(MIN_LABELS - 1).table()
    with pytest.raises(UsageError, match=r"rate 9 pictures; .* at least 10") as caught:
        read(table)
    assert "few dozen" in caught.value.hint


def test_all_the_same(site: SyntheticSite) -> None:
    with pytest.raises(UsageError, match="all 60 opinions are 3; there is nothing to fit"):
        read(site.table(opinions=[3] * 60))


def test_outside_the_scale(site: SyntheticSite) -> None:
    opinions = site.opinions.tolist()
    opinions[4] = 71
    with pytest.raises(UsageError, match=r"line 6: the opinion is 71; .* 1 \(worst\) to 5"):
        read(site.table(opinions=opinions))


@pytest.mark.parametrize("value", ["nan", "inf", "good", ""])
def test_not_a_number(site: SyntheticSite, value: str) -> None:
    table = site.table()
    lines = table.read_text().splitlines()
    lines[3] = f"{site.names[2]},{value}"
    table.write_text("\n".join(lines))
    with pytest.raises(UsageError, match=f"line 4: the opinion is '{value}'; it must be a number"):
        read(table)


def test_missing_pictures_are_counted_and_named(site: SyntheticSite) -> None:
    for name in site.names[10:15]:
        (site.folder / name).unlink()
    with pytest.raises(SourceError, match=r"5 of 60 .* '010.png', '011.png', '012.png' and 2 m"):
        read(site.table())
    with pytest.raises(SourceError) as caught:
        read_site(site.table(), SCALE, site.folder / "elsewhere")
    assert "--root DIR" in caught.value.hint


def test_a_picture_rated_twice(site: SyntheticSite) -> None:
    table = site.table()
    with table.open("a") as file:
        file.write(f"{site.names[0]},2\n")
    with pytest.raises(UsageError, match=r"line 62: '000.png' comes twice; it stands in line 2"):
        read(table)


def test_a_copy_under_another_name(site: SyntheticSite) -> None:
    shutil.copy(site.folder / site.names[0], site.folder / site.names[7])
    with pytest.raises(UsageError, match=r"line 9: '007.png' is the same picture as '000.png'"):
        read(site.table())


def test_contents(site: SyntheticSite) -> None:
    found = read_site(site.table(scene="abcdefghijkl" * 5), SCALE, site.folder)
    assert found.described.contents == 12
    with pytest.raises(UsageError, match="show 4 contents; a calibration needs at least 5"):
        read(site.table(scene="abcd" * 15))
    with pytest.raises(UsageError, match=r"line 3: '001.png' has no content, others do"):
        read(site.table(scene="a bcdefghijk" * 5))
