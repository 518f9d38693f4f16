from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from iqa.contrast.loss import contrast


def test_loss_is_the_published_sum() -> None:
    """By hand: log sum over others of exp(s), minus the mean s to the positives."""
    z = torch.randn((4, 3), generator=torch.Generator().manual_seed(0))
    classes = torch.tensor([5, 5, 5, 9])
    s = F.normalize(z, dim=1) @ F.normalize(z, dim=1).T / 0.1
    wanted = []
    for i in range(3):  # the fourth has no positive
        others = [j for j in range(4) if j != i]
        positives = [j for j in range(3) if j != i]
        total = math.log(sum(math.exp(s[i, j]) for j in others))
        wanted.append(total - sum(float(s[i, j]) for j in positives) / 2)
    assert float(contrast(z, classes)) == pytest.approx(sum(wanted) / 3, rel=1e-4)


def test_length_does_not_matter_and_order_neither() -> None:
    z = torch.randn((6, 4), generator=torch.Generator().manual_seed(1))
    classes = torch.tensor([0, 0, 1, 1, 2, 2])
    base = float(contrast(z, classes))
    assert float(contrast(7 * z, classes)) == pytest.approx(base, rel=1e-5)
    order = torch.tensor([3, 0, 5, 2, 1, 4])
    assert float(contrast(z[order], classes[order])) == pytest.approx(base, rel=1e-5)


def test_classes_together_cost_less_than_mixed() -> None:
    z = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    together, mixed = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    assert float(contrast(z, together)) < float(contrast(z, mixed)) - 1


def test_no_positives_give_nothing_to_learn() -> None:
    z = torch.randn((3, 4), requires_grad=True)
    loss = contrast(z, torch.arange(3))
    loss.backward()
    assert float(loss.detach()) == 0
    assert bool(torch.isfinite(z.grad).all())
