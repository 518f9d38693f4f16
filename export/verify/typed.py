"""A graph run as its types say: the rounding that CPU runtimes skip is done.

ONNX Runtime and OpenVINO compute fp16 graphs in FP32 on most CPUs and drop the rounding between two
such layers, with every optimisation off too. An overflow that ruins a score on a GPU is then
invisible; here it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import onnx

from export.mixed_precision import emulate
from export.reference import open_session
from sdk.backends.base import first_line
from sdk.errors import BackendError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from export.reference import Inputs

TYPED: Final = "typed"  # the name among the backends


class TypedBackend:
    """A graph on ONNX Runtime, one thread, every fp16 and bf16 tensor rounded to its type.

    Args:
        graph: The ONNX file.
        precision: What to call it.

    Raises:
        BackendError: ONNX Runtime is not installed, or cannot load the graph.
    """

    name = TYPED
    device = "CPU"
    lanes = 1

    def __init__(self, graph: bytes, precision: str) -> None:
        self.precision = precision
        typed = emulate(onnx.load_model_from_string(graph))
        try:  # unfused: an int8 kernel would be another arithmetic than the graph's
            self._session = open_session(typed.SerializeToString(), optimise=False)
        except BackendError:
            raise
        except Exception as error:  # the runtime's exceptions have no common base but this
            raise BackendError(f"ONNX Runtime cannot load it: {first_line(error)}.") from error
        self._names = [output.name for output in self._session.get_outputs()]

    def infer(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """Run one frame; see `sdk.backends.base.Backend`."""
        values = self._session.run(self._names, dict(inputs))
        return {name: value.ravel() for name, value in zip(self._names, values, strict=True)}

    def close(self) -> None:
        """Nothing is held that needs closing."""
