from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

import sdk
from sdk.backends.registry import BACKENDS
from sdk.cli.options import BackendName, Format, Precision
from sdk.precision import PRECISIONS
from sdk.sinks import SINK_FORMATS


def test_version(cli):
    assert cli("--version") == (0, f"framescore {sdk.__version__}\n", "")


def test_help_lists_the_commands(cli):
    result = cli("--help")
    assert result.code == 0
    assert all(
        command in result.out for command in ("score", "calibrate", "demo", "models", "doctor")
    )
    assert "higher is better" in result.out


@pytest.mark.parametrize("command", ["score", "calibrate", "demo", "models", "doctor"])
def test_every_command_explains_itself_in_80_columns(command, cli):
    result = cli(command, "--help")
    assert result.code == 0
    assert max(map(len, result.out.splitlines())) <= 80


def test_commands_of_other_packages_are_loaded_when_named(monkeypatch, cli):
    other = typer.Typer()
    other.command()(lambda word="hello": print(word))
    monkeypatch.setitem(sys.modules, "other_package", SimpleNamespace(app=other))
    points = {"there": "other_package:app", "absent": "no.such.module:app"}
    found = EntryPoints(EntryPoint(*point, "framescore.commands") for point in points.items())
    monkeypatch.setattr("sdk.cli.app.entry_points", lambda group: found.select(group=group))
    assert cli("there", "--word", "hello") == (0, "hello\n", "")
    assert "Not available here" in cli("--help").out
    refused = cli("absent", "--any", "thing")
    assert refused.code == 2
    assert "The command absent cannot be loaded: No module named 'no'" in refused.err


def test_scoring_loads_no_command_of_another_package():
    code = "import sys, sdk.cli.app; print('export' in sys.modules, 'onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_without_a_command_the_help_is_shown(cli):
    result = cli()
    assert result.code == 2
    assert "Usage" in result.out + result.err


def test_an_unknown_command(cli):
    result = cli("rate")
    assert result.code == 2
    assert "rate" in result.err


def test_doctor_needs_none_of_the_packages():
    root = str(Path(sdk.__file__).parents[1])
    code = f"import sys; sys.path.append({root!r}); from sdk.cli import main; main(['doctor'])"
    command = [sys.executable, "-I", "-S", "-c", code]  # without site-packages
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "typer: not installed" in done.stdout
    assert done.stderr == ""


def test_choices_are_those_of_the_sdk():
    assert [choice.value for choice in BackendName] == ["auto", *BACKENDS]
    assert {choice.value for choice in Precision} == {"auto", *PRECISIONS}
    assert tuple(choice.value for choice in Format) == SINK_FORMATS


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom sdk.cli import main\nmain(['--help'])\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"numpy", "cv2", "openvino", "onnxruntime", "msgspec", "matplotlib", "skimage"}
    assert not heavy & set(done.stderr.split())
