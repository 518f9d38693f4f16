"""A set of small pictures whose opinions follow their blur."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from iqa.distortions.kadid import to_bytes

from ..conftest import scene

SCENES, LEVELS = 4, 6


@pytest.fixture(scope="session")
def written_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 pictures, 4 scenes in 6 strengths of blur, with a labels.csv of image,mos,scene,part."""
    root = tmp_path_factory.mktemp("blurred")
    rng = np.random.default_rng(0)
    lines = ["image,mos,scene,part"]
    for number in range(SCENES):
        clean = to_bytes(scene(number, 96, 128))
        for level in range(LEVELS):
            picture = cv2.GaussianBlur(clean, (0, 0), 0.3 + level) if level else clean
            name = f"{number}_{level}.png"
            cv2.imwrite(str(root / name), picture)
            opinion = 5 - 0.6 * level + rng.normal(0, 0.2)
            part = "test" if number == 3 else "train"
            lines.append(f"{name},{opinion:.3f},scene{number},{part}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scores.csv"


@pytest.fixture(autouse=True)
def _few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals have tests of their own; here they would take most of the time."""
    monkeypatch.setattr("iqa.bootstrap.RESAMPLES", 60)
