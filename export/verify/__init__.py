"""Whether a bundle scores as its original does, in every precision on every backend."""

from __future__ import annotations

from export.verify.comparing import Original, verify_bundle
from export.verify.report import Outcome, VerifyReport

__all__ = ["Original", "Outcome", "VerifyReport", "verify_bundle"]
