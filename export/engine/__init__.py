"""Engines: networks compiled for a GPU by TensorRT or TensorRT-RTX, without torch or onnx."""

from export.engine.make import build, build_graph
from export.engine.options import Options
from export.engine.plan import Engine

__all__ = ["Engine", "Options", "build", "build_graph"]
