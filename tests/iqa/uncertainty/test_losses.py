from __future__ import annotations

import pytest
import torch
from scipy.stats import norm

from iqa.uncertainty import losses


def test_likelihood_is_the_normal_distribution() -> None:
    found = losses.gaussian_nll(torch.tensor([4.0, 25.0]), torch.tensor([9.0, 1.0]))
    wanted = [-norm.logpdf(3, scale=2), -norm.logpdf(1, scale=5)]
    assert found.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_likelihood_is_lowest_at_the_true_variance(beta: float) -> None:
    square = torch.tensor([9.0])
    gradients = []
    for value in (4.0, 9.0, 16.0):
        variance = torch.tensor([value], requires_grad=True)
        losses.beta_nll(variance, square, torch.ones(1), beta).backward()
        gradients.append(float(variance.grad))
    assert gradients[0] < 0 == pytest.approx(gradients[1], abs=1e-7)
    assert gradients[2] > 0


def test_beta_lets_large_variances_count_more() -> None:
    square, weight = torch.tensor([8.0, 800.0]), torch.ones(2)
    shares = []
    for beta in (0.0, 0.5):
        variance = torch.tensor([4.0, 400.0], requires_grad=True)
        losses.beta_nll(variance, square, weight, beta).backward()
        shares.append(float(variance.grad[1] / variance.grad[0]))
    assert shares[1] == pytest.approx(10 * shares[0])


def test_weight_zero_is_not_counted() -> None:
    variance, weight = torch.tensor([4.0, 4.0]), torch.tensor([1.0, 0.0])
    found = losses.beta_nll(variance, torch.tensor([9.0, 900.0]), weight, 0.5)
    assert float(found) == pytest.approx(
        float(losses.gaussian_nll(variance[:1], torch.tensor(9.0)))
    )


def test_only_foreign_causes_are_pushed() -> None:
    causes = torch.zeros((1, 3), requires_grad=True)
    losses.decoupling(causes, torch.tensor([[False, True, False]])).backward()
    assert causes.grad[0, 1] == 0
    assert bool((causes.grad[0, [0, 2]] > 0).all())


def test_the_clean_frame_is_not_pulled_towards_the_faulty_one() -> None:
    task, clean = (torch.tensor([v], requires_grad=True) for v in (-3.0, -4.0))
    losses.consistency(task, clean).backward()
    assert float(task.grad) == 1
    assert clean.grad is None
