from __future__ import annotations

import numpy as np
import pytest

from sdk.calibration.choose import MAX_FOLDS, METHODS, Choice, Labelled, choose, make_folds


def labelled(kind: str, seed: int = 0, count: int = 40, width: int = 64) -> Labelled:
    """A model whose score and features know ten things; opinions follow none, one or two."""
    random = np.random.default_rng(seed)
    known = random.normal(size=(count, 10))
    features = known @ random.normal(size=(10, width)) + 0.3 * random.normal(size=(count, width))
    scores = np.clip(50 + 15 * known[:, 0], 0, 100)
    noise = random.normal(0, 4, count)
    opinions = {
        "noise": random.uniform(0, 100, count),
        "same": scores + noise,
        "line": 30 + 0.5 * scores + noise,
        "features": 20 + 0.6 * scores + 10 * known[:, 1] + noise,
        "only features": 50 + 15 * known[:, 1] + noise,
    }[kind]
    return Labelled(scores, opinions, features)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("noise", "identity"),
        ("same", "identity"),
        ("line", "affine"),
        ("features", "ridge"),
        ("only features", "ridge"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_takes_the_simplest_map_that_the_labels_support(kind: str, method: str, seed: int) -> None:
    assert choose(labelled(kind, seed)).method == method


def test_chosen_map_is_never_worse_on_labels_left_out() -> None:
    for kind in ("noise", "same", "line", "features", "only features"):
        found = choose(labelled(kind, 7))
        before, after = found.agreement["identity"], found.agreement[found.method]
        assert after.srocc >= before.srocc
        assert after.rmse <= before.rmse


def test_without_features_there_is_no_ridge() -> None:
    full = labelled("line")
    found = choose(Labelled(full.scores, full.opinions))
    assert found.method == "affine"
    assert set(found.agreement) == set(METHODS[:2])


@pytest.mark.parametrize(
    ("count", "contents", "there_are"),
    [(19, None, "are 19"), (40, list("abcdefghi") * 4 + list("abcd"), "are 40 of 9 contents")],
)
def test_too_few_labels_for_features(
    count: int, contents: list[str] | None, there_are: str
) -> None:
    full = labelled("features", count=count)
    found = choose(Labelled(full.scores, full.opinions, full.features, contents))
    assert "ridge" not in found.agreement
    expected = f"no ridge: it needs 20 labels of 10 contents, there {there_are}"
    assert found.reason.endswith(expected)


def test_reason_names_the_numbers() -> None:
    found = choose(labelled("noise"))
    assert found.reason.startswith("not affine: its scores of labels left out correlate")
    assert "not ridge" in found.reason
    assert "ridge: its error on labels left out, " in choose(labelled("features")).reason


def test_predictions_of_labels_left_out_do_not_know_them() -> None:
    """Moving one opinion moves no prediction of that label."""
    one = labelled("features")
    moved = one.opinions.copy()
    moved[3] += 7
    other = Labelled(one.scores, moved, one.features)

    def predicted(of: Labelled) -> float:
        found: Choice = choose(of)
        assert found.method == "ridge"
        return float(of.opinions[3] - found.residuals[3])

    assert predicted(one) == pytest.approx(predicted(other), abs=1e-9)


def test_copies_of_a_content_fool_nobody() -> None:
    """Features that name the content predict its copies, and nothing of other contents."""
    random = np.random.default_rng(2)
    content = np.repeat(np.arange(12), 4)
    features = np.eye(12)[content] + 0.01 * random.normal(size=(48, 12))
    opinions = random.uniform(0, 100, 12)[content] + random.normal(0, 2, 48)
    scores = random.uniform(0, 100, 48)
    alone = choose(Labelled(scores, opinions, features))
    together = choose(Labelled(scores, opinions, features, [str(x) for x in content]))
    assert alone.method == "ridge"
    assert (together.method, together.folds) == ("identity", 12)


@pytest.mark.parametrize("contents", [None, ["a", "b", "b", "c"] * 100])
def test_folds_hold_each_label_once(contents: list[str] | None) -> None:
    folds = make_folds(400, contents)
    assert len(folds) == (MAX_FOLDS if contents is None else 3)
    assert sorted(np.concatenate(folds).tolist()) == list(range(400))


def test_few_labels_are_left_out_one_by_one() -> None:
    assert {len(fold) for fold in make_folds(30, None)} == {1}


def test_scores_are_clipped_as_they_will_be() -> None:
    one = labelled("line")
    steep = Labelled(one.scores, np.clip(5 * one.scores - 200, 0, 100), one.features)
    found = choose(steep)
    predicted = steep.opinions - found.residuals
    assert 0 <= predicted.min() <= predicted.max() <= 100


def test_chance_seldom_passes_for_a_relation() -> None:
    methods = [choose(labelled("noise", seed, 24, 32)).method for seed in range(40)]
    assert methods.count("identity") >= 37
