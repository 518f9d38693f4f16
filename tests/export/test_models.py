from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.models import NAMED, as_id, builder_of, declared_by, find_builder, id_from
from sdk.errors import UsageError
from sdk.views import View

pytest.importorskip("torch")


@pytest.mark.parametrize("name", list(NAMED))
def test_named_models_are_there_and_say_what_they_see(name: str) -> None:
    module, builder = find_builder(builder_of(name))
    declared = declared_by(module)
    specs = list(declared.views.values()) or [declared.view]
    assert callable(builder)
    assert all(View.parse(spec or "").shape[0] >= 1 for spec in specs)
    if not declared.views:
        assert set(declared.image) == {"mean", "std", "output_range"}


def test_glint_edge_declares_its_views_outputs_and_labels() -> None:
    module, _ = find_builder(builder_of("glint-edge"))
    declared = declared_by(module)
    assert list(declared.views) == ["fragments", "resize"]
    outputs = ("score", "mos", "sigma", "distortions", "uncertainty", "features")
    assert declared.outputs == outputs
    assert "blur" in declared.distortion_labels
    assert declared.uncertainty_labels[0] == "task"


def test_a_module_that_declares_nothing_is_an_ordinary_network() -> None:
    declared = declared_by(SimpleNamespace())
    assert (declared.views, declared.view, declared.outputs) == ({}, None, ("score",))
    assert declared.image == {}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("glintedge", "--torch package.module:function or --onnx FILE"),
        ("my_model:build", "exported with --torch my_model:build"),
        ("nets/model.onnx", "exported with --onnx nets/model.onnx"),
    ],
)
def test_unknown_names_lead_to_the_right_option(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=r"there are glint-edge, glintiqa, qfm-iqm") as caught:
        builder_of(name)
    assert hint in caught.value.hint


def test_modules_of_the_current_folder_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model_beside_me.py").write_text("VIEW = 'resize:8x8'\ndef build(): return 7\n")
    (tmp_path / "model_that_breaks.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    module, builder = find_builder("model_beside_me:build")
    assert (declared_by(module).view, builder()) == ("resize:8x8", 7)
    with pytest.raises(UsageError, match="cannot be built: ZeroDivisionError: division by zero"):
        find_builder("model_that_breaks:build")
    assert sys.path == before


@pytest.mark.parametrize(
    ("builder", "name"),
    [
        ("my_package.nets.hyper_iqa:build", "hyper-iqa"),
        ("nets:CLIP_scorer", "clip-scorer"),
        ("nets:v2.Net", "v2.net"),
    ],
)
def test_ids_come_from_what_says_most(builder: str, name: str) -> None:
    assert id_from(builder) == name


def test_any_name_becomes_an_id() -> None:
    assert as_id("My Model (é) v2") == "my-model-v2"
    assert as_id("__") == "model"
    assert len(as_id("x" * 100)) == 64
