"""The curves that map predictions to opinions before linear figures are taken.

Four parameters: ITU-T J.149 and the LIVE protocol; five: VQEG's FR-TV phase II report and Sheikh et
al., "A Statistical Evaluation of Recent Full Reference Image Quality Assessment Algorithms" (2006).
Both fitted by Levenberg-Marquardt on standardised predictions, which changes nothing of the curve
and lets scales of 1 to 5 and of 1,500 Elo points start equally well.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
MAX_EVALUATIONS: Final = 5_000
TOLERANCE: Final = 1e-6  # of the sum of squares: what moves a PLCC in its seventh digit is no gain
SLOPES: Final = (4.0, 2.0, 1.0)  # starts, the usual one first: nearly straight data want less
GRID: Final = 256


@dataclass(frozen=True, slots=True)
class Fit:
    """A fitted curve, or the reason why there is none.

    Attributes:
        parameters: β1 … β4 or β5 in the units of the predictions; empty without convergence.
        kind: 4 or 5.
        failure: Why linear figures are raw; empty if the fit converged.
        monotone: Whether the curve never turns over the range of the predictions. Five
            parameters may turn, and a curve that turns flatters a model.
    """

    parameters: tuple[float, ...]
    kind: int
    failure: str = ""
    monotone: bool = True

    @property
    def converged(self) -> bool:
        """Whether there is a curve."""
        return not self.failure

    def __call__(self, predictions: Vector) -> Vector:
        """Map predictions to opinions; without convergence they stay as they are."""
        return CURVES[self.kind](predictions, *self.parameters) if self.converged else predictions


def four(p: Vector, b1: float, b2: float, b3: float, b4: float) -> Vector:
    """(β1 - β2) / (1 + exp(-(p - β3) / |β4|)) + β2."""
    return (b1 - b2) * _sigmoid((p - b3) / max(abs(b4), 1e-12)) + b2


def five(p: Vector, b1: float, b2: float, b3: float, b4: float, b5: float) -> Vector:
    """β1 (1/2 - 1 / (1 + exp(β2 (p - β3)))) + β4 p + β5."""
    return b1 * (_sigmoid(b2 * (p - b3)) - 0.5) + b4 * p + b5


CURVES: Final[dict[int, Callable[..., Vector]]] = {4: four, 5: five}


def _sigmoid(x: Vector) -> Vector:
    from scipy.special import expit  # never overflows

    return np.asarray(expit(x), np.float64)


def fit_logistic(predictions: Vector, opinions: Vector, kind: int) -> Fit:
    """Fit a curve.

    Args:
        predictions: ``[n]``, finite.
        opinions: ``[n]``, finite.
        kind: 4 or 5 parameters.
    """
    centre, spread = float(predictions.mean()), float(predictions.std())
    if len(predictions) <= kind:
        return Fit((), kind, f"{len(predictions)} pictures are too few for {kind} parameters")
    if not spread or not np.ptp(opinions):
        return Fit((), kind, "predictions or opinions are constant")
    found = _solve((predictions - centre) / spread, opinions, kind)
    if found is None:
        return Fit((), kind, f"the {kind}-parameter fit did not converge")
    parameters = _in_units(found, centre, spread, kind)
    fit = Fit(parameters, kind, monotone=_is_monotone(parameters, predictions, kind))
    if not np.isfinite(fit(predictions)).all():
        return Fit((), kind, f"the {kind}-parameter fit left the range of numbers")
    return fit


def _solve(x: Vector, opinions: Vector, kind: int) -> Vector | None:
    """Least squares on standardised predictions, from one start after another."""
    from scipy.optimize import OptimizeWarning, curve_fit

    for slope in SLOPES:
        start = _start(x, opinions, kind, slope)
        try:
            with np.errstate(all="ignore"), warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)  # the covariance is not used
                found, _ = curve_fit(
                    CURVES[kind], x, opinions, start,
                    maxfev=MAX_EVALUATIONS, ftol=TOLERANCE, xtol=TOLERANCE,
                )  # fmt: skip
        except RuntimeError:  # too many evaluations
            continue
        return np.asarray(found, np.float64)
    return None


def _start(x: Vector, opinions: Vector, kind: int, slope: float) -> list[float]:
    """From the lowest to the highest opinion, with the middle at the mean prediction."""
    high, low = float(opinions.max()), float(opinions.min())
    if np.corrcoef(x, opinions)[0, 1] < 0:
        high, low = low, high
    if kind == 4:
        return [high, low, 0.0, 1 / slope]
    return [high - low, slope, 0.0, 0.0, float(opinions.mean())]


def _in_units(found: Vector, centre: float, spread: float, kind: int) -> tuple[float, ...]:
    """Parameters for predictions as they are, from those for (p - centre) / spread."""
    b = [float(value) for value in found]
    if kind == 4:
        return (b[0], b[1], centre + spread * b[2], spread * abs(b[3]))
    return (
        b[0],
        b[1] / spread,
        centre + spread * b[2],
        b[3] / spread,
        b[4] - b[3] * centre / spread,
    )


def _is_monotone(parameters: tuple[float, ...], predictions: Vector, kind: int) -> bool:
    grid = np.linspace(predictions.min(), predictions.max(), GRID)
    steps = np.diff(CURVES[kind](grid, *parameters))
    tolerance = 1e-9 * float(np.abs(steps).max(initial=0))
    return bool((steps >= -tolerance).all() or (steps <= tolerance).all())
