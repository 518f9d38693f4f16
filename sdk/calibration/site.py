"""The labels of a site, and whether a calibration can be fitted to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.calibration.file import Site
from sdk.errors import SourceError, UsageError
from sdk.opinions import Opinion, Opinions, read_opinions

if TYPE_CHECKING:
    from sdk.calibration.regression import Numbers

MIN_LABELS: Final = 10
MIN_CONTENTS: Final = 5
_NAMED: Final = 3  # pictures that a message lists


@dataclass(frozen=True)
class SiteLabels:
    """Labels that passed every check, with the pictures they rate.

    Attributes:
        paths: The pictures.
        shares: Opinions from 0 (worst) to 1 (best) [n].
        contents: What each picture shows, or None.
        described: What the calibration file says about them.
    """

    paths: Sequence[Path]
    shares: Numbers
    contents: Sequence[str] | None
    described: Site


def read_site(table: Path, scale: tuple[float, float] | None, root: Path) -> SiteLabels:
    """Read the labels of a site and make sure that they can be fitted to.

    Raises:
        UsageError: See `calibrate`.
        SourceError: A picture is missing.
    """
    opinions = read_opinions(table)
    worst, best = _scale(table, opinions, scale)
    rows = opinions.rows
    if len(rows) < MIN_LABELS:
        raise UsageError(
            f"Labels {table} rate {len(rows)} pictures; a calibration needs at least {MIN_LABELS}.",
            hint="Rate more pictures of the site: a few dozen, good and bad ones.",
        )
    for row in rows:
        if not min(worst, best) <= row.value <= max(worst, best):
            raise UsageError(
                f"Labels {table}, line {row.line}: the opinion is {row.value:g}; the scale runs "
                f"from {worst:g} (worst) to {best:g} (best).",
                hint="Correct the opinion, or say the scale: --scale WORST:BEST",
            )
    values = np.array([row.value for row in rows])
    if np.ptp(values) == 0:
        raise UsageError(
            f"Labels {table}: all {len(rows)} opinions are {values[0]:g}; there is nothing to fit.",
            hint="Rate pictures of different quality.",
        )
    contents = _contents(table, rows)
    paths = _find(table, rows, root)
    _refuse_copies(table, paths, rows)
    described = Site(
        file=table.name,
        sha256=hashlib.sha256(table.read_bytes()).hexdigest(),
        count=len(rows),
        contents=None if contents is None else len(set(contents)),
        worst=worst,
        best=best,
    )
    return SiteLabels(paths, (values - worst) / (best - worst), contents, described)


def _scale(
    table: Path, opinions: Opinions, scale: tuple[float, float] | None
) -> tuple[float, float]:
    found = scale or opinions.scale
    if found is None:
        raise UsageError(
            f"Labels {table} do not say the scale of their opinions.",
            hint="Give it as --scale WORST:BEST, for example --scale 1:5, or in the header: "
            "picture,mos[1:5]",
        )
    worst, best = found
    if not (np.isfinite([worst, best]).all() and worst != best):
        raise UsageError(f"The scale runs from {worst} to {best}; allowed are two finite numbers.")
    return float(worst), float(best)


def _contents(table: Path, rows: Sequence[Opinion]) -> list[str] | None:
    names = [row.content for row in rows]
    if not any(names):
        return None
    for row in rows:
        if not row.content:
            raise UsageError(
                f"Labels {table}, line {row.line}: {row.picture!r} has no content, others do.",
                hint="Fill in the column, or leave it out.",
            )
    if len(set(names)) < MIN_CONTENTS:
        raise UsageError(
            f"Labels {table} show {len(set(names))} contents; a calibration needs at least "
            f"{MIN_CONTENTS}, because those of one content are left out together.",
            hint="Rate pictures of more scenes.",
        )
    return names


def _find(table: Path, rows: Sequence[Opinion], root: Path) -> list[Path]:
    paths = [root / row.picture for row in rows]
    missing = [row.picture for row, path in zip(rows, paths, strict=True) if not path.is_file()]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise SourceError(
            f"{len(missing)} of {len(rows)} pictures of {table} are not in {root}: "
            f"{', '.join(map(repr, missing[:_NAMED]))}{more}.",
            hint="Give the folder that the table's paths start from: --root DIR",
        )
    return paths


def _refuse_copies(table: Path, paths: Sequence[Path], rows: Sequence[Opinion]) -> None:
    """A copy among the labels left out would be no test of the others."""
    seen: dict[str, Opinion] = {}
    for path, row in zip(paths, rows, strict=True):
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.") from error
        first = seen.setdefault(digest, row)
        if first is not row:
            raise UsageError(
                f"Labels {table}, line {row.line}: {row.picture!r} is the same picture as "
                f"{first.picture!r} in line {first.line}.",
                hint="Give each picture one opinion: the mean of all who judged it.",
            )
