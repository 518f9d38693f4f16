"""The dependency law, checked on the sources and on a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

HEAVY = {
    "cv2",
    "matplotlib",
    "msgspec",
    "onnx",
    "onnxruntime",
    "openvino",
    "rich",
    "skimage",
    "tensorrt",
    "torch",
    "typer",
}


def modules_after(statement: str) -> set[str]:
    """The top-level modules a fresh interpreter holds after a statement."""
    run = subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in run.stdout.split()}


def test_packages_import_only_what_they_may(repository: Path) -> None:
    assert lint_imports(config_filename=str(repository / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize(
    "statement",
    [
        "import sdk",
        "import sdk; sdk.as_frame, sdk.PixelFormat, sdk.FrameError",
        "import sdk.doctor",
        "import sdk.preprocess, sdk.views",
    ],
)
def test_importing_loads_nothing_heavy(statement: str) -> None:
    assert modules_after(statement) & HEAVY == set()


def test_scoring_needs_no_training_framework() -> None:
    assert modules_after("import sdk; sdk.Scorer") & {"torch", "onnx", "export", "iqa"} == set()


def test_every_public_name_exists() -> None:
    import sdk

    assert set(sdk.__all__) <= set(dir(sdk))
    assert [name for name in sdk.__all__ if getattr(sdk, name) is None] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    import sdk

    with pytest.raises(AttributeError, match="module 'sdk' has no attribute 'Scoorer'"):
        sdk.Scoorer  # noqa: B018


def test_kernels_hold_no_python(repository: Path) -> None:
    kernels = repository / "kernels"  # a Python package of that name would shadow another project's
    assert list(kernels.rglob("*.py")) == []


def test_native_code_knows_python_only_in_its_bindings(repository: Path) -> None:
    sources = [
        path
        for folder in ("src", "include")
        for path in (repository / "cpp" / folder).rglob("*.*")
        if path.suffix in {".cpp", ".h"}
    ]
    assert sources
    foreign = tuple(f"#include <{name}" for name in ("Python.h", "pybind11", "torch"))
    assert [path for path in sources if any(name in path.read_text() for name in foreign)] == []
