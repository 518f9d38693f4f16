from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from iqa.data.photos import Photo
from iqa.data.store import views_of
from iqa.distortions.kadid import to_bytes
from iqa.models.glint_edge import GlintEdge, build
from iqa.qfm import comparison
from iqa.qfm.comparison import (
    ARMS,
    DECODED,
    FIGURES,
    FRESH,
    Arm,
    decoder_of,
    figures_of,
    judge,
    predict,
    run_arm,
    train,
)
from iqa.qfm.protocol import Tokens
from iqa.qfm.token_store import Plan, TokenStore, open_store, random_settings
from sdk.errors import UsageError

from ..conftest import scene

OPINIONS = {(kind, level): 4.7 - 0.6 * level for kind in range(1, 26) for level in range(1, 6)}
SETTINGS = ((1, 5), (10, 3), (11, 1), (24, 4))


TWO_STEPS = replace(FRESH, epochs=2, noise_from=0, noise_full=0)  # of one batch each


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        cv2.imwrite(str(folder / f"{number}.png"), to_bytes(scene(number))[..., ::-1])
    photos = tuple(Photo(path, "train", "CC0") for path in sorted(folder.iterdir()))
    return Plan(photos, (SETTINGS,) * len(photos), seed=3)


@pytest.fixture(scope="module")
def model() -> GlintEdge:
    torch.manual_seed(0)
    return build()


def colour(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    return rgb.mean(axis=(0, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, plan: Plan, model: GlintEdge) -> TokenStore:
    return open_store(tmp_path_factory.mktemp("store"), plan, model, colour, "weights")


def test_stored_tokens_give_the_networks_score(
    store: TokenStore, plan: Plan, model: GlintEdge
) -> None:
    decoder = decoder_of(model, "shipped", 0).eval()
    row = 2 * len(SETTINGS) + 1
    frame = plan.frames(2, plan.clean(2))[1]
    fragments, resize = (torch.from_numpy(view[None]) for view in views_of(frame))
    expected = model(fragments, resize)[0]
    found = 100 * decoder.head(Tokens(store.batch(np.array([row])))).score
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0)  # fp16 tokens
    assert tuple(store.settings[row]) == SETTINGS[1]
    assert store.photo_of(np.array([0, 3, 4, 11])).tolist() == [0, 0, 1, 2]
    assert store.keys[2] == pytest.approx(colour(views_of(plan.clean(2))[1]))


def test_a_stopped_store_goes_on_and_refuses_others(
    tmp_path: Path, plan: Plan, model: GlintEdge, store: TokenStore
) -> None:
    seen: list[int] = []

    def stop(done: int, total: int) -> None:
        assert total == len(plan.photos)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_store(tmp_path / "other", plan, model, colour, "weights", stop)
    again = open_store(
        tmp_path / "other", plan, model, colour, "weights", lambda done, _: seen.append(done)
    )
    assert seen == [2, 3, len(plan.photos)]
    assert np.array_equal(again.tokens, store.tokens)
    assert np.array_equal(again.keys, store.keys)
    for changed in ((plan, "others"), (replace(plan, seed=4), "weights")):
        with pytest.raises(UsageError, match="holds tokens of other weights, photographs or"):
            open_store(tmp_path / "other", changed[0], model, colour, changed[1])


def test_settings_are_drawn_for_each_photograph_without_repeats() -> None:
    drawn = random_settings(30, 4, tuple(OPINIONS), 1)
    assert {len(set(each)) for each in drawn} == {4}
    assert len(set(drawn)) > 25
    assert drawn == random_settings(30, 4, tuple(OPINIONS), 1)
    assert drawn[:5] == random_settings(5, 4, tuple(OPINIONS), 1)


def test_only_what_is_behind_the_cut_is_trained(store: TokenStore, model: GlintEdge) -> None:
    shipped, fresh = (decoder_of(model, start, 5) for start in ("shipped", "fresh"))
    assert {name.split(".")[1] for name, p in fresh.named_parameters() if p.requires_grad} == set(
        DECODED
    )
    for name, value in model.state_dict().items():
        assert torch.equal(shipped.model.state_dict()[name], value)
    before = {name: value.clone() for name, value in fresh.model.state_dict().items()}
    assert not torch.equal(before["quality.weight"], model.quality.weight)
    trained = train(fresh, store, OPINIONS, ARMS["matched"], TWO_STEPS, 1).model.state_dict()
    changed = {
        name.split(".")[0] for name in before if not torch.equal(before[name], trained[name])
    }
    assert changed == set(DECODED)


def test_arms_differ_in_the_noise_alone(store: TokenStore, model: GlintEdge) -> None:
    def weights(arm: str) -> torch.Tensor:
        decoder = decoder_of(model, "fresh", 1)
        return train(decoder, store, OPINIONS, ARMS[arm], TWO_STEPS, 1).model.quality.weight

    found = {arm: weights(arm) for arm in ARMS}
    assert torch.equal(found["matched"], weights("matched"))
    for one, other in (("matched", "without"), ("random", "without"), ("matched", "random")):
        assert not torch.equal(found[one], found[other])


def test_the_probe_is_noise_of_another_photograph(store: TokenStore, model: GlintEdge) -> None:
    decoder = decoder_of(model, "shipped", 0).eval()
    scores, moved = predict(decoder, store)
    assert scores.shape == moved.shape == (4, len(SETTINGS))
    assert scores.min() > 0
    assert scores.max() < 100
    assert (moved > 0).all()
    assert np.array_equal(predict(decoder, store)[1], moved)


def planted(content: float, scale: float = 1.0, seed: int = 0) -> NDArray[np.float64]:
    """Scores of 40 photographs under 10 settings with an influence of content."""
    rng = np.random.default_rng(seed)
    levels = np.linspace(20, 80, 10)
    return scale * (levels + content * rng.normal(size=(40, 10)))


def test_figures_of_planted_scores() -> None:
    levels, zeros = np.linspace(1, 5, 10), np.zeros((40, 10))
    perfect = figures_of(np.tile(10 * levels, (40, 1)), zeros, levels)
    assert perfect == pytest.approx(dict(zip(FIGURES, (1, 0, 0, 0), strict=True)))
    found = figures_of(planted(6), zeros + 2, levels)
    used = planted(6).mean(axis=0).std()
    assert found["spread"] == pytest.approx(6, rel=0.1)
    assert found["relative_spread"] == pytest.approx(found["spread"] / used)
    assert found["moved"] == pytest.approx(2 / used)
    half = figures_of(planted(6, 0.5), zeros + 1, levels)
    assert half["spread"] == pytest.approx(found["spread"] / 2)
    for name in ("srocc", "relative_spread", "moved"):
        assert half[name] == pytest.approx(found[name])


@pytest.fixture
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 200)


@pytest.mark.usefixtures("few_draws")
def test_differences_have_the_intervals_of_pairs() -> None:
    levels = np.linspace(1, 5, 10)

    def arm(content: float) -> Arm:
        scores = np.stack([planted(content, seed=seed) for seed in (1, 2)])
        return Arm(scores, np.ones_like(scores))

    found = judge({"without": arm(8), "matched": arm(4), "random": arm(4)}, levels)
    none = found["matched - random"]["spread"]
    assert (none["value"], none["interval95"]) == (0, [0, 0])
    better = found["matched - without"]["relative_spread"]
    low, high = better["interval95"]
    assert low < better["value"] < high < 0
    assert found["matched - without"]["srocc"]["interval95"][0] > 0
    each = found["matched"]["spread"]
    assert each["value"] == pytest.approx(np.mean(each["by_seed"]))
    assert len(each["by_seed"]) == 2


def test_finished_runs_are_read_again(
    tmp_path: Path, store: TokenStore, model: GlintEdge, monkeypatch: pytest.MonkeyPatch
) -> None:
    stores = {"train": store, "val": store}
    progress: list[int] = []

    def run(note: Callable[[int, int], object]) -> NDArray[np.float64]:
        return run_arm(tmp_path, "without", "fresh", 1, model, stores, OPINIONS, note)[0]

    first = run(lambda done, total: progress.append(total - done))
    assert progress == [1]
    monkeypatch.setattr(comparison, "train", None)
    assert np.array_equal(run(lambda *_: None), first)
    monkeypatch.setitem(comparison.SCHEDULES, "fresh", replace(FRESH, lr=1e-4))
    with pytest.raises(TypeError, match="not callable"):  # another schedule is another run
        run(lambda *_: None)
