from __future__ import annotations

import json
from pathlib import Path

import pytest

from iqa.card import BEGIN, END, render, update_card

REPORT = {
    "model": "m@1",
    "backend": "openvino fp32",
    "rated": {"pcuid": {"n": 3, "srocc": 0.7, "srocc_low": 0.6, "srocc_high": 0.8, "plcc": 0.71}},
    "synthetic": {
        "n": 5, "srocc": 0.9, "srocc_low": 0.89, "srocc_high": 0.91, "plcc": 0.92,
        "srocc_by_type": {"gaussian_blur": 0.95},
        "mean_score": {"gaussian_blur": [90.4, 80.0, 60.0, 30.0, 10.0]},
        "steps_not_followed": [{"type": "jpeg", "levels": [1, 2], "human": -0.2, "model": 1.0}],
    },
}  # fmt: skip


def test_results_replace_what_stood_between_the_markers(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text(f"# before\n{BEGIN}\nold\n{END}\nafter\n")
    update_card(card, REPORT)
    text = card.read_text()
    assert text.startswith("# before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    for figure in (
        "0.700 (0.60–0.80)",
        "0.647",
        "gaussian blur | 0.95 | 90 80 60 30 10",
        "jpeg 1→2",
    ):
        assert figure in text
    update_card(card, REPORT)
    assert card.read_text() == text


def test_card_without_markers_is_refused(tmp_path: Path) -> None:
    card = tmp_path / "card.md"
    card.write_text("# nothing\n")
    with pytest.raises(ValueError, match="results"):
        update_card(card, REPORT)


def test_the_shipped_card_shows_the_shipped_report(repository: Path) -> None:
    models = repository / "docs/models"
    report = json.loads((models / "glint-edge.json").read_text())
    assert render(report) in (models / "glint-edge.md").read_text()
