"""The second stage as a whole: judge on photographs left out, then fit on all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iqa.bootstrap import mean_of
from iqa.models.scene_head import SceneHead
from iqa.scenes.fit import LOSSES, FitSettings, fit_head
from iqa.scenes.labels import Scenes, as_matrix, scene_names
from iqa.scenes.samples import Samples
from sdk.errors import UsageError

FEATURES = ("context", "hidden")  # the first is what the network reads scenes from
Floats = NDArray[np.float32]
Right = NDArray[np.float64]
Rows = NDArray[np.bool_]


def fit_and_judge(
    samples: Samples,
    scenes: Scenes,
    settings: FitSettings,
    folds: int,
    seed: int,
    unseen: Collection[str] = (),
) -> tuple[SceneHead, dict[str, Any]]:
    """A head fitted on all frames, and what one is worth on photographs that it never saw.

    Args:
        samples: Of photographs that all have scenes.
        scenes: By file name.
        settings: Of the fit.
        folds: Parts of the photographs; each is judged by a head fitted on the others.
        seed: Of the folds and intervals.
        unseen: Photographs that the network itself was not trained on; they are judged apart too.

    Raises:
        UsageError: There are fewer photographs than folds, or fewer than two scenes.
    """
    names = scene_names({file: scenes[file] for file in np.unique(samples.content).tolist()})
    labels = as_matrix([scenes[file] for file in samples.content], names)
    fold = folds_of(samples.content, folds, seed)
    found = {
        feature: {
            loss: left_out(getattr(samples, feature), labels, fold, replace(settings, loss=loss))
            for loss in LOSSES
        }
        for feature in FEATURES
    }
    chosen = found[FEATURES[0]][settings.loss]
    common = commonest(labels)
    head = fit_head(getattr(samples, FEATURES[0]), labels, settings)
    parts = parts_of(samples, unseen)
    return head, {
        "labels": list(names),
        "settings": asdict(settings),
        "frames": len(samples),
        "photographs": len(np.unique(samples.content)),
        "folds": folds,
        "feature": FEATURES[0],
        "accuracy": accuracies(samples, hits(chosen, labels), parts, seed),
        "majority": accuracies(samples, hits(common, labels), parts, seed),
        "gain": accuracies(samples, hits(chosen, labels) - hits(common, labels), parts, seed),
        "ways": {
            f"{feature}, {loss}": accuracies(samples, hits(posterior, labels), parts, seed)["all"]
            for feature, ways in found.items()
            for loss, posterior in ways.items()
        },
        "by_scene": by_scene(chosen, labels, names, samples),
    }


def folds_of(content: NDArray[np.str_], folds: int, seed: int) -> NDArray[np.int64]:
    """Fold of each frame ``[N]``; all frames of a photograph share one.

    Raises:
        UsageError: There are fewer photographs than folds.
    """
    names, place = np.unique(content, return_inverse=True)
    if len(names) < folds:
        raise UsageError(
            f"There are {len(names)} photographs with scenes for {folds} folds; needed is at "
            "least one each.",
            hint="Give more photographs or fewer --folds.",
        )
    order = np.random.default_rng(seed).permutation(len(names))
    return np.asarray(order % folds)[place]


def left_out(
    features: Floats, labels: Floats, fold: NDArray[np.int64], settings: FitSettings
) -> Floats:
    """Probabilities ``[N, S]``, of each fold by a head fitted on the others."""
    out = np.empty_like(labels)
    for number in np.unique(fold):
        rows = fold == number
        head = fit_head(features[~rows], labels[~rows], settings)
        with torch.inference_mode():
            out[rows] = head(torch.from_numpy(features[rows])).numpy()
    return out


def commonest(labels: Floats) -> Floats:
    """As :func:`left_out` of a head that says what is common, whatever it sees.

    It counts the photographs judged as well, so it is the best of all such heads on them.
    """
    return np.broadcast_to(labels.mean(axis=0), labels.shape)


def hits(posterior: Floats, labels: Floats) -> Right:
    """1 where the likeliest scene is one that the photograph shows, ``[N]``."""
    return labels[np.arange(len(labels)), posterior.argmax(axis=1)].astype(np.float64)


def parts_of(samples: Samples, unseen: Collection[str]) -> dict[str, Rows]:
    """Rows to judge apart, by name: all, clean, distorted, and what the network never saw."""
    parts = {
        "all": np.full(len(samples), True),
        "clean": samples.clean,
        "distorted": ~samples.clean,
        "unseen": np.isin(samples.content, list(unseen)),
    }
    return {name: rows for name, rows in parts.items() if rows.any()}


def accuracies(
    samples: Samples, right: Right, parts: Mapping[str, Rows], seed: int
) -> dict[str, Any]:
    """Mean of ``right`` over each part, with intervals over photographs."""
    return {
        name: {"n": int(rows.sum()), **mean_of(right[rows], samples.content[rows], seed)}
        for name, rows in parts.items()
    }


def by_scene(
    posterior: Floats, labels: Floats, names: Sequence[str], samples: Samples
) -> dict[str, Mapping[str, Any]]:
    """For each scene: photographs that show it, how often it is the likeliest on them and rightly
    so, and `auc`, how often its probability is higher on a frame that shows it than on another.
    """
    named = posterior.argmax(axis=1)
    out: dict[str, Mapping[str, Any]] = {}
    for number, name in enumerate(names):
        shows, says = labels[:, number] > 0, named == number
        both = float((shows & says).sum())
        out[name] = {
            "photographs": len(np.unique(samples.content[shows])),
            "recall": round(both / max(int(shows.sum()), 1), 4),
            "precision": round(both / int(says.sum()), 4) if says.any() else None,
            "auc": auc(posterior[:, number], shows),
        }
    return out


def auc(probability: Floats, shows: Rows) -> float | None:
    """Area under the ROC curve by ranks (Hanley & McNeil 1982); None where all or none show it."""
    from scipy.stats import rankdata

    n, others = int(shows.sum()), int((~shows).sum())
    if not n or not others:
        return None
    above = rankdata(probability)[shows].sum() - n * (n + 1) / 2
    return round(float(above / (n * others)), 4)
