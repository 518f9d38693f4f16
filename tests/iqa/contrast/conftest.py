from __future__ import annotations

from tests.iqa.uncertainty.conftest import photographs

__all__ = ["photographs"]
