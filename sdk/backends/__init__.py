"""Inference backends: one small protocol, one file per runtime, found by name in the registry."""

from __future__ import annotations

from sdk.backends.base import Backend
from sdk.backends.registry import BACKENDS, create_backend

__all__ = ["BACKENDS", "Backend", "create_backend"]
