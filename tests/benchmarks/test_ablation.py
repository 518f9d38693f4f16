from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="iqa needs torch: pip install 'framescore[train]'")

import torch
from safetensors.torch import load_file, save_file

from benchmarks import ablation, ablation_variants
from benchmarks.ablation_judging import figures
from benchmarks.ablation_taps import TapNetwork, TapSource, WithoutFaults, compiled_stages
from benchmarks.ablation_variants import FULL, MODELS, VARIANTS
from iqa.data.features import write_features
from iqa.data.labels import read_type_level
from iqa.data.photos import read_folder
from iqa.data.store import write_store
from iqa.data.synthesis import Synthesis
from iqa.models.glint_edge import GlintEdge
from iqa.training.networks import GlintEdgeNetwork
from iqa.training.sources import CachedSource

from ..iqa.conftest import photo_folder

__all__ = ["photo_folder"]


@pytest.fixture
def prepared(photo_folder: Path, tmp_path: Path) -> Path:
    """Eight groups with their features, means and start weights."""
    rows = [f"{k},{level},{4.7 - 0.6 * level}" for k in range(1, 26) for level in range(1, 6)]
    (tmp_path / "means.csv").write_text("\n".join(["type,level,mean", *rows]) + "\n")
    means = read_type_level(tmp_path / "means.csv")
    model = GlintEdge().eval()
    for split, groups in (("train", 8), ("val", 1)):
        synthesis = Synthesis(read_folder(photo_folder), means, 3)
        write_store(tmp_path / "work" / split, synthesis, groups, workers=1)
        write_features(tmp_path / "work" / split, model)
    names = ("trunk", "local.deep")
    state = {n: v for n, v in model.state_dict().items() if n.startswith(names)}
    features = {
        "features." + name.removeprefix("trunk.").removeprefix("local.deep."): value
        for name, value in state.items()
    }
    save_file(features, tmp_path / "mobilenet.safetensors")
    save_file(model.state_dict(), tmp_path / "whole.safetensors")
    return tmp_path


def test_variants_are_trained_judged_and_shown(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 20)
    monkeypatch.setattr(ablation, "JUDGED", ablation.JUDGED[:4])
    chosen = (FULL, "without global branch", "without camera faults", "with noise matching")
    monkeypatch.setattr(ablation, "VARIANTS", chosen)
    given = {
        "--work": "work", "--start": "mobilenet.safetensors", "--photos": ".",
        "--means": "means.csv", "--out": "results/out.json",
    }  # fmt: skip
    words = [word for option, path in given.items() for word in (option, str(prepared / path))]
    words += ["--seeds", "1", "--steps", "2", "--precision", "fp32"]
    words += ["--model", f"first={prepared / 'whole.safetensors'}"]
    monkeypatch.setattr(ablation, "RECIPE", _small_recipe(prepared))
    assert ablation.main(words) == 0
    shown = capsys.readouterr().out
    results = json.loads((prepared / "results/out.json").read_text())
    assert tuple(results["figures"]) == chosen
    full, other = (results["figures"][name]["srocc"] for name in chosen[:2])
    assert full["difference"] == 0
    assert other["difference"] == pytest.approx(other["value"] - full["value"])
    assert f"| without global branch | {other['value']:.3f} |" in shown
    assert list(results["finished"]) == ["first"]
    monkeypatch.setattr(ablation, "trained", _must_not_run)
    assert ablation.main(words) == 0  # finished runs are read again
    card = prepared / "card.md"
    card.write_text("a\n<!-- ablation -->\nstale words\n<!-- /ablation -->\nb\n")
    monkeypatch.setattr(ablation, "CARD", card)
    monkeypatch.setattr(ablation, "RESULTS", prepared / "results")
    assert ablation.main(["--update"]) == 0
    assert "stale words" not in card.read_text()
    assert "| without global branch |" in card.read_text()


def _small_recipe(folder: Path) -> Path:
    text = ablation.RECIPE.read_text()
    assert "batch = 8 " in text
    (folder / "recipe.toml").write_text(text.replace("batch = 8 ", "batch = 2 "))
    return folder / "recipe.toml"


def _must_not_run(*_: object) -> None:
    raise AssertionError("trained again")


@pytest.mark.parametrize("part", MODELS)
def test_a_model_without_a_part_still_learns_and_differs(part: str) -> None:
    torch.manual_seed(1)
    whole, cut = GlintEdge(), GlintEdge()
    cut.load_state_dict(whole.state_dict())
    MODELS[part](cut)
    inputs = (torch.randn(2, 24, 56, 56), torch.randn(2, 32, 28, 28), torch.randn(2, 32, 28, 28))
    with torch.no_grad():
        apart = cut.eval().deep_logits(*inputs)[0] - whole.eval().deep_logits(*inputs)[0]
    assert float(apart.abs().max()) > 1e-5
    cut.train().deep_logits(*inputs)[0].sum().backward()
    assert any(p.grad is not None and float(p.grad.abs().max()) > 0 for p in cut.parameters())


def test_without_faults_only_rated_settings_are_left(prepared: Path) -> None:
    source = CachedSource(prepared / "work" / "train")
    rated = WithoutFaults(source)
    assert 0 < len(rated) < len(source)
    assert all(rated.unit(i, 0).weight.min() >= 0.5 for i in range(len(rated)))


def test_given_stages_are_those_of_the_network(prepared: Path) -> None:
    model = GlintEdge().eval()
    model.load_imagenet(load_file(prepared / "mobilenet.safetensors"))
    source = TapSource(prepared / "work" / "train", 2, compiled_stages(model), prepared / "taps")
    assert len(source) == 2
    unit = source.unit(1, 0)
    whole = CachedSource(prepared / "work" / "train").unit(1, 0)
    inputs = [[torch.from_numpy(x) for x in some.inputs] for some in (whole, unit)]
    with torch.inference_mode():
        expected = model.features(*GlintEdgeNetwork().inputs(model, inputs[0]))
        TapNetwork.prepare(model)
        found = model.features(*TapNetwork().inputs(model, inputs[1]))
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)  # float16 on disk


def test_differences_are_paired_over_photographs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 50)
    rng = np.random.default_rng(2)
    opinions = np.linspace(1, 5, 12)
    content = rng.normal(0, 15, (20, 1))
    good = 20 * opinions + content + rng.normal(0, 1, (3, 20, 12))
    same = good + 1e-3
    found = figures({"a": good, "b": same, "c": good[:, ::-1]}, opinions, "a")
    assert found["b"]["srocc"]["difference95"] == pytest.approx([0, 0], abs=1e-9)
    low, high = found["a"]["srocc"]["interval95"]
    assert high - low > 0.01  # contents differ, pairs of them do not
    assert found["a"]["spread"]["value"] == pytest.approx(good.std(axis=1).mean(), rel=0.1)


def test_every_name_of_a_variant_is_of_a_part() -> None:
    known = {f"without {n}" for n in (*MODELS, *ablation_variants.RECIPES, "camera faults")}
    assert set(VARIANTS) == known | {FULL, "with noise matching"}
