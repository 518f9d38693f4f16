from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ov = pytest.importorskip("openvino")

from sdk.backends import create_backend  # noqa: E402
from sdk.backends.base import BackendOptions  # noqa: E402
from sdk.backends.openvino import OpenVinoBackend, precisions  # noqa: E402
from sdk.bundle import Bundle  # noqa: E402
from sdk.errors import BackendError  # noqa: E402

HAS_BF16 = "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.fixture
def bundle(tiny_bundle: Path) -> Bundle:
    return Bundle.load(tiny_bundle)


def test_precisions_are_those_of_the_cpu() -> None:
    assert precisions() == (("bf16", "fp32") if HAS_BF16 else ("fp32",))


@pytest.mark.skipif(HAS_BF16, reason="this CPU computes in bf16")
def test_silent_fallback_from_bf16_is_noticed(bundle: Bundle) -> None:
    with pytest.raises(BackendError, match="OpenVINO computes in f32 here, not in bf16"):
        OpenVinoBackend(bundle, BackendOptions(precision="bf16"))


@pytest.mark.skipif(not HAS_BF16, reason="needs a CPU with bf16")
def test_bf16_says_so(bundle: Bundle) -> None:
    assert create_backend(bundle, "openvino", "bf16").precision == "bf16"


def test_fp32_is_never_left_to_openvinos_default(bundle: Bundle) -> None:
    """On a CPU with bf16 the default would be bf16; the hint must be there and be kept."""
    backend = OpenVinoBackend(bundle, BackendOptions(precision="fp32"))
    assert backend.precision == "fp32"


HANDLED = """
import faulthandler, signal, subprocess, sys, threading
from sdk.backends import create_backend
from sdk.bundle import Bundle

faulthandler.enable()  # brings a stack for handlers, as the plugin does
signal.signal(signal.SIGCHLD, lambda *_: print("handled"))
bundle = Bundle.load(sys.argv[1])
opened = [create_backend(bundle, "openvino", "fp32") for _ in range(2)]
opened.pop(0).close()
thread = threading.Thread(target=lambda: opened.pop().close())
thread.start()
thread.join()
subprocess.run(["true"], check=True)
"""


def test_signals_are_handled_after_backends_were_closed_in_any_order(tiny_bundle: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", HANDLED, tiny_bundle], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "handled\n"), run.stderr
