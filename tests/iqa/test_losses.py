from __future__ import annotations

import pytest
import torch

from iqa import losses


def test_ranking_prefers_the_right_order() -> None:
    target, weight, group = torch.tensor([0.9, 0.5, 0.1]), torch.ones(3), torch.zeros(3)
    right = losses.ranking(torch.tensor([0.8, 0.5, 0.2]), target, weight, group)
    wrong = losses.ranking(torch.tensor([0.2, 0.5, 0.8]), target, weight, group)
    assert right < wrong


def test_weak_labels_are_compared_inside_their_group_only() -> None:
    target, weight = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([0.25, 0.25, 1.0])
    pairs = losses.comparable(target, weight, torch.tensor([0, 0, 1]))
    assert pairs.nonzero().tolist() == [[0, 1]]


def test_correlation_loss_is_zero_for_a_line() -> None:
    target = torch.tensor([0.1, 0.4, 0.9])
    assert float(losses.correlation(2 * target + 1, target, torch.ones(3))) == pytest.approx(
        0, abs=1e-4
    )
    assert float(losses.correlation(-target, target, torch.ones(3))) == pytest.approx(2, abs=1e-4)


def test_spread_is_lowest_at_the_true_variance() -> None:
    quality, target = torch.zeros(2), torch.tensor([0.25, -0.25])  # errors of 1 MOS point
    values = [
        float(losses.spread(quality, torch.full((2,), v), target, torch.ones(2)))
        for v in (-1.0, 0.0, 1.0)
    ]
    assert values[1] == min(values)


def test_fidelity_is_lowest_for_the_right_order_and_bounded() -> None:
    target, weight, group = torch.tensor([0.9, 0.5, 0.1]), torch.ones(3), torch.zeros(3)
    right, near, wrong = (
        float(losses.fidelity(torch.tensor(quality), target, weight, group))
        for quality in ([9.0, 0.0, -9.0], [0.9, 0.5, 0.1], [-9.0, 0.0, 9.0])
    )
    assert right == pytest.approx(0, abs=1e-6)
    assert right < near < wrong == pytest.approx(1, abs=1e-6)


def test_fidelity_of_one_pair_is_the_published_form() -> None:
    """Thurstone: 0.25 of quality is one MOS point, so the chance is Phi(1)."""
    chance = float(torch.special.ndtr(torch.tensor(1.0)))
    pair = torch.tensor([0.5, 0.25]), torch.tensor([0.9, 0.1]), torch.ones(2), torch.zeros(2)
    assert float(losses.fidelity(*pair)) == pytest.approx(1 - chance**0.5)
    tie = (pair[0], torch.tensor([0.5, 0.5]), *pair[2:])
    wanted = 1 - (0.5 * chance) ** 0.5 - (0.5 * (1 - chance)) ** 0.5
    assert float(losses.fidelity(*tie)) == pytest.approx(wanted)


def test_fidelity_pulls_ties_together_and_has_finite_gradients() -> None:
    quality = torch.tensor([30.0, -30.0, 0.6, 0.4], requires_grad=True)
    target = torch.tensor([0.1, 0.9, 0.5, 0.5])
    losses.fidelity(quality, target, torch.ones(4), torch.zeros(4)).backward()
    assert bool(torch.isfinite(quality.grad).all())
    alone = torch.tensor([0.6, 0.4], requires_grad=True)
    losses.fidelity(alone, target[2:], torch.ones(2), torch.zeros(2)).backward()
    assert alone.grad[0] > 0 > alone.grad[1]


def test_posterior_fidelity_is_zero_at_the_target() -> None:
    target = torch.tensor([[0.7, 0.3, 0.0]])
    logits = torch.tensor([[0.7, 0.3, 1e-30]]).log().requires_grad_()
    found = losses.cause_fidelity(logits, target)
    found.backward()
    assert float(found.detach()) == pytest.approx(0, abs=1e-6)
    assert bool(torch.isfinite(logits.grad).all())
    assert float(losses.cause_fidelity(logits.detach().flip(1), target)) > 0.4


def test_labels_that_hold_at_once_are_judged_one_by_one() -> None:
    labels = torch.tensor([[1.0, 1.0, 0.0]])
    right = losses.label_fidelity(torch.tensor([[20.0, 20.0, -20.0]]), labels)
    half = losses.label_fidelity(torch.tensor([[20.0, -200.0, -20.0]]), labels)
    assert float(right) == pytest.approx(0, abs=1e-4)
    assert float(half) == pytest.approx(1 / 3, abs=1e-4)
