from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from iqa.__main__ import app
from iqa.data.features import write_features
from iqa.data.photos import read_folder
from iqa.data.store import Store, write_store
from iqa.data.synthesis import Synthesis
from iqa.distortions.kadid import TYPES
from iqa.models.glint_edge import DISTORTION_LABELS, GlintEdge, build
from iqa.models.uncertainty_head import state_without_head
from iqa.validate import fit_of, order_of


def test_trusted_samples_alone_are_compared() -> None:
    torch.manual_seed(0)
    model, rng, count = build(), np.random.default_rng(0), 40
    views = [rng.integers(0, 256, (count, 224, 224, 3), np.uint8) for _ in range(2)]
    with torch.inference_mode():
        mos = model(*map(torch.from_numpy, views))[1].numpy()
    weight = np.ones(count, np.float32)
    weight[::4], labels = 0.25, mos + 0.5
    labels[::4] = rng.uniform(1, 5, count // 4)  # anchors that agree with nothing
    causes = np.zeros((count, len(DISTORTION_LABELS)), np.float32)
    found = fit_of(model, Store(*views, labels.astype(np.float32), weight, causes), most=36)
    assert found["n"] == 27
    assert found["srocc"] == pytest.approx(1)
    assert found["mae"] == pytest.approx(0.5, abs=1e-3)


def test_order_counts_visible_pairs_inside_groups_of_chosen_samples() -> None:
    mos = np.float32([4, 3, 2, 1.95, 4, 3, 2, 1])
    chosen = np.arange(8) < 4
    scores = np.float32([4, 2, 3, 9, 0, 0, 0, 0])  # 2 to 3 in the wrong order, 4th above all
    assert order_of(scores, mos, chosen) == {"pairs": 5, "order": 2 / 5}
    assert np.isnan(order_of(scores, mos, chosen & False)["order"])


def test_the_command_takes_weights_as_training_writes_them(
    photo_folder: Path, tmp_path: Path, repository: Path
) -> None:
    model = GlintEdge().eval()
    means = {(kind, level): 4.7 - 0.6 * level for kind in TYPES for level in range(1, 6)}
    for split in ("train", "val"):
        write_store(tmp_path / split, Synthesis(read_folder(photo_folder), means, 4), 2, workers=1)
        write_features(tmp_path / split, model)
    recipe = str(repository / "iqa/recipes/glint_edge.toml")
    for name, state in (("bare", state_without_head(model)), ("whole", model.state_dict())):
        save_file({n: v.contiguous() for n, v in state.items()}, tmp_path / name)
        words = ["validate", recipe, "--work", str(tmp_path), "--weights", str(tmp_path / name)]
        found = CliRunner().invoke(app, words)
        assert found.exit_code == 0, found.output
        assert "val: n " in found.output
