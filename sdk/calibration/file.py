"""A calibration as a file: which model it belongs to, what it does to scores, how well it did."""

from __future__ import annotations

import hashlib
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import msgspec
import numpy as np

from sdk.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sdk.bundle import Bundle
    from sdk.manifest import Manifest
    from sdk.postprocess import Quality

SCHEMA_VERSION: Final = 1
MAX_BYTES: Final = 2**22
_SHA256: Final = r"^[0-9a-f]{64}$"
_AGAIN: Final = "Make it again: framescore calibrate labels.csv --scale 1:5"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """The labels that a calibration was fitted to.

    Attributes:
        file: Name of the table.
        sha256: Of its bytes.
        count: How many pictures it rates.
        contents: How many contents they show, where the table says so.
        worst: The opinion that a score of 0 means.
        best: The opinion that a score of 100 means.
    """

    file: str
    sha256: Annotated[str, msgspec.Meta(pattern=_SHA256)]
    count: int
    worst: float
    best: float
    contents: int | None = None


class SigmaMap(msgspec.Struct, frozen=True, kw_only=True):
    """What sigma becomes: the spread of this site's opinions around the calibrated scores.

    Attributes:
        kind: "scaled": the model's sigma times `value`; "constant": `value` points for all.
        value: The factor, or points.
        coverage_90: Share of labels left out that lie within 1.645 sigma of their score.
    """

    kind: Literal["scaled", "constant"]
    value: float
    coverage_90: float


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of a calibration file.

    A calibrated score is intercept + slope · score + weights · features, clipped to the model's
    scale.

    Attributes:
        model: `Bundle.model_id` of the model that it belongs to.
        digest: `Bundle.digest` of that model.
        method: "identity", "affine" or "ridge".
        reason: Why this method.
        site: The labels.
        intercept: In points.
        slope: Points a point of the model's score.
        weights: Points by feature [D]; empty unless the method is "ridge".
        penalty: The ridge's penalty on standardised features.
        sigma: What sigma becomes; None leaves it alone.
        cross_validation: By method `srocc`, `plcc` and `rmse` (points) on labels left out.
        folds: How many groups of labels were left out in turn.
        made_with: Version, backend and precision; for people.
        schema_version: Version of this structure.
    """

    model: str
    digest: Annotated[str, msgspec.Meta(pattern=_SHA256)]
    method: Literal["identity", "affine", "ridge"]
    reason: str
    site: Site
    intercept: float
    slope: float
    cross_validation: dict[str, dict[str, float]]
    folds: int
    weights: tuple[float, ...] = ()
    penalty: float | None = None
    sigma: SigmaMap | None = None
    made_with: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read a calibration file.

        Raises:
            UsageError: It cannot be read, is no calibration, or of a newer framescore.
        """
        name = os.fspath(path)
        try:
            with Path(name).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            version = msgspec.json.decode(data, type=_Header).schema_version
            if version > SCHEMA_VERSION:
                raise UsageError(
                    f"Calibration {name} has schema version {version}; this framescore reads up "
                    f"to {SCHEMA_VERSION}.",
                    hint="Upgrade framescore: pip install --upgrade framescore",
                )
            found = msgspec.json.decode(data, type=cls)
        except OSError as error:
            raise UsageError(
                f"Calibration {name} cannot be read: {error.strerror}.", hint=_AGAIN
            ) from error
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UsageError(f"Calibration {name} cannot be used: {error}.", hint=_AGAIN) from error
        reason = found._contradiction()
        if reason:
            raise UsageError(f"Calibration {name} cannot be used: {reason}.", hint=_AGAIN)
        return found

    def encode(self) -> bytes:
        """Return the file's contents: JSON, equal for equal calibrations."""
        text = json.dumps(msgspec.to_builtins(self), indent=1, ensure_ascii=False, allow_nan=False)
        return text.encode() + b"\n"

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the file; one that is there is replaced.

        Raises:
            SinkError: It cannot be written.
        """
        from sdk.sinks.output import Output

        output = Output(Path(path))
        output.write(self.encode().decode())
        output.close()

    @property
    def id(self) -> str:
        """What tells calibrations apart: the first 12 digits of the sha256 of the file."""
        return hashlib.sha256(self.encode()).hexdigest()[:12]

    def check_model(self, bundle: Bundle) -> None:
        """Make sure that it belongs to a model.

        Raises:
            UsageError: It belongs to another one.
        """
        if self.digest != bundle.digest:
            raise UsageError(
                f"The calibration belongs to {self.model} ({self.digest[:12]}…), not to "
                f"{bundle.model_id}; another model's scores and features mean something else.",
                hint=f"Give the model it was made for, or calibrate this one: framescore calibrate "
                f"labels.csv -m {bundle.path}",
            )
        if self.weights and "features" not in bundle.manifest.outputs:
            raise UsageError(
                f"The calibration weighs features, and {bundle.model_id} has none.", hint=_AGAIN
            )

    def apply(self, quality: Quality, manifest: Manifest) -> Quality:
        """Turn what the model says of a frame into the site's terms.

        Score and mos are mapped, sigma and its causes scaled. Whether the model abstains is left as
        it is: that is its own judgement.

        Raises:
            UsageError: The features are not as many as the calibration weighs.
        """
        if self.method == "identity":
            return quality
        low, high = manifest.score.min, manifest.score.max
        score = self.intercept + self.slope * quality.score + self._weigh(quality.features)
        score = min(max(score, low), high)
        mos = manifest.mos
        sigma = self._spread(quality.sigma)
        ratio = sigma / quality.sigma if sigma is not None and quality.sigma else 1.0
        return quality._replace(
            score=score,
            mos=mos.min + (score - low) / (high - low) * (mos.max - mos.min),
            sigma=sigma,
            uncertainty={name: ratio * part for name, part in quality.uncertainty.items()},
        )

    def _weigh(self, features: NDArray[np.float32] | None) -> float:
        if not self.weights:
            return 0.0
        if features is None or features.size != len(self.weights):
            raise UsageError(
                f"The calibration weighs {len(self.weights)} features; the network gives "
                f"{0 if features is None else features.size}.",
                hint=_AGAIN,
            )
        return float(features.astype(np.float64) @ np.asarray(self.weights))

    def _spread(self, sigma: float | None) -> float | None:
        if self.sigma is None:
            return sigma
        if self.sigma.kind == "constant" or sigma is None:
            return self.sigma.value
        return self.sigma.value * sigma

    def _contradiction(self) -> str:
        """Say what cannot be; empty when all is well."""
        numbers = [self.intercept, self.slope, *self.weights]
        if not all(map(math.isfinite, numbers)):
            return "a coefficient is not finite"
        if bool(self.weights) != (self.method == "ridge"):
            return f"its method is {self.method}, and it has {len(self.weights)} weights"
        if self.sigma is not None and not 0 <= self.sigma.value < math.inf:
            return f"sigma.value is {self.sigma.value:g}; allowed is 0 or more"
        return ""


class _Header(msgspec.Struct):
    schema_version: int


def calibration_for(
    bundle: Bundle, calibration: str | os.PathLike[str] | Calibration | None
) -> Calibration | None:
    """Return a calibration that belongs to a model, from its file if it is not loaded yet.

    Raises:
        UsageError: As `Calibration.load` and `Calibration.check_model`.
    """
    if calibration is None:
        return None
    if not isinstance(calibration, Calibration):
        calibration = Calibration.load(calibration)
    calibration.check_model(bundle)
    return calibration
