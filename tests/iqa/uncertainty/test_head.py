from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from iqa.models.glint_edge import UNCERTAINTY_LABELS, GlintEdge, build
from iqa.models.uncertainty_head import UncertaintyHead, state_without_head, total
from iqa.training.networks import WHOLE


def test_a_fresh_head_claims_nothing() -> None:
    head = UncertaintyHead(4, 3)
    parts = head(torch.randn(2, 4))
    torch.testing.assert_close(parts, torch.full((2, 3), 49.66), rtol=1e-3, atol=0)
    assert not head.fitted
    assert not any(p.requires_grad for p in head.parameters())


def test_parts_are_bounded_whatever_the_feature() -> None:
    head = UncertaintyHead(4, 3)
    torch.nn.init.normal_(head.weight)
    assert head.fitted
    parts = head(1000 * torch.randn(50, 4))
    assert 0.2 < float(parts.min()) < float(parts.max()) < 50


def test_sigma_is_the_root_of_the_sum_of_squares() -> None:
    assert total(torch.tensor([[3.0, 4.0, 12.0]])).tolist() == [13.0]


@torch.inference_mode()
def test_weights_of_before_give_the_same_score_and_a_fresh_head(repository: Path) -> None:
    state = load_file(repository / "iqa/weights/glint_edge.safetensors")
    old = {k: v.float() for k, v in state.items() if not k.startswith("uncertainty.")}
    model = build()
    model.load_state_dict(old)
    assert not model.uncertainty.fitted
    assert "uncertainty.weight" not in old
    fragments, resize = (torch.full((1, 224, 224, 3), v, dtype=torch.uint8) for v in (90, 120))
    stride4, stride8 = model.shallow(torch.cat([fragments, resize]).float())
    logit = model.deep_logits(stride4[:1], stride8[:1], stride8[1:])[0]
    score, _, sigma, _, uncertainty, features = model(fragments, resize)
    torch.testing.assert_close(score, 100 * torch.sigmoid(logit), rtol=0, atol=1e-4)
    torch.testing.assert_close(sigma, uncertainty.norm(dim=-1))
    torch.testing.assert_close(score, 100 * torch.sigmoid(model.quality(features)[:, 0]))
    assert uncertainty.shape == (1, len(UNCERTAINTY_LABELS))


def test_any_other_missing_tensor_is_still_refused(repository: Path) -> None:
    state = load_file(repository / "iqa/weights/glint_edge.safetensors")
    del state["quality.bias"]
    with pytest.raises(RuntimeError, match=r"quality\.bias"):
        build().load_state_dict(state)


def test_training_writes_no_head_that_was_fitted_on_something_else() -> None:
    model = GlintEdge(blocks=1)
    torch.nn.init.ones_(model.uncertainty.weight)
    whole, without = model.state_dict(), state_without_head(model)
    assert set(whole) - set(without) == {"uncertainty.weight", "uncertainty.bias"}
    plain = torch.nn.Linear(2, 2)
    assert set(state_without_head(plain)) == {"weight", "bias"}


def test_training_starts_from_weights_with_and_without_heads() -> None:
    old = GlintEdge(blocks=1)
    torch.nn.init.ones_(old.uncertainty.weight)
    old.scenes.load_state_dict({"weight": torch.ones(3, 192), "bias": torch.zeros(3)})
    for state in (old.state_dict(), state_without_head(old)):
        new = GlintEdge(blocks=1)
        WHOLE["weights"](new, state)
        assert torch.equal(new.quality.weight, old.quality.weight)
        assert not new.uncertainty.fitted
        assert not new.scenes.fitted
