"""The CUDA kernels on arrays of any framework: raw pointers and a stream, by ctypes.

ctypes rather than an extension module: the library has a C ABI anyway, for programs in other
languages; it needs nothing of Python to build; and what a call costs here is paid once where
launches are captured in a graph. No framework is linked or imported: arrays of torch, CuPy, Numba
and PyCUDA come in by DLPack or `__cuda_array_interface__` (see `sdk._device_array`).

Calls are asynchronous: keep the arrays alive until the stream has passed.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._device_array import DeviceArray, device_array, device_name
from ._device_frame import device_frame
from ._kernel_abi import (
    CUDA_REFUSED,
    HALF_TYPES,
    ROW_TYPES,
    VIEW_KINDS,
    AttentionShape,
    ChannelAttentionShape,
    ChannelAttentionTensors,
    Int8AttentionShape,
    LayerNormShape,
    LayerNormTensors,
    QuantizedQk,
    ViewOutput,
    default_path,
    load,
)
from .errors import BackendError, FrameError, UsageError
from .frames import ColorSpec, PixelFormat

if TYPE_CHECKING:
    from .views import View

MAX_VIEWS = 8


class Kernels:
    """The kernels' library, loaded.

    Args:
        path: The library; None takes what the environment variable FRAMESCORE_KERNELS names, or
            the one beside this file.

    Raises:
        BackendError: There is none, or it cannot be loaded. A GPU is needed for calls only.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._library = load(path or default_path())
        self._memory = int(self._library.framescore_memory())

    def gather_views(
        self,
        data: object,
        pixel_format: PixelFormat,
        color: ColorSpec,
        views: Sequence[View],
        outs: Sequence[object],
        stream: int = 0,
    ) -> None:
        """Gather all views of a frame in one launch; equal to `View.apply` bit for bit.

        Args:
            data: uint8, shaped like `Frame.data` of that format. Rows may be padded.
            pixel_format: Layout of `data`.
            color: Meaning of Y'CbCr samples.
            views: 1 to 8 views.
            outs: For each view a packed uint8 array of `View.shape`.
            stream: CUDA stream, as torch's `stream.cuda_stream`.

        Raises:
            FrameError: An array of another type, shape or place, or a frame too small for a view.
            BackendError: CUDA refused.
        """
        frame = device_frame(self._array(data, "frame"), pixel_format, color)
        if len(views) != len(outs) or not 1 <= len(views) <= MAX_VIEWS:
            raise UsageError(
                f"There are {len(views)} views and {len(outs)} outputs; allowed are 1 to "
                f"{MAX_VIEWS} of each, and as many."
            )
        targets = (ViewOutput * len(views))()
        for number, (view, out) in enumerate(zip(views, outs, strict=True)):
            array = self._packed(out, f"output of {view.spec}", view.shape, ("uint8",))
            kind = VIEW_KINDS.index(view.kind)
            targets[number] = ViewOutput(kind, view.rows, view.columns, view.size, array.pointer)
        self._call("gather_views", frame, targets, len(views), stream)

    def residual_layer_norm(
        self,
        rows: object,
        gamma: object,
        beta: object,
        out: object,
        *,
        residual: object | None = None,
        total: object | None = None,
        epsilon: float = 1e-5,
        stream: int = 0,
    ) -> None:
        """Add a residual and normalise each row, in one pass with float32 statistics.

        Args:
            rows: [..., width] float16, bfloat16 or float32, packed; width up to 1024.
            gamma: [width] of the same type.
            beta: [width] of the same type.
            out: As `rows`: (s - mean(s)) / sqrt(var(s) + epsilon) * gamma + beta.
            residual: As `rows`; s = rows + residual. None: s = rows.
            total: As `rows`: s, for the next residual. May be `residual` itself.
            epsilon: Added to the variance.
            stream: CUDA stream.

        Raises:
            FrameError: Arrays that do not fit each other, or of another type or place.
            BackendError: CUDA refused.
        """
        given = self._array(rows, "rows")
        if given.dtype not in ROW_TYPES or not given.shape:
            raise FrameError(
                f"Rows are {given.dtype} {list(given.shape)}; allowed are arrays of "
                f"{', '.join(ROW_TYPES)} with an axis."
            )
        width, dtype = given.shape[-1], (given.dtype,)

        def pointer(array: object | None, what: str, shape: tuple[int, ...]) -> int | None:
            return None if array is None else self._packed(array, what, shape, dtype).pointer

        tensors = LayerNormTensors(
            pointer(rows, "rows", given.shape),
            pointer(residual, "residual", given.shape),
            pointer(gamma, "gamma", (width,)),
            pointer(beta, "beta", (width,)),
            pointer(total, "total", given.shape),
            pointer(out, "out", given.shape),
        )
        count = math.prod(given.shape[:-1])
        shape = LayerNormShape(count, width, ROW_TYPES.index(given.dtype), epsilon)
        self._call("residual_layer_norm", shape, tensors, stream)

    def attention(
        self,
        qkv: object,
        out: object,
        *,
        scale: float | None = None,
        bias: object | None = None,
        mask: object | None = None,
        tile: int = 0,
        stream: int = 0,
    ) -> None:
        """Multi-head attention from packed QKV, as `framescore/kernels/attention.h` has it.

        Args:
            qkv: [batch, tokens, 3, heads, head_dim] float16 or bfloat16, packed.
            out: [batch, tokens, heads, head_dim] of the same type, packed.
            scale: Of the scores; None is 1 / sqrt(head_dim).
            bias: [heads, tokens, stride] of the same type, packed, stride even; added to scores.
            mask: [batch, stride] uint8, packed; nonzero for keys to attend to.
            tile: Number of an `AttentionTile`; 0 chooses by device and shape.
            stream: CUDA stream.

        Raises:
            FrameError: Arrays that do not fit each other, or of another type or place.
            BackendError: A size or tile that the kernels do not have, or CUDA refused.
        """
        packed = self._packed_qkv(qkv, HALF_TYPES)
        batch, tokens, _, heads, head_dim = packed.shape
        halves = (packed.dtype,)
        target = self._packed(out, "out", (batch, tokens, heads, head_dim), halves)
        bias_at, bias_stride = self._rows(bias, "bias", (heads, tokens), halves)
        mask_at, mask_stride = self._rows(mask, "mask", (batch,), ("uint8",))
        shape = AttentionShape(
            HALF_TYPES.index(packed.dtype), batch, tokens, heads, head_dim,
            head_dim**-0.5 if scale is None else scale, bias_stride, mask_stride,
        )  # fmt: skip
        pointers = [ctypes.c_void_p(p) for p in (packed.pointer, bias_at, mask_at, target.pointer)]
        self._call("attention", shape, *pointers, tile, stream)

    def attention_int8(
        self,
        qkv: object,
        out: object,
        workspace: object,
        *,
        scale: float | None = None,
        tile: int = 0,
        stream: int = 0,
    ) -> None:
        """Attention with queries and keys quantised to 8 bits on the way: two launches.

        As `framescore/kernels/attention_int8.h` has it.

        Args:
            qkv: [batch, tokens, 3, heads, head_dim] float16, packed; head_dim 32, 64 or 128.
            out: [batch, tokens, heads, head_dim] float16, packed.
            workspace: uint8 of at least `int8_workspace` bytes, 16-byte aligned.
            scale: Of the scores; None is 1 / sqrt(head_dim).
            tile: Number of an `Int8AttentionTile`; 0 chooses by device and shape.
            stream: CUDA stream.

        Raises:
            FrameError: Arrays that do not fit each other, or of another type or place.
            BackendError: A size or tile that the kernels do not have, or CUDA refused.
        """
        shape, packed = self._int8_shape(qkv, scale)
        batch, tokens, _, heads, head_dim = packed.shape
        target = self._packed(out, "out", (batch, tokens, heads, head_dim), HALF_TYPES[:1])
        start, length = self._rows(workspace, "workspace", (), ("uint8",))
        whole, scales = self._quantized_bytes(shape)
        if length < 2 * (whole + scales):
            raise FrameError(
                f"The workspace has {length} bytes; it must have {2 * (whole + scales)}."
            )
        q = start or 0
        quantized = QuantizedQk(q, q + whole, q + 2 * whole, q + 2 * whole + scales)
        source, result = ctypes.c_void_p(packed.pointer), ctypes.c_void_p(target.pointer)
        self._call("quantize_qk", shape, source, quantized, stream)
        self._call("attention_int8", shape, quantized, source, result, tile, stream)

    def int8_workspace(self, qkv: object) -> int:
        """Bytes that `attention_int8` keeps quantised queries and keys in.

        Args:
            qkv: As `attention_int8` takes it.

        Returns:
            The length of a uint8 array.
        """
        return 2 * sum(self._quantized_bytes(self._int8_shape(qkv, None)[0]))

    def _int8_shape(
        self, qkv: object, scale: float | None
    ) -> tuple[Int8AttentionShape, DeviceArray]:
        given = self._packed_qkv(qkv, HALF_TYPES[:1])
        batch, tokens, _, heads, head_dim = given.shape
        factor = head_dim**-0.5 if scale is None else scale
        return Int8AttentionShape(batch, tokens, heads, head_dim, factor), given

    def _quantized_bytes(self, shape: Int8AttentionShape) -> tuple[int, int]:
        """Of q or k, and of the scales of one; both rounded up to keep 16-byte alignment."""
        functions = ("framescore_quantized_bytes", "framescore_quantized_scale_bytes")
        sizes = [self._ask(name, shape) for name in functions]
        return -(-sizes[0] // 16) * 16, -(-sizes[1] // 16) * 16

    def _packed_qkv(self, qkv: object, dtypes: tuple[str, ...]) -> DeviceArray:
        given = self._array(qkv, "qkv")
        if len(given.shape) != 5 or given.shape[2] != 3:
            raise FrameError(
                f"The qkv is {given.dtype} {list(given.shape)}; it must be [batch, tokens, 3, "
                "heads, head_dim]."
            )
        return self._packed(qkv, "qkv", given.shape, dtypes)

    def _ask(self, function: str, shape: ctypes.Structure) -> int:
        """A size that the library computes."""
        ask = getattr(self._library, function)
        ask.restype = ctypes.c_size_t
        return int(ask(ctypes.byref(shape)))

    def channel_attention(
        self,
        qkv: object,
        out: object,
        positions: int,
        *,
        gamma: object | None = None,
        beta: object | None = None,
        residual: object | None = None,
        epsilon: float = 1e-5,
        tile: int = 0,
        workspace: object | None = None,
        stream: int = 0,
    ) -> None:
        """Attention among channels, normalised and added to the residual, in one launch.

        As `framescore/kernels/channel_attention.h` has it, with q, k and v in one tensor.

        Args:
            qkv: [batch, channels, 3, stride] float16 or bfloat16, packed; stride a multiple of 8.
            out: [batch, channels, stride] of the same type, packed; stride even.
            positions: 196 or 49; what lies behind them in a row is padding.
            gamma: [positions] float32; None: neither normalised nor added.
            beta: [positions] float32, with gamma.
            residual: As `out`; may be `out` itself.
            epsilon: Of the normalisation.
            tile: Number of a `ChannelTile`; 0 chooses by device and shape.
            workspace: uint8 of at least `channel_workspace` bytes: the linearised form is launched.
            stream: CUDA stream.

        Raises:
            FrameError: Arrays that do not fit each other, or of another type or place.
            BackendError: A size or tile that the kernels do not have, or CUDA refused.
        """
        shape, packed = self._channel_shape(qkv, positions)
        batch, channels, _, stride = packed.shape
        dtype, lead = (packed.dtype,), (batch, channels)
        target, shape.out_stride = self._rows(out, "out", lead, dtype)
        added, shape.residual_stride = self._rows(residual, "residual", lead, dtype)
        shape.epsilon = epsilon
        scales = [self._rows(a, n, (), ("float32",)) for a, n in ((gamma, "gamma"), (beta, "beta"))]
        if any(pointer and length != positions for pointer, length in scales):
            raise FrameError(f"Gamma and beta must have {positions} elements, one a position.")
        starts = [packed.pointer + i * stride * 2 for i in range(3)]
        tensors = ChannelAttentionTensors(*starts, scales[0][0], scales[1][0], added, target)
        if workspace is None:
            self._call("channel_attention", shape, tensors, tile, stream)
            return
        memory, length = self._rows(workspace, "workspace", (), ("uint8",))
        if length < (needed := self.channel_workspace(qkv, positions)):
            raise FrameError(f"The workspace has {length} bytes; it must have {needed}.")
        pointer = ctypes.c_void_p(memory)
        self._call("linear_channel_attention", shape, tensors, pointer, stream)

    def channel_workspace(self, qkv: object, positions: int) -> int:
        """Bytes that the linearised channel attention works in.

        Args:
            qkv: As `channel_attention` takes it.
            positions: 196 or 49.

        Returns:
            The length of a uint8 array.
        """
        shape, _ = self._channel_shape(qkv, positions)
        return self._ask("framescore_linear_channel_attention_workspace", shape)

    def _channel_shape(
        self, qkv: object, positions: int
    ) -> tuple[ChannelAttentionShape, DeviceArray]:
        given = self._array(qkv, "qkv")
        if len(given.shape) != 4 or given.shape[2] != 3:
            raise FrameError(
                f"The qkv is {given.dtype} {list(given.shape)}; it must be [batch, channels, 3, "
                "stride]."
            )
        packed = self._packed(qkv, "qkv", given.shape, HALF_TYPES)
        batch, channels, _, stride = given.shape
        number = HALF_TYPES.index(packed.dtype)
        usual = (3 * stride, 0, stride, 1e-5)  # strides of qkv, residual and out; epsilon
        return ChannelAttentionShape(number, batch, channels, positions, *usual), packed

    def _rows(
        self, array: object | None, what: str, leading: tuple[int, ...], dtypes: tuple[str, ...]
    ) -> tuple[int | None, int]:
        """Pointer and last axis of an optional array whose other axes are known."""
        if array is None:
            return None, 0
        last = self._array(array, what).shape[-1:] or (1,)
        return self._packed(array, what, (*leading, *last), dtypes).pointer, last[0]

    def _array(self, array: object, what: str) -> DeviceArray:
        found = device_array(array)
        if found.device[0] != self._memory:
            raise FrameError(
                f"The {what} lies in {device_name(found.device[0])}; the kernels read "
                f"{device_name(self._memory)}."
            )
        return found

    def _packed(
        self, array: object, what: str, shape: tuple[int, ...], dtypes: tuple[str, ...]
    ) -> DeviceArray:
        found = self._array(array, what)
        if found.shape != shape or found.dtype not in dtypes or not found.is_packed:
            raise FrameError(
                f"The {what} is {found.dtype} {list(found.shape)}"
                f"{'' if found.is_packed else ', not packed'}; it must be {' or '.join(dtypes)} "
                f"{list(shape)}, packed."
            )
        return found

    def _call(self, name: str, *arguments: Any) -> None:
        """Call framescore_NAME; structures by reference, the stream last."""
        given = [ctypes.byref(a) if isinstance(a, ctypes.Structure) else a for a in arguments[:-1]]
        stream = ctypes.c_void_p(arguments[-1])
        status = getattr(self._library, f"framescore_{name}")(*given, stream)
        if status != 0:
            raise self._refusal(name, status)

    def _refusal(self, name: str, status: int) -> BackendError:
        words = self._library.framescore_describe_status(status).decode()
        cuda = self._library.framescore_take_cuda_error().decode()
        detail = f": {cuda}" if status in CUDA_REFUSED and cuda else ""
        return BackendError(
            f"Kernel {name} was not launched: {words}{detail}.",
            hint="The kernels need an NVIDIA GPU of compute capability 8.0 or newer and its "
            "driver; framescore doctor says what this machine has."
            if status in CUDA_REFUSED
            else "",
        )
