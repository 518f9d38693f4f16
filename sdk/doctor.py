"""What this machine is and what is installed on it: the report to attach to a bug.

Needs nothing but the standard library and no installed framescore, so it also runs as a loose
file on a machine where nothing works: `python doctor.py [--json]`. Every probe is guarded: what
cannot be found out becomes a value in the report, the report always prints, the status is 0.
Packages are looked up, never imported.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.metadata
import importlib.util
import json
import locale
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1

# Import name -> the distributions that can bring it, for all that the SDK uses or can use.
PACKAGES = {
    "sdk": ("framescore",),
    "numpy": ("numpy",),
    "cv2": ("opencv-python-headless", "opencv-python", "opencv-contrib-python"),
    "openvino": ("openvino",),
    "msgspec": ("msgspec",),
    "typer": ("typer",),
    "rich": ("rich",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "tensorrt_rtx": ("tensorrt-rtx", "tensorrt-rtx-cu13"),
    "cuda": ("cuda-python",),
    "pycuda": ("pycuda",),
    "torch": ("torch",),
    "onnx": ("onnx",),
    "matplotlib": ("matplotlib",),
    "skimage": ("scikit-image",),
}
REQUIRED = ("numpy", "cv2", "openvino", "msgspec", "typer", "rich")

# Instruction sets that decide how fast, and in which precision, a CPU scores.
CPU_FLAGS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni"),
    *("avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16"),
    *("asimd", "asimdhp", "asimddp", "bf16", "i8mm", "sve", "sve2"),
)
BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}

NATIVE = re.compile(
    r"lib(openvino|onnxruntime|nvinfer|tensorrt_rtx|cudart|cuda|cublas|cudnn|nvrtc|opencv|"
    r"gstreamer-1|avcodec|tbb|gomp|iomp5)[^/]*\.so"
)
_COMMAND_TIMEOUT_S = 5


def collect() -> dict[str, Any]:
    """Return the report, ready for JSON; a probe that failed has the value `error: …`."""
    probes: dict[str, Callable[[], Any]] = {
        "python": _python,
        "platform": _platform,
        "cpu": _cpu,
        "memory": _memory,
        "packages": _packages,
        "framescore": _framescore,
        "gpu": _gpu,
        "jetson": _jetson,
        "video_devices": _video_devices,
        "native_libraries": _native_libraries,
        "environment": _environment,
    }
    report: dict[str, Any] = {"schema": SCHEMA_VERSION}
    report.update({name: _guarded(probe) for name, probe in probes.items()})
    report["advice"] = _guarded(lambda: _advice(report))
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report.

    Args:
        argv: `--json` or nothing; by default the arguments of the process.

    Returns:
        Always 0.
    """
    parser = argparse.ArgumentParser(description="Describe this machine for a bug report.")
    parser.add_argument("--json", action="store_true", help="print JSON")
    wants_json = parser.parse_args(argv).json
    report = collect()
    print(as_json(report) if wants_json else as_text(report))
    return 0


def as_json(report: dict[str, Any]) -> str:
    """Return the report as indented JSON."""
    return json.dumps(report, indent=2)


def as_text(report: dict[str, Any]) -> str:
    """Return the report as indented lines, at most one value a line."""
    fields = dict(report)
    if isinstance(fields["packages"], dict):
        fields["packages"] = {
            module: _package_words(package) if isinstance(package, dict) else package
            for module, package in fields["packages"].items()
        }
    return "\n".join(_lines(fields, 0))


def _lines(fields: dict[str, Any], depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for key, value in fields.items():
        if isinstance(value, dict) and value:
            lines += [f"{indent}{key}:", *_lines(value, depth + 1)]
        elif isinstance(value, list) and value and depth == 0:
            lines += [f"{indent}{key}:", *(f"{indent}  {item}" for item in value)]
        else:
            lines.append(f"{indent}{key}: {_words(value)}")
    return lines


def _words(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return str(value)


def _guarded(probe: Callable[[], Any]) -> Any:
    try:
        return probe()
    except Exception as error:
        return f"error: {type(error).__name__}: {error}"


def _python() -> dict[str, Any]:
    return {
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "executable": sys.executable,
        "in_venv": sys.prefix != sys.base_prefix,
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
    }


def _platform() -> dict[str, Any]:
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "distribution": _guarded(_distribution),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "container": _guarded(_container),
    }


def _distribution() -> str | None:
    fields = re.findall(r'^(\w+)="?([^"\n]*)', _read("/etc/os-release"), re.MULTILINE)
    return dict(fields).get("PRETTY_NAME")


def _container() -> str | None:
    if Path("/.dockerenv").exists():
        return "docker"
    if Path("/run/.containerenv").exists():
        return "podman"
    return os.environ.get("container")  # noqa: SIM112 (as systemd spells it)


def _cpu() -> dict[str, Any]:
    text = _read("/proc/cpuinfo")
    flags = set(_cpuinfo(text, r"flags|Features").split())
    return {
        "model": _cpuinfo(text, "model name") or _first_line("/proc/device-tree/model"),
        "logical_cores": os.cpu_count(),
        "usable_cores": _guarded(lambda: len(os.sched_getaffinity(0))),
        "cgroup_cores": _guarded(_cgroup_cores),
        "flags": [flag for flag in CPU_FLAGS if flag in flags],
        "bf16": bool(flags & BF16_FLAGS),
    }


def _cpuinfo(text: str, key: str) -> str:
    match = re.search(rf"^(?:{key})\s*:\s*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""


def _cgroup_cores() -> float | None:
    """Cores that a container may use; the scheduler throttles threads beyond them."""
    quota, _, period = (_first_line("/sys/fs/cgroup/cpu.max") or "max").partition(" ")
    return None if quota == "max" else int(quota) / int(period)


def _memory() -> dict[str, Any]:
    text = _read("/proc/meminfo")
    return {
        "total_gib": _gib(text, "MemTotal"),
        "available_gib": _gib(text, "MemAvailable"),
        "cgroup_limit_gib": _guarded(_cgroup_memory),
    }


def _gib(meminfo: str, key: str) -> float | None:
    match = re.search(rf"^{key}:\s+(\d+) kB", meminfo, re.MULTILINE)
    return round(int(match[1]) / 2**20, 1) if match else None


def _cgroup_memory() -> float | None:
    limit = _first_line("/sys/fs/cgroup/memory.max") or "max"
    return None if limit == "max" else round(int(limit) / 2**30, 1)


def _packages() -> dict[str, Any]:
    return {module: _guarded(functools.partial(_package, module)) for module in PACKAGES}


def _package(module: str) -> dict[str, Any]:
    """Say which distributions are installed and whether Python would find the module.

    The two differ where metadata is left over, or where a system package (as on Jetson) or a
    folder of that name brings the module without metadata.
    """
    versions = {}
    for distribution in PACKAGES[module]:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[distribution] = importlib.metadata.version(distribution)
    return {"versions": versions, "importable": importlib.util.find_spec(module) is not None}


def _package_words(package: dict[str, Any]) -> str:
    installed = ", ".join(f"{name} {version}" for name, version in package["versions"].items())
    if installed:
        return installed if package["importable"] else f"{installed}, but the import would fail"
    return "importable, version unknown" if package["importable"] else "not installed"


def _framescore() -> dict[str, Any]:
    spec = importlib.util.find_spec("sdk")
    folders = list(spec.submodule_search_locations or []) if spec else []
    core = [str(path) for folder in folders for path in Path(folder).glob("_core.*.so")]
    models = [path.name for folder in folders for path in Path(folder).glob("models/*.framescore")]
    # An editable install has two: the sources', and the environment's for the native module.
    folder = str(Path(spec.origin).parent) if spec and spec.origin else None
    return {"folder": folder, "core": core, "models": sorted(models)}


def _gpu() -> dict[str, Any]:
    return {
        "nvidia_smi": _guarded(_nvidia_smi),
        "driver": _guarded(lambda: _first_line("/proc/driver/nvidia/version")),
        "nvcc": _guarded(_nvcc),
        "render_nodes": sorted(str(path) for path in Path("/dev/dri").glob("renderD*")),
    }


def _nvidia_smi() -> list[str] | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = "--query-gpu=name,driver_version,memory.total,compute_cap"
    return _run(["nvidia-smi", query, "--format=csv,noheader"]).splitlines()


def _nvcc() -> str | None:
    compiler = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if compiler is None:
        return None
    text = _run([compiler, "--version"])
    release = re.search(r"release ([\d.]+)", text)
    return f"{release[1]} at {compiler}" if release else text


def _jetson() -> str | None:
    line = _first_line("/etc/nv_tegra_release")
    return line.lstrip("# ") if line else None


def _video_devices() -> list[str]:
    return sorted(str(path) for path in Path("/dev").glob("video*"))


def _native_libraries() -> dict[str, list[str]]:
    """Libraries that the linker would find, and those already in this process.

    Where the two name different versions, the loaded one is what runs.
    """
    return {"installed": _guarded(_linker_cache), "loaded": _guarded(_loaded)}


def _linker_cache() -> list[str]:
    ldconfig = shutil.which("ldconfig") or "/sbin/ldconfig"
    paths = re.findall(r"=> (\S+)$", _run([ldconfig, "-p"]), re.MULTILINE)
    return sorted({path for path in paths if NATIVE.search(path)})


def _loaded() -> list[str]:
    paths = re.findall(r"\s(/\S+\.so\S*)$", _read("/proc/self/maps"), re.MULTILINE)
    return sorted({path for path in paths if NATIVE.search(path)})


def _environment() -> dict[str, str]:
    prefixes = ("FRAMESCORE_", "OPENCV_", "OMP_", "CUDA_VISIBLE", "LD_LIBRARY_PATH", "LD_PRELOAD")
    chosen = {key: value for key, value in os.environ.items() if key.startswith(prefixes)}
    return {"encoding": locale.getpreferredencoding(False), **dict(sorted(chosen.items()))}


def _advice(report: dict[str, Any]) -> list[str]:
    advice = [
        f"The module {module} is missing: pip install framescore"
        for module in REQUIRED
        if importlib.util.find_spec(module) is None
    ]
    if not report["framescore"]["core"]:
        advice.append("sdk._core isn't built or not on the path: pip install framescore")
    if len(report["packages"]["cv2"]["versions"]) > 1:
        advice.append("Several OpenCV packages share the module cv2: keep only the headless one.")
    if not report["cpu"]["bf16"]:
        advice.append("This CPU computes no bf16: precision auto will use fp32.")
    return advice


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace")


def _first_line(path: str) -> str | None:
    """First line of a file; None if there is no such file or it is empty."""
    if not Path(path).exists():
        return None
    lines = _read(path).splitlines()
    return lines[0].strip(" \0") if lines else None


def _run(command: list[str]) -> str:
    """Output of a command, without a shell, in the C locale, for five seconds at most."""
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_COMMAND_TIMEOUT_S,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    if done.returncode:
        return f"error: {Path(command[0]).name} returned {done.returncode}: {done.stderr.strip()}"
    return done.stdout.strip()


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the reader has seen enough
        main()
        sys.stdout.flush()
    # What a reader that has gone would not take must not fail again when Python shuts down.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
