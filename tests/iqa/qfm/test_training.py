from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from iqa.qfm import losses
from iqa.qfm.matching import match, match_at_random
from iqa.qfm.noise import perturb, semantic_noise
from iqa.qfm.protocol import Batch, Opinion, Tokens
from iqa.qfm.schedule import Schedule
from iqa.qfm.teacher import pseudo_labels
from iqa.qfm.training import NoiseTraining, Settings

TOKENS, WIDTH, QUALITY_WIDTH = 24, 12, 4
STEPS = 30
SCHEDULE = Schedule(
    epochs=6, lr=3e-3, lr_start=1e-4, warmup=1, decay_every=4, noise_from=1, noise_full=3,
    strength=0.5,
)  # fmt: skip
QUIET = replace(SCHEDULE, noise_from=99, noise_full=100)


class TinyModel(nn.Module):
    """Tokens, and a head that looks at each before it averages."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(WIDTH, WIDTH)
        self.look = nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, 32), nn.GELU())
        self.out = nn.Linear(32, 1)

    def tokens(self, inputs: Tensor) -> Tokens:
        return Tokens(self.stem(inputs))

    def head(self, tokens: Tokens) -> Opinion:
        hidden = self.look(tokens.patches).mean(1)
        return Opinion(torch.sigmoid(self.out(hidden)[:, 0]), hidden)


class World:
    """Contents are patterns over tokens; some lean to good or bad, as in a small data set."""

    def __init__(self, seed: int, contents: int, bias: float) -> None:
        generator = torch.Generator().manual_seed(seed)
        width = WIDTH - QUALITY_WIDTH
        self.patterns = torch.randn(contents, TOKENS, width, generator=generator)
        self.lean = torch.rand(contents, generator=generator)
        self.bias = bias

    def batch(self, count: int, seed: int) -> Batch:
        generator = torch.Generator().manual_seed(seed)
        content = torch.randint(len(self.patterns), (count,), generator=generator)
        quality = torch.rand(count, generator=generator)
        quality = (1 - self.bias) * quality + self.bias * self.lean[content]
        noise = torch.randn(count, TOKENS, WIDTH, generator=generator)
        signal = quality[:, None, None] + 0.3 * noise[..., :QUALITY_WIDTH]
        pattern = 1.5 * self.patterns[content] + 0.1 * noise[..., QUALITY_WIDTH:]
        key = nn.functional.one_hot(content, len(self.patterns)).float()
        zeros = torch.zeros(count, dtype=torch.int64)
        return Batch(torch.cat([signal, pattern], dim=-1), quality, key, zeros)


def training(seed: int = 0, schedule: Schedule = SCHEDULE, **options: object) -> NoiseTraining:
    torch.manual_seed(seed)
    return NoiseTraining(TinyModel(), Settings(STEPS, schedule, memory=256, seed=seed), **options)


def trained(seed: int, schedule: Schedule, **options: object) -> TinyModel:
    run, world = training(seed, schedule, **options), World(seed, 8, bias=0.7)
    for step in range(schedule.epochs * STEPS):
        run.update(world.batch(16, 1000 * seed + step % 60))
    model = run.average
    assert isinstance(model, TinyModel)
    return model


@torch.no_grad()
def sensitivity(model: TinyModel, seed: int) -> float:
    """Mean change of the score under noise of unseen partners, in spreads of the score."""
    batch = World(seed + 777, 40, bias=0).batch(300, 5)
    tokens = model.tokens(batch.inputs)
    generator = torch.Generator().manual_seed(9)
    partner = tokens.patches[torch.randperm(300, generator=generator)]
    noise = semantic_noise(tokens.patches, partner, generator)
    clean = model.head(tokens).score
    patches = perturb(tokens.patches, noise, torch.full((300,), 0.3))
    return float((model.head(Tokens(patches)).score - clean).abs().mean() / clean.std())


@pytest.mark.parametrize("seed", [1, 3])
def test_training_makes_scores_insensitive_to_unseen_content(seed: int) -> None:
    before, after = (sensitivity(trained(seed, s), seed) for s in (QUIET, SCHEDULE))
    assert after < 0.5 * before


def test_the_control_draws_other_partners_and_trains_another_model() -> None:
    short = replace(SCHEDULE, epochs=2)
    matched, control = (trained(1, short, matcher=m) for m in (match, match_at_random))
    assert not torch.equal(matched.out.weight, control.out.weight)


def test_quality_alone_while_the_memory_fills() -> None:
    run, world = training(), World(0, 8, 0)
    assert set(run.update(world.batch(8, 0))) == {"loss", "quality"}
    assert len(run.memory) == 8
    run.step = STEPS
    parts = run.update(world.batch(8, 1))
    assert set(parts) == {"loss", "quality", "rank", "noise", "consistency"}
    weights = run.settings.weights
    assert parts["loss"] == pytest.approx(sum(weights[n] * parts[n] for n in weights if n in parts))
    assert parts["consistency"] == pytest.approx(
        0, abs=1e-6
    )  # strength is still 0: the noisy opinion is the clean one


def test_consistency_moves_the_noisy_opinion_only() -> None:
    scores = [torch.tensor([value], requires_grad=True) for value in (0.2, 0.6)]
    hidden = [torch.randn(1, 6, 4, requires_grad=True) for _ in range(2)]
    noisy, clean = (Opinion(s, h) for s, h in zip(scores, hidden, strict=True))
    losses.consistency(noisy, clean).backward()
    assert scores[0].grad is not None
    assert hidden[0].grad is not None
    assert scores[1].grad is None
    assert hidden[1].grad is None
    turned = float(losses.turned(hidden[0].detach(), hidden[1].detach()))
    assert losses.consistency(noisy, clean).item() == pytest.approx(0.4 + 0.1 * turned)


def test_without_a_partner_there_is_no_noise_loss() -> None:
    run, world = training(), World(0, 8, 0)
    run.update(world.batch(8, 0))
    run.step = 2 * STEPS
    batch = world.batch(8, 1)
    other = replace(batch, dataset=batch.dataset + 1)
    assert set(run.update(other)) == {"loss", "quality", "rank"}


def test_a_stopped_run_continues_to_the_same_weights(tmp_path: Path) -> None:
    world = World(0, 8, 0.5)
    short = replace(SCHEDULE, epochs=2, noise_from=0, noise_full=1)

    def fresh() -> NoiseTraining:
        return training(0, short)

    whole, stopped = fresh(), fresh()
    for step in range(2 * STEPS):
        whole.update(world.batch(8, step))
    for step in range(25):
        stopped.update(world.batch(8, step))
    stopped.save(tmp_path / "run.pt")
    resumed = fresh()
    resumed.restore(tmp_path / "run.pt")
    for step in range(resumed.step, 2 * STEPS):
        resumed.update(world.batch(8, step))
    for one, other in ((whole.model, resumed.model), (whole.average, resumed.average)):
        for first, second in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(first, second)


def test_unlabelled_pictures_teach_and_are_remembered() -> None:
    run = training(adapter=nn.Linear(WIDTH, 7))
    run.step = 2 * STEPS
    world = World(0, 8, 0)
    labelled, unlabelled = world.batch(8, 0), world.batch(6, 1)
    unlabelled = replace(unlabelled, teacher=torch.randn(6, 7))
    before = run.adapter.weight.detach().clone()
    assert "distillation" in run.update(labelled, unlabelled)
    assert not torch.equal(run.adapter.weight, before)
    assert len(run.memory) == 14
    assert set(run.average.state_dict()) == set(TinyModel().state_dict())  # no adapter in it


def test_distillation_pulls_scores_to_the_teachers() -> None:
    run = training(schedule=replace(QUIET, noise_from=0, lr_start=3e-3, strength=0.0))
    weights = dict.fromkeys(run.settings.weights, 0.0) | {"distillation": 1.0}
    run.settings = replace(run.settings, weights=weights)
    world = World(0, 8, 0)
    labelled, unlabelled = world.batch(8, 0), world.batch(16, 1)
    unlabelled = replace(unlabelled, quality=torch.full((16,), 0.95))
    gaps = [run.update(labelled, unlabelled)["distillation"] for _ in range(40)]
    assert gaps[-1] < gaps[0] / 3


def test_an_ensemble_labels_what_it_agrees_on() -> None:
    class Constant(nn.Module):
        def __init__(self, scores: list[float]) -> None:
            super().__init__()
            self.scores = torch.tensor(scores)

        def tokens(self, inputs: Tensor) -> Tokens:
            return Tokens(inputs)

        def head(self, tokens: Tokens) -> Opinion:
            return Opinion(self.scores, tokens.patches)

    teachers = [Constant([0.5, 0.1]), Constant([0.52, 0.9]), Constant([0.54, 0.5])]
    scores, agreed = pseudo_labels(teachers, torch.zeros(2, 1, 1))
    torch.testing.assert_close(scores, torch.tensor([0.52, 0.5]))
    assert agreed.tolist() == [True, False]


def test_the_schedule_has_its_phases() -> None:
    schedule = Schedule()
    assert [schedule.noisy(e) for e in (0, 1.99, 2, 8.9)] == [False, False, True, True]
    strengths = [schedule.largest_noise(e) for e in (2, 3.5, 5, 8)]
    assert strengths == pytest.approx([0, 0.15, 0.3, 0.3])
    rates = [schedule.rate(e) for e in (0, 1.5, 3, 5.9, 6, 8.9)]
    assert rates == pytest.approx([2e-7, 1.001e-4, 2e-4, 2e-4, 2e-5, 2e-5])
    assert [schedule.last(e) for e in (7.9, 8, 8.9)] == [False, True, True]


def test_weights_are_averaged_in_the_last_epoch_only() -> None:
    run, world = training(schedule=replace(QUIET, epochs=2)), World(0, 8, 0)
    for step in range(STEPS):
        run.update(world.batch(8, step))
    assert torch.equal(run.average.out.weight, run.model.out.weight)
    start = run.average.out.weight.clone()
    run.update(world.batch(8, 99))
    expected = start.lerp(run.model.out.weight, 1 - run.settings.average)
    torch.testing.assert_close(run.average.out.weight, expected)
    assert not torch.equal(run.average.out.weight, run.model.out.weight)
