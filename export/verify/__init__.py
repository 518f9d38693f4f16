"""Whether a bundle scores as its original does, in every precision on every backend."""

from __future__ import annotations

from export.verify.bisect import bisect_worst, find_first_divergence
from export.verify.comparing import verify_bundle
from export.verify.report import Outcome, VerifyReport

__all__ = ["Outcome", "VerifyReport", "bisect_worst", "find_first_divergence", "verify_bundle"]
