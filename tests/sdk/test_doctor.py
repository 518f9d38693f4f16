from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sdk import doctor

SECTIONS = [
    "schema",
    "python",
    "platform",
    "cpu",
    "memory",
    "packages",
    "framescore",
    "gpu",
    "jetson",
    "video_devices",
    "native_libraries",
    "environment",
    "advice",
]


@pytest.fixture
def loose(tmp_path) -> Path:
    """The file alone in a folder."""
    return Path(shutil.copy(doctor.__file__, tmp_path / "doctor.py"))


def run(file: Path, *arguments: str, **changes) -> subprocess.CompletedProcess[str]:
    # Isolated and without site-packages: nothing but the standard library is there.
    command = [sys.executable, "-I", "-S", str(file), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **changes)


def test_the_report_has_every_section():
    report = doctor.collect()
    assert list(report) == SECTIONS
    assert json.loads(doctor.as_json(report)) == report


def test_no_probe_fails_here():
    assert "error:" not in doctor.as_text(doctor.collect())


def test_it_says_what_is_installed_and_what_is_not():
    packages = doctor.collect()["packages"]
    assert packages["numpy"]["importable"]
    assert list(packages["numpy"]["versions"]) == ["numpy"]
    assert packages["cv2"]["importable"]


def test_it_finds_the_package_itself():
    found = doctor.collect()["framescore"]
    assert Path(found["folder"]) == Path(doctor.__file__).parent
    assert len(found["core"]) >= 1


def test_looking_a_package_up_does_not_import_it():
    code = (
        "import sys\nfrom sdk import doctor\ndoctor.collect()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "cv2", "openvino", "onnxruntime", "torch", "tensorrt", "rich", "typer"}
    assert not heavy & set(done.stdout.split())


def test_loaded_native_libraries_are_those_of_this_process():
    import cv2  # noqa: F401

    loaded = doctor.collect()["native_libraries"]["loaded"]
    assert any("opencv" in path or "avcodec" in path for path in loaded)


def test_it_runs_as_a_loose_file_without_any_package(loose):
    done = run(loose)
    assert (done.returncode, done.stderr) == (0, "")
    assert "numpy: not installed" in done.stdout
    assert "pip install framescore" in done.stdout


def test_the_loose_file_prints_json(loose):
    report = json.loads(run(loose, "--json").stdout)
    assert list(report) == SECTIONS
    assert report["framescore"]["folder"] is None


def test_a_reader_that_has_enough_is_no_error(loose):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-I", "-S", str(loose)]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_probe_that_fails_becomes_a_value(monkeypatch, tmp_path):
    """A driver tool that hangs itself up and an unreadable /proc still give a report."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVML: driver mismatch' >&2\nexit 18\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "_read", lambda path: Path("/nonexistent", path[1:]).read_text())
    report = doctor.collect()
    assert list(report) == SECTIONS
    assert "returned 18: NVML: driver mismatch" in report["gpu"]["nvidia_smi"][0]
    assert report["cpu"].startswith("error: FileNotFoundError")
    assert "cpu: error:" in doctor.as_text(report)
    assert str(report["advice"]).startswith("error:")


def test_a_tool_that_hangs_is_given_up(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexec sleep 60\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(doctor, "_COMMAND_TIMEOUT_S", 0.2)
    assert "TimeoutExpired" in doctor.collect()["gpu"]["nvidia_smi"]


def test_gpus_are_listed_as_the_driver_names_them(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'Orin, 540.4.0, 7620 MiB, 8.7'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert doctor.collect()["gpu"]["nvidia_smi"] == ["Orin, 540.4.0, 7620 MiB, 8.7"]


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_the_command_prints_the_report(option, capsys):
    from sdk.cli import main

    assert main(["doctor", *option]) == 0
    out = capsys.readouterr().out
    assert "packages" in out
    assert out.startswith("{" if option else "schema: 1")
