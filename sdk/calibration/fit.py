"""From a table of opinions to a calibration: read, score, choose, describe."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk import __version__
from sdk.calibration.choose import Choice, Labelled, choose, t_value
from sdk.calibration.file import Calibration, SigmaMap, Site
from sdk.calibration.site import SiteLabels, read_site
from sdk.correlation import linear_correlation
from sdk.errors import UsageError
from sdk.io.images import read_image
from sdk.scorer import Scorer

if TYPE_CHECKING:
    from sdk.bundle import Bundle
    from sdk.results import FrameScore

_REVERSED: Final = 4.0  # t of a correlation that nobody meets by chance
_Z90: Final = 1.645  # of a normal distribution, 90 % lie within as many sigma


def calibrate(
    labels: str | os.PathLike[str],
    model: str | os.PathLike[str] | Bundle | None = None,
    *,
    scale: tuple[float, float] | None = None,
    root: str | os.PathLike[str] | None = None,
    backend: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    progress: Callable[[float], object] = lambda _score: None,
) -> Calibration:
    """Fit a model's scores to the opinions of one site.

    Args:
        labels: A CSV file, as `sdk.opinions.read_opinions` takes it: pictures and opinions.
        model: As for `Scorer`.
        scale: (worst, best) opinion; None takes it from the table's header, as in `mos[1:5]`.
        root: Folder that the table's paths are relative to; that of the table by default.
        backend: As for `Scorer`.
        precision: As for `Scorer`.
        threads: As for `Scorer`.
        progress: Told the score of each picture.

    Raises:
        UsageError: Labels that cannot be used: too few, all the same, outside the scale, repeated;
            no scale, or one that is the wrong way round.
        SourceError: A picture is missing or cannot be read.
    """
    table = Path(labels)
    site = read_site(table, scale, Path(root) if root is not None else table.parent)
    with Scorer(
        model, backend=backend, precision=precision, threads=threads, features=True
    ) as scorer:
        scores = []
        for path in site.paths:
            scores.append(scorer.score(read_image(str(path))))
            progress(scores[-1].score)
        labelled = _labelled(scorer.bundle, scores, site)
        _refuse_reversed(labelled, site.described)
        choice = choose(labelled)
        return Calibration(
            model=scorer.model_id,
            digest=scorer.bundle.digest,
            method=choice.method,  # type: ignore[arg-type]
            reason=choice.reason,
            site=site.described,
            intercept=choice.line.intercept,
            slope=choice.line.slope,
            weights=tuple(choice.line.weights.tolist()),
            penalty=choice.line.penalty,
            sigma=_sigma(choice, scores),
            cross_validation={name: asdict(one) for name, one in choice.agreement.items()},
            folds=choice.folds,
            made_with={
                "framescore": __version__,
                "backend": scorer.backend,
                "precision": scorer.precision,
            },
        )


def _labelled(bundle: Bundle, scores: Sequence[FrameScore], site: SiteLabels) -> Labelled:
    low, high = bundle.manifest.score.min, bundle.manifest.score.max
    features = [score.features for score in scores if score.features is not None]
    return Labelled(
        scores=np.array([score.score for score in scores]),
        opinions=low + site.shares * (high - low),
        features=np.stack(features).astype(np.float64) if features else None,
        contents=site.contents,
        limits=(low, high),
    )


def _refuse_reversed(labelled: Labelled, site: Site) -> None:
    """Features would learn a scale that is the wrong way round as well as any other."""
    correlation = linear_correlation(labelled.scores, labelled.opinions)
    if t_value(-correlation, len(labelled.scores)) > _REVERSED:
        raise UsageError(
            f"Opinions fall as scores rise: they correlate by {correlation:.2f} over {site.count} "
            f"pictures on a scale from {site.worst:g} (worst) to {site.best:g} (best).",
            hint=f"Is lower better? Then say --scale {site.best:g}:{site.worst:g}",
        )


def _sigma(choice: Choice, scores: Sequence[FrameScore]) -> SigmaMap | None:
    """Fit sigma to the errors on labels left out: the model's own, scaled, or one for all.

    The likelier of the two under a normal distribution is taken; both have the right mean square.
    """
    if choice.method == "identity":
        return None
    errors = choice.residuals
    common = float(np.sqrt(np.mean(errors**2)))
    own = np.array([score.sigma or 0.0 for score in scores])
    kind, value, spread = "constant", common, np.full_like(errors, common)
    if (own > 0).all() and common > 0:
        factor = float(np.sqrt(np.mean((errors / own) ** 2)))
        if np.log(factor * own).mean() <= np.log(common):
            kind, value, spread = "scaled", factor, factor * own
    covered = float(np.mean(np.abs(errors) <= _Z90 * spread))
    return SigmaMap(kind=kind, value=value, coverage_90=covered)  # type: ignore[arg-type]
