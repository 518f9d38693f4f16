"""Attention subgraphs become one node each: our kernel, as a plugin of TensorRT."""

from export.attention.plugins import AHEAD, LIBRARY, PluginForm
from export.attention.rewrite import Block, Rewritten, rewrite_attention

__all__ = ["AHEAD", "LIBRARY", "Block", "PluginForm", "Rewritten", "rewrite_attention"]
