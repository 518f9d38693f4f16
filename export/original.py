"""A model as it was before export: graphs are made from it, scores are compared with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import onnx

    from export.reference import Inputs, Outputs
    from sdk.views import View


class Original(Protocol):
    """What a bundle is made from.

    Attributes:
        name: How messages call it.
        views: What it takes, by the name of the graph's input.
        outputs: What its graph returns, in order.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def views(self) -> Mapping[str, View]: ...  # noqa: D102
    @property
    def outputs(self) -> tuple[str, ...]: ...  # noqa: D102

    def graph(self, profile: str = "compat", *, dynamic_batch: bool = False) -> onnx.ModelProto:
        """Make the canonical graph: FP32, uint8 [N, H, W, 3] in, `score` on 0 to 100 out.

        Args:
            profile: A key of `export.graph.OPSETS`.
            dynamic_batch: Leave the first dimension of inputs and outputs free.

        Raises:
            UsageError: The model cannot be exported; the message says why.
        """

    def run(self, inputs: Inputs) -> Outputs:
        """Compute one frame as the original does, without the graph."""
