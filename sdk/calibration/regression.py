"""The maps from a model's score and features to a site's opinions, fitted in closed form.

CONTRIQUE (Madhusudana et al., TIP 2022) regresses opinions on the features of a frozen network by
ridge. Ours differs (a design choice of this project): the model's own score stays in the regression
without a penalty, features are standardised, and the penalty is chosen on labels left out. With a
strong penalty, as few labels ask for, what remains is a straight line through the score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Folds = Sequence[NDArray[np.intp]]

# Of the mean squared singular value of the standardised features: from hardly any to a line.
PENALTIES: Final = np.logspace(-4, 4, 33)
_FLAT: Final = 1e-9  # a feature that varies less, relative to its size, says nothing
_TINY: Final = 1e-9  # least share of a label's own error that others leave


@dataclass(frozen=True)
class Line:
    """ŷ = intercept + slope · score + weights · features.

    Attributes:
        intercept: In points.
        slope: Points a point of the model's score.
        weights: Points by feature [D]; empty where features play no part.
        penalty: Ridge penalty on the standardised features, None without.
    """

    intercept: float
    slope: float
    weights: Numbers
    penalty: float | None = None

    def predict(self, scores: Numbers, features: Numbers | None) -> Numbers:
        """Map scores [n] and features [n, D] to the site's points [n]."""
        line = self.intercept + self.slope * scores
        return line if features is None or not self.weights.size else line + features @ self.weights


def fit_affine(scores: Numbers, opinions: Numbers) -> Line:
    """Fit opinions [n] = intercept + slope · scores [n] by least squares, slope at least 0."""
    slope = _slope(scores, opinions)
    return Line(float(opinions.mean() - slope * scores.mean()), slope, np.empty(0))


def fit_ridge(scores: Numbers, features: Numbers, opinions: Numbers, folds: Folds) -> Line:
    """Add a ridge on features to the affine map.

    Args:
        scores: The model's scores [n].
        features: Its features [n, D].
        opinions: The opinions in points [n].
        folds: Indices of labels that are left out together; the penalty is the one with the least
            squared error on labels left out. For a fixed penalty that error has a closed form.
    """
    mean, spread = features.mean(axis=0), features.std(axis=0)
    varies = spread > _FLAT * (1 + np.abs(mean))
    spread = np.where(varies, spread, 1.0)
    standard = np.where(varies, (features - mean) / spread, 0.0)  # [n, D]
    base = _base(scores, opinions)  # [n, 1 or 2]
    basis, _ = np.linalg.qr(base)
    rest = opinions - basis @ (basis.T @ opinions)  # what the affine map leaves
    left, values, right = np.linalg.svd(
        standard - basis @ (basis.T @ standard), full_matrices=False
    )
    squares = values**2
    unit = squares.sum() / max(1, np.count_nonzero(squares > _TINY * squares.max(initial=0.0)))
    penalties = PENALTIES * (unit or 1.0)
    errors = [_left_out(basis, left, squares / (squares + p), rest, folds) for p in penalties]
    penalty = float(penalties[_last_least(errors)])
    weights = right.T @ (values / (squares + penalty) * (left.T @ rest))  # [D], standardised
    on_base, *_ = np.linalg.lstsq(base, opinions - standard @ weights, rcond=None)
    weights = weights / spread
    intercept = float(on_base[0] - mean @ np.where(varies, weights, 0.0))
    slope = float(on_base[1]) if base.shape[1] > 1 else 0.0
    return Line(intercept, slope, np.where(varies, weights, 0.0), penalty)


def _slope(scores: Numbers, opinions: Numbers) -> float:
    centred = scores - scores.mean()
    square = float(centred @ centred)
    return max(0.0, float(centred @ opinions) / square) if square > 0 else 0.0


def _base(scores: Numbers, opinions: Numbers) -> Numbers:
    """What is fitted without a penalty: a constant, and the score where it helps."""
    ones = np.ones_like(scores)
    return np.stack([ones, scores] if _slope(scores, opinions) > 0 else [ones], axis=1)


def _left_out(basis: Numbers, left: Numbers, shrink: Numbers, rest: Numbers, folds: Folds) -> float:
    """Sum of squared errors [n] on labels that are left out, fold by fold."""
    residual = rest - left @ (shrink * (left.T @ rest))
    if all(len(fold) == 1 for fold in folds):
        leverage = (basis**2).sum(axis=1) + (left**2) @ shrink
        return float(((residual / np.maximum(1 - leverage, _TINY)) ** 2).sum())
    total = 0.0
    for fold in folds:
        hat = basis[fold] @ basis[fold].T + (left[fold] * shrink) @ left[fold].T
        own = np.eye(len(fold)) * (1 + _TINY) - hat
        total += float((np.linalg.solve(own, residual[fold]) ** 2).sum())
    return total


def _last_least(errors: Sequence[float]) -> int:
    """The strongest penalty among those of the least error."""
    least = min(errors)
    return max(i for i, error in enumerate(errors) if error <= least * (1 + 1e-9))
