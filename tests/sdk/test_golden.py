from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray

from export.write_bundle import npz_bytes, zip_bytes
from sdk.errors import BundleError
from sdk.golden import read_golden
from sdk.views import View

VIEWS = {"fragments": View.parse("fragments:2x32"), "crops": View.parse("crops:2x2@40")}


def arrays(count: int = 3) -> dict[str, NDArray[np.generic]]:
    return {
        "fragments": np.arange(count * 64 * 64 * 3).astype(np.uint8).reshape(count, 64, 64, 3),
        "crops": np.arange(count * 4 * 40 * 40 * 3).astype(np.uint8).reshape(count, 4, 40, 40, 3),
        "score": np.linspace(10, 90, count, dtype=np.float32),
    }


def test_frames_come_as_backends_take_them() -> None:
    golden = read_golden(npz_bytes(arrays()), VIEWS, "g.npz")
    frames = list(golden.frames())
    assert len(golden) == len(frames) == 3
    assert frames[1]["fragments"].shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(frames[1]["fragments"][0], arrays()["fragments"][1])
    np.testing.assert_array_equal(frames[2]["crops"], arrays()["crops"][2])
    np.testing.assert_array_equal(golden.score, arrays()["score"])


def test_numpy_reads_and_writes_the_same_file() -> None:
    data = npz_bytes(arrays())
    with np.load(io.BytesIO(data)) as loaded:
        assert all((loaded[name] == array).all() for name, array in arrays().items())
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays())  # type: ignore[arg-type]
    assert len(read_golden(buffer.getvalue(), VIEWS, "g.npz")) == 3


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"crops": None}, "holds the arrays fragments, score; the manifest asks for crops"),
        ({"more": np.zeros(3, np.float32)}, "holds the arrays crops, fragments, more, score"),
        ({"score": np.zeros(2, np.float32)}, r"fragments is uint8 \(3, 64, 64, 3\)"),
        ({"score": np.zeros(3, np.float64)}, "dtype float64"),
        ({"score": np.full(3, np.nan, np.float32)}, "finite"),
        ({"score": np.zeros(0, np.float32)}, "holds 0 scores"),
        ({"fragments": np.zeros((3, 32, 32, 3), np.uint8)}, r"asks for uint8 \(3, 64, 64, 3\)"),
        ({"fragments": np.zeros((3, 64, 64, 3), np.float32)}, "fragments is float32"),
    ],
)
def test_misfits_are_named(changes: dict[str, NDArray[np.generic] | None], reason: str) -> None:
    changed = {k: v for k, v in {**arrays(), **changes}.items() if v is not None}
    with pytest.raises(BundleError, match=reason):
        read_golden(npz_bytes(changed), VIEWS, "g.npz")


def npy(header: bytes, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY\x01\x00",
        b"\x93NUMPY\x02\x00\x04\x00\x00\x00{}\n ",
        npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,)}\n"),
        npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}\n"),
        npy(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", bytes(8)),
        npy(b"{'descr': '<f4', 'fortran_order': True, 'shape': (1,)}\n", bytes(4)),
        npy(b"{'descr': 7, 'fortran_order': False, 'shape': (1,)}\n", bytes(4)),
        npy(b"__import__('os')\n"),
        npy(b"(" * 60_000),
    ],
)
def test_arrays_are_read_without_trust(data: bytes) -> None:
    packed = zip_bytes({"score.npy": data})
    with pytest.raises(BundleError, match=r"score\.npy cannot be read"):
        read_golden(packed, VIEWS, "g.npz")


def test_not_an_npz() -> None:
    with pytest.raises(BundleError, match=r"g\.npz is not a zip file"):
        read_golden(b"plain text", VIEWS, "g.npz")
