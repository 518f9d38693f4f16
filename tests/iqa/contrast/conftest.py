from __future__ import annotations

from tests.iqa.second_stage.conftest import photographs

__all__ = ["photographs"]
