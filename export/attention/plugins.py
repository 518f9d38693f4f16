"""The two forms of our attention kernel as nodes of a graph, and what the kernel takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import onnx
from onnx import TensorProto, helper

DOMAIN: Final = "framescore"
HEAD_DIMS: Final = (32, 48, 64, 96, 128)
MAX_TOKENS: Final = 4096
MAX_WIDTH: Final = 65536  # heads * head_dim
KINDS: Final = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


@dataclass(frozen=True, slots=True)
class PluginForm:
    """A plugin as TensorRT's ONNX parser finds it.

    Attributes:
        operator: The node's operator, which must equal the plugin's name.
        attributes: What leads the parser to it.
        takes_bias: Whether it has an additive bias as second input.
    """

    operator: str
    attributes: Mapping[str, str | int]
    takes_bias: bool

    def node(
        self, inputs: list[str], output: str, *, name: str, heads: int, scale: float
    ) -> onnx.NodeProto:
        """Make the node of one attention.

        Args:
            inputs: qkv [batch, tokens, 3 * heads * head_dim], and maybe bias [heads, tokens, even].
            output: Gets [batch, tokens, heads * head_dim].
            name: The node's name.
            heads: Attention heads.
            scale: Of the scores before the softmax.
        """
        node = helper.make_node(self.operator, inputs, [output], name=name, domain=DOMAIN)
        settings = {"heads": heads, "scale": scale, **self.attributes}
        node.attribute.extend(helper.make_attribute(*setting) for setting in settings.items())
        return node


_PLACE: Final = {"plugin_namespace": "framescore", "plugin_version": "1"}
LIBRARY: Final = PluginForm("FramescoreAttention", _PLACE, takes_bias=True)
"""IPluginV3 of kernels/plugin, from a library."""
AHEAD: Final = PluginForm("attention", {**_PLACE, "aot": 1}, takes_bias=False)
"""Ahead-of-time quick plugin of export/attention_plugin.py, PTX in the plan."""
