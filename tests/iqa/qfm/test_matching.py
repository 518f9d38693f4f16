from __future__ import annotations

import pytest
import torch
from torch import Tensor

from iqa.qfm.matching import NO_PARTNER, MatchSettings, gate_width, match, match_at_random
from iqa.qfm.memory import Memory
from iqa.qfm.noise import perturb, semantic_noise

SETTINGS = MatchSettings()


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(quality: Tensor, key: Tensor, dataset: Tensor | None = None) -> Memory:
    memory = Memory(len(quality))
    tokens = torch.arange(len(quality)).float()[:, None, None].expand(-1, 4, 3)
    zeros = torch.zeros(len(quality), dtype=torch.int64)
    memory.push(tokens, key, quality, zeros if dataset is None else dataset)
    return memory


def test_memory_forgets_the_oldest() -> None:
    memory = Memory(3)
    for value in range(5):
        one = torch.full((1,), float(value))
        memory.push(one[:, None, None], one[:, None] + 1, one, one.long())
    assert len(memory) == 3
    assert sorted(memory.quality.tolist()) == [2, 3, 4]
    assert memory.patches.dtype == torch.float16
    torch.testing.assert_close(memory.key, torch.ones(3, 1))
    assert memory.quality.tolist() == memory.patches.flatten().tolist() == memory.dataset.tolist()


def test_a_batch_beyond_the_memory_leaves_its_end() -> None:
    memory = Memory(3)
    values = torch.arange(8.0)
    memory.push(values[:, None, None], values[:, None] + 1, values, values.long())
    memory.push(values[:1, None, None], values[:1, None] + 1, values[:1], values[:1].long())
    assert sorted(memory.quality.tolist()) == [0, 6, 7]


def test_memory_survives_a_checkpoint() -> None:
    memory, restored = filled(torch.rand(6), torch.rand(6, 2)), Memory(6)
    restored.restore(memory.state())
    assert torch.equal(restored.patches, memory.patches)
    assert torch.equal(restored.key, memory.key)


def test_huge_tokens_stay_finite_in_half_precision() -> None:
    memory = Memory(1)
    memory.push(torch.full((1, 2, 2), 1e6), torch.ones(1, 2), torch.ones(1), torch.zeros(1))
    assert bool(torch.isfinite(memory.patches).all())


@pytest.mark.parametrize("seed", range(5))
def test_the_only_one_of_equal_quality_and_opposite_key_is_chosen(seed: int) -> None:
    key = torch.nn.functional.normalize(torch.randn(1, 8, generator=seeded(seed)), dim=-1)
    quality = torch.cat([torch.full((6,), 0.5), torch.linspace(0.7, 1, 30)])
    keys = torch.cat([-key, key.expand(5, -1), -key.expand(30, -1)])
    memory = filled(quality, keys)
    chosen = match(torch.tensor([0.5]), key, torch.zeros(1), memory, SETTINGS, seeded(seed))
    assert chosen.tolist() == [0]


def test_the_furthest_inside_the_gate_are_candidates() -> None:
    angle = torch.linspace(0, 3.1, 40)
    memory = filled(torch.full((40,), 0.5), torch.stack([angle.cos(), angle.sin()], 1))
    quality, key = torch.full((400,), 0.5), torch.tensor([[1.0, 0.0]]).expand(400, -1)
    chosen = match(quality, key, torch.zeros(400), memory, SETTINGS, seeded())
    assert set(chosen.tolist()) == set(range(32, 40))  # eight, each drawn at times
    near, far = (int((chosen == row).sum()) for row in (32, 39))
    assert far > near  # the further, the likelier


def test_without_anyone_inside_the_gate_the_nearest_in_quality_stand_in() -> None:
    quality = torch.linspace(0.5, 1, 60)
    memory = filled(quality, torch.eye(60))
    settings = MatchSettings(gate_floor=0.001, gate_share=0.0, fallback=5)
    chosen = match(torch.zeros(50), torch.ones(50, 60), torch.zeros(50), memory, settings, seeded())
    assert set(chosen.tolist()) == set(range(5))


def test_partners_are_of_the_same_data_set_or_none() -> None:
    dataset = torch.tensor([0, 0, 1, 1])
    memory = filled(torch.full((4,), 0.5), torch.randn(4, 3, generator=seeded()), dataset)
    asked = torch.tensor([1, 0, 7])
    for matcher in (match, match_at_random):
        chosen = matcher(
            torch.full((3,), 0.5), torch.randn(3, 3), asked, memory, SETTINGS, seeded()
        )
        assert chosen[0] in (2, 3)
        assert chosen[1] in (0, 1)
        assert chosen[2] == NO_PARTNER


def test_the_gate_is_a_low_quantile_of_differences() -> None:
    quality = torch.rand(200, generator=seeded())
    memory = filled(quality, torch.ones(200, 2))
    gaps = torch.pdist(quality[:, None])
    wide = MatchSettings(gate_share=0.3)
    assert gate_width(memory, wide) == pytest.approx(float(torch.quantile(gaps, 0.3)), abs=1e-6)
    assert gate_width(filled(torch.full((9,), 0.5), torch.ones(9, 2)), SETTINGS) == 0.02
    assert gate_width(filled(torch.ones(1), torch.ones(1, 2)), SETTINGS) == 0.02


def test_matched_partners_are_nearer_in_quality_and_further_in_content_than_random() -> None:
    memory = filled(torch.rand(500, generator=seeded(1)), torch.randn(500, 6, generator=seeded(2)))
    quality = torch.rand(200, generator=seeded(3))
    key = torch.nn.functional.normalize(torch.randn(200, 6, generator=seeded(4)), dim=-1)
    gaps, distances = [], []
    for matcher in (match, match_at_random):
        rows = matcher(quality, key, torch.zeros(200), memory, SETTINGS, seeded())
        gaps.append(float((memory.quality[rows] - quality).abs().mean()))
        distances.append(float(1 - (memory.key[rows] * key).sum(-1).mean()))
    assert gaps[0] < 0.03 < 0.2 < gaps[1]
    assert distances[0] > 1.6 > 1.1 > distances[1]


def test_noise_has_the_samples_norm_and_no_mean() -> None:
    patches = torch.randn(3, 20, 5, generator=seeded(1), dtype=torch.float64) * 7 + 1
    partner = torch.randn(3, 20, 5, generator=seeded(2), dtype=torch.float64) * 0.1 + 9
    noise = semantic_noise(patches, partner, seeded())
    torch.testing.assert_close(
        noise.flatten(1).norm(dim=1), patches.flatten(1).norm(dim=1), rtol=1e-4, atol=0
    )
    assert float(noise.mean(1).abs().max()) < 1e-9


def test_noise_is_the_partners_tokens_in_another_order() -> None:
    partner = torch.randn(1, 20, 5)
    noise = semantic_noise(partner, partner, seeded())[0]
    centred = partner[0] - partner[0].mean(0)
    ratio = noise.norm() / centred.norm()
    order = torch.cdist(noise, centred * ratio).argmin(1)
    assert sorted(order.tolist()) == list(range(20))
    assert order.tolist() != list(range(20))
    torch.testing.assert_close(noise, centred[order] * ratio)


def test_no_strength_no_change_bit_for_bit() -> None:
    patches = torch.randn(2, 20, 5)
    noise = semantic_noise(patches, torch.randn(2, 20, 5), seeded())
    assert torch.equal(perturb(patches, noise, torch.zeros(2)), patches)


def test_noise_carries_no_gradient() -> None:
    patches = torch.randn(1, 4, 3, requires_grad=True)
    noise = semantic_noise(patches, patches, seeded())
    assert not noise.requires_grad
    perturb(patches, noise, torch.ones(1)).sum().backward()
    torch.testing.assert_close(patches.grad, torch.ones(1, 4, 3))


def test_a_flat_partner_is_no_noise() -> None:
    noise = semantic_noise(torch.randn(1, 4, 3), torch.ones(1, 4, 3), seeded())
    assert torch.equal(noise, torch.zeros(1, 4, 3))


def test_matched_noise_keeps_the_ranking_of_an_ideal_reader() -> None:
    """What matching is for: where noise carries quality too, random partners mix qualities."""
    from scipy.stats import spearmanr

    def energy(tokens: Tensor) -> Tensor:
        return tokens[..., :3].square().mean((1, 2))

    quality = torch.rand(600, generator=seeded(5)) * 0.9 + 0.1
    content = torch.randn(600, 3, generator=seeded(6))
    texture = quality[:, None, None] * torch.randn(600, 64, 3, generator=seeded(7))
    tokens = torch.cat([texture, torch.randn(600, 64, 3, generator=seeded(8))], dim=-1)
    memory = Memory(500)
    memory.push(tokens[100:], content[100:], quality[100:], torch.zeros(500))
    ranks = []
    for matcher in (match, match_at_random):
        rows = matcher(quality[:100], content[:100], torch.zeros(100), memory, SETTINGS, seeded())
        noise = semantic_noise(tokens[:100], memory.patches[rows], seeded())
        noisy = perturb(tokens[:100], noise, torch.full((100,), 0.8))
        ranks.append(spearmanr(energy(noisy), quality[:100]).statistic)
    assert ranks[0] > 0.97
    assert ranks[0] > ranks[1] + 0.05
