"""Which map a site's labels support, judged on labels that each fit has not seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from sdk.calibration.regression import Line, fit_affine, fit_ridge
from sdk.correlation import linear_correlation, rank_correlation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sdk.calibration.regression import Folds, Numbers

METHODS: Final = ("identity", "affine", "ridge")  # from the simplest
MAX_FOLDS: Final = 200  # one for each label up to here
RIDGE_LABELS: Final = 20  # with fewer, labels left out say too little of other pictures
RIDGE_FOLDS: Final = 10
_CERTAIN: Final = 2.0  # t of a correlation that labels without relation exceed once in forty
_ERRORS: Final = 1.64  # standard errors by which squared errors must fall: once in twenty by chance
_SHARED: Final = "error on labels left out"


@dataclass(frozen=True)
class Labelled:
    """What a model says of the labelled pictures, and what people say.

    Attributes:
        scores: The model's scores [n].
        opinions: The opinions on the same scale, in points [n].
        features: Its features [n, D], or None.
        contents: What each picture shows [n], or None; pictures of one content are left out
            together.
        limits: Lowest and highest score that the model gives.
    """

    scores: Numbers
    opinions: Numbers
    features: Numbers | None = None
    contents: Sequence[str] | None = None
    limits: tuple[float, float] = (0.0, 100.0)

    def of(self, chosen: np.ndarray) -> Labelled:
        """Those of some indices."""
        return Labelled(
            self.scores[chosen],
            self.opinions[chosen],
            None if self.features is None else self.features[chosen],
            None if self.contents is None else [self.contents[i] for i in chosen],
            self.limits,
        )


@dataclass(frozen=True)
class Agreement:
    """How well scores agree with opinions; the correlations on ranks and values, and points."""

    srocc: float
    plcc: float
    rmse: float


@dataclass(frozen=True)
class Choice:
    """What was chosen, and why.

    Attributes:
        method: One of `METHODS`.
        reason: Why, in words.
        line: The map, fitted on all labels.
        agreement: By method, on labels left out.
        residuals: Opinion minus the chosen map's score for labels left out, in points [n].
        folds: How many groups of labels were left out in turn.
    """

    method: str
    reason: str
    line: Line
    agreement: Mapping[str, Agreement]
    residuals: Numbers
    folds: int


def choose(labelled: Labelled) -> Choice:
    """Take the simplest map that no other beats by more than chance.

    Every label is predicted by maps fitted without it (nested: their penalty is chosen without it,
    too). A map replaces a simpler one if what it predicts correlates with the labels beyond chance,
    its squared error is lower beyond chance, and its ranks are no worse than the model's own. Where
    contents are known, it is them that count as independent. Rules of ours, not CONTRIQUE's.
    """
    folds = make_folds(len(labelled.scores), labelled.contents)
    no_ridge = _no_ridge(labelled, folds)
    candidates = METHODS[:2] if no_ridge else METHODS
    predictions = {name: _predict_left_out(name, labelled, folds) for name in candidates}
    agreement = {name: _agreement(name, p, labelled) for name, p in predictions.items()}
    method, reasons = "identity", []
    for name in candidates[1:]:
        obstacle = _obstacle(name, method, predictions, agreement, labelled, folds)
        if obstacle:
            reasons.append(f"not {name}: {obstacle}")
            continue
        reasons.append(
            f"{name}: its {_SHARED}, {agreement[name].rmse:.1f} points, is below that of "
            f"{method}, {agreement[method].rmse:.1f}, beyond chance"
        )
        method = name
    if no_ridge:
        reasons.append(f"no ridge: {no_ridge}")
    return Choice(
        method,
        "; ".join(reasons),
        _fit(method, labelled, folds),
        agreement,
        labelled.opinions - predictions[method],
        len(folds),
    )


def make_folds(count: int, contents: Sequence[str] | None) -> Folds:
    """Split labels 0 to `count` - 1 into groups that are left out together, at most `MAX_FOLDS`."""
    if contents is None:
        member = np.random.default_rng(0).permutation(count) % MAX_FOLDS
    else:
        names = {name: index for index, name in enumerate(dict.fromkeys(contents))}
        member = np.array([names[name] % MAX_FOLDS for name in contents])
    return [np.flatnonzero(member == fold) for fold in np.unique(member)]


def _no_ridge(labelled: Labelled, folds: Folds) -> str:
    """Say why the ridge is no candidate; empty where it is one."""
    count = len(labelled.scores)
    if labelled.features is None:
        return "the model has no features"
    if count < RIDGE_LABELS or len(folds) < RIDGE_FOLDS:
        of = "" if labelled.contents is None else f" of {len(folds)} contents"
        return f"it needs {RIDGE_LABELS} labels of {RIDGE_FOLDS} contents, there are {count}{of}"
    return ""


def _fit(method: str, labelled: Labelled, folds: Folds) -> Line:
    if method == "identity":
        return Line(0.0, 1.0, np.empty(0))
    if method == "affine" or labelled.features is None:
        return fit_affine(labelled.scores, labelled.opinions)
    return fit_ridge(labelled.scores, labelled.features, labelled.opinions, folds)


def _predict_left_out(method: str, labelled: Labelled, folds: Folds) -> Numbers:
    """Predict each label [n] by a map fitted without its fold, clipped as scores are."""
    predicted = np.empty(len(labelled.scores))
    for number, fold in enumerate(folds):
        others = np.concatenate([*folds[:number], *folds[number + 1 :]])
        place = np.argsort(others)  # where each label of the rest stands in it
        rest = labelled.of(others[place])
        seat = np.empty(len(labelled.scores), np.intp)
        seat[others[place]] = np.arange(len(others))
        inner = [seat[other] for i, other in enumerate(folds) if i != number]
        line = _fit(method, rest, inner)
        own = labelled.of(fold)
        predicted[fold] = line.predict(own.scores, own.features)
    return predicted if method == "identity" else np.clip(predicted, *labelled.limits)


def _agreement(method: str, predicted: Numbers, labelled: Labelled) -> Agreement:
    # A rising line changes no rank and no linear correlation; pooled over maps of many folds,
    # which differ a little, it would seem to.
    compared = labelled.scores if method == "affine" else predicted
    return Agreement(
        rank_correlation(compared, labelled.opinions),
        linear_correlation(compared, labelled.opinions),
        float(np.sqrt(np.mean((labelled.opinions - predicted) ** 2))),
    )


def _obstacle(
    name: str,
    simpler: str,
    predictions: Mapping[str, Numbers],
    agreement: Mapping[str, Agreement],
    labelled: Labelled,
    folds: Folds,
) -> str:
    """Say what speaks against a map; empty when nothing does."""
    # The line alone is judged by the score itself: it correlates as that does.
    judged = labelled.scores if name == "affine" else predictions[name]
    correlation = linear_correlation(judged, labelled.opinions)
    if t_value(correlation, len(folds)) < _CERTAIN:
        return f"its scores of labels left out correlate with them by {correlation:.2f}, by chance"
    squares = {key: (labelled.opinions - predictions[key]) ** 2 for key in (name, simpler)}
    gain = squares[simpler] - squares[name]
    if not gain.mean() > _ERRORS * _standard_error(gain, folds):
        return (
            f"its {_SHARED}, {agreement[name].rmse:.1f} points, is not below that of {simpler}, "
            f"{agreement[simpler].rmse:.1f}, beyond chance"
        )
    if agreement[name].srocc < agreement["identity"].srocc:
        return (
            f"it ranks labels left out worse (SROCC {agreement[name].srocc:.3f}) than the model "
            f"alone ({agreement['identity'].srocc:.3f})"
        )
    return ""


def _standard_error(values: Numbers, folds: Folds) -> float:
    """Of the mean of values [n] of which those of a fold belong together (clustered)."""
    sums = np.array([(values[fold] - values.mean()).sum() for fold in folds])
    return float(np.sqrt((sums**2).sum() * len(folds) / (len(folds) - 1))) / len(values)


def t_value(correlation: float, count: int) -> float:
    """Student's t of a correlation over `count` values; 0 for one that is negative."""
    if correlation >= 1:
        return math.inf
    return correlation * math.sqrt((count - 2) / (1 - correlation**2)) if correlation > 0 else 0.0
