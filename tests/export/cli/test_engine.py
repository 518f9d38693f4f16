"""`framescore engine`, with the real builder of TensorRT-RTX."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from export.engine.entry import PLAN, SIDECAR
from sdk.cli import main

from ..engine.small_graphs import write_small_bundle


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def engine(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Run `framescore engine` with a cache of its own."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        code = main(["engine", *map(str, arguments)])
        return Result(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX isn't installed: the extra rtx")
    path = tmp_path_factory.mktemp("model") / "small.framescore"
    write_small_bundle(path)
    return path


@pytest.fixture(scope="session")
def built(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with one engine, to copy."""
    cache = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        assert main(["engine", "build", str(model), "--target", "sm_86"]) == 0
    return cache


@pytest.fixture
def filled(built: Path, tmp_path: Path) -> Path:
    """The same engine in the cache of this test."""
    shutil.copytree(built, tmp_path / "cache")
    [entry] = (tmp_path / "cache").glob("framescore/engines/[!.]*")
    return entry


def test_build_prints_what_was_built(engine, model: Path, tmp_path: Path) -> None:
    first = engine("build", model, "--target", "sm_86")
    assert first.code == 0, first.err
    facts = {line.split()[0]: line for line in first.out.splitlines() if line.strip()}
    assert "fp16, native-attention" in facts["precision"]
    assert "TensorRT-RTX" in facts["backend"]
    assert "picture uint8 [1, 64, 64, 3]" in facts["inputs"]
    assert "1 of 1 attention blocks fused (builder log)" in facts["attention"]
    plan = Path(facts["plan:"].split(maxsplit=1)[1])
    assert plan.is_relative_to(tmp_path / "cache")
    assert plan.read_bytes().startswith(b"vtrt")
    again = engine("build", model, "--target", "sm_86")
    assert "earlier, from the cache" in again.out


def test_build_prints_json(engine, model: Path) -> None:
    result = engine("build", model, "--target", "sm_86", "--json")
    fields = json.loads(result.out)
    assert fields["schema"] == 1
    assert fields["recipe"]["target"] == "sm_86"
    assert fields["built"]["fusion"]["blocks"][0]["node"] == "attention"
    assert fields["size"] == Path(fields["plan"]).stat().st_size
    assert fields["from_cache"] is False


def test_attention_that_is_not_fused_is_said(engine, model: Path) -> None:
    result = engine("build", model, "--target", "sm_86", "--precision", "fp32")
    assert result.code == 0
    assert "0 of 1 attention blocks fused" in result.out
    assert "warning: attention is not fused at attention." in result.err
    assert "FP16 and BF16 only" in result.err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--target", "moon"], 2, "no target 'moon'"),
        (["--target", "rtx", "--precision", "int8"], 1, "has no int8 network"),
        (["--target", "rtx", "--precision", "int4"], 2, "no precision 'int4'"),
        (["--target", "rtx", "--batch", "many"], 2, "--batch 'many' is no list of numbers"),
        (["--target", "rtx", "--batch", "1,8"], 2, "takes one frame at a time"),
        (["--target", "rtx", "--timing-cache", "t"], 2, "--timing-cache means nothing"),
        (["--target", "rtx", "--version-compatible"], 2, "--version-compatible means nothing"),
        (["--target", "rtx", "--hardware-compat"], 2, "--hardware-compat means nothing"),
        (["--target", "rtx", "--plugin", "x.so"], 2, "takes no plugins"),
        (["--target", "sm_75", "--precision", "fp32"], 1, "FP32 GEMM is not supported"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_built(engine, model: Path, arguments, code: int, message: str) -> None:
    result = engine("build", model, *arguments)
    assert result.code == code
    assert result.out == ""
    assert message in result.err
    assert "Traceback" not in result.err


def test_a_bundle_that_is_none(engine) -> None:
    result = engine("build", "./none.framescore", "--target", "rtx")
    assert result.code == 1
    assert "cannot be read" in result.err


def test_an_empty_cache(engine) -> None:
    listed = engine("list")
    assert (listed.code, listed.out) == (0, "")
    assert "Build one: framescore engine build BUNDLE" in listed.err
    assert json.loads(engine("list", "--json").out)["engines"] == []


def test_list_says_what_is_stale(engine, filled: Path) -> None:
    assert engine("list").out.splitlines()[-2].split()[0] == filled.name
    assert "ready" in engine("list").out
    sidecar = filled / SIDECAR
    old = sidecar.read_text().replace('"version": "1.', '"version": "0.')
    sidecar.write_text(old)
    [listed] = json.loads(engine("list", "--json").out)["engines"]
    assert listed["stale"].startswith("its sidecar is that of small-fp16-sm_86-")
    (filled / PLAN).write_bytes(b"cut")
    assert "its plan has 3 bytes" in engine("list").out


def test_an_engine_of_another_version_is_stale(engine, filled: Path) -> None:
    """As an upgrade of TensorRT leaves it: whole, and found by nobody any more."""
    from export.engine.entry import read_sidecar

    sidecar = filled / SIDECAR
    info = read_sidecar(sidecar)
    sidecar.write_text(sidecar.read_text().replace(info.recipe.version, "0.9"))
    filled.rename(filled.with_name(read_sidecar(sidecar).recipe.entry))
    [listed] = json.loads(engine("list", "--json").out)["engines"]
    assert listed["stale"] == f"tensorrt_rtx is {info.recipe.version} now"
    pruned = engine("prune", "--stale")
    assert (pruned.code, pruned.out) == (0, f"removed {listed['name']}\n")


def test_prune_removes_what_it_is_told_to(engine, filled: Path) -> None:
    nothing = engine("prune")
    assert nothing.code == 2
    assert "Nothing says what to remove" in nothing.err
    assert engine("prune", "--stale").out == ""
    assert engine("prune", "--older-than", "1").out == ""
    assert filled.exists()
    removed = engine("prune", "--older-than", "0")
    assert removed.out == f"removed {filled.name}\n"
    assert "MiB freed" in removed.err
    assert not filled.exists()
    assert engine("prune", "--all").out == ""


def test_prune_removes_everything(engine, filled: Path) -> None:
    assert engine("prune", "--all").out == f"removed {filled.name}\n"
    assert [path.name for path in filled.parent.iterdir()] == []


def test_export_plan_of_an_entry_or_a_bundle(engine, filled: Path, model: Path, tmp_path) -> None:
    bare = tmp_path / "bare.plan"
    for name in (filled.name, model):
        result = engine("export-plan", name, "-o", bare)
        assert result.code == 0, result.err
        assert bare.read_bytes() == (filled / PLAN).read_bytes()
        bare.unlink()


def test_export_plan_asks_which_of_several(engine, filled: Path, model: Path, tmp_path) -> None:
    assert engine("build", model, "--target", "sm_80").code == 0
    result = engine("export-plan", model, "-o", tmp_path / "bare.plan")
    assert result.code == 2
    assert "has 2 engines" in result.err
    assert filled.name in result.err


def test_export_plan_of_what_is_not_there(engine, filled: Path, model: Path, tmp_path) -> None:
    output = tmp_path / "bare.plan"
    assert "neither an engine nor a bundle" in engine("export-plan", "x", "-o", output).err
    (filled / PLAN).write_bytes(b"cut")
    damaged = engine("export-plan", filled.name, "-o", output)
    assert (damaged.code, "its plan has 3 bytes" in damaged.err) == (1, True)
    engine("prune", "--all")
    assert "No engine of" in engine("export-plan", model, "-o", output).err
    assert not output.exists()


def test_export_plan_to_where_nothing_can_be_written(engine, filled: Path, tmp_path) -> None:
    result = engine("export-plan", filled.name, "-o", tmp_path / "none" / "bare.plan")
    assert result.code == 1
    assert "cannot be written: No such file or directory" in result.err


def test_rtx_keeps_its_own_attention_and_says_so(engine, model: Path) -> None:
    refused = engine("build", model, "--target", "sm_86", "--attention", "fused")
    assert refused.code == 2
    assert "takes no plugins" in refused.err
    assert "--attention native" in refused.err
    auto = engine("build", model, "--target", "sm_86", "--attention", "auto")
    assert auto.code == 0
    assert "attention: native, for TensorRT-RTX" in auto.err
    told = json.loads(
        engine("build", model, "--target", "sm_86", "--attention", "auto", "--json").out
    )
    assert told["recipe"]["attention"] == "native"
    assert "takes no plugins" in told["choice"]


def test_attention_that_there_is_not(engine, model: Path) -> None:
    wrong = engine("build", model, "--target", "sm_86", "--attention", "flash")
    assert wrong.code == 2
    assert "native, fused, auto" in wrong.err
