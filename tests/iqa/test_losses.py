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
