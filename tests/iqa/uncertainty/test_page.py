from __future__ import annotations

import json
from pathlib import Path

import pytest

from iqa.uncertainty.page import BEGIN, END, render, update_page
from sdk.errors import UsageError


def test_the_page_shows_the_report(repository: Path) -> None:
    report = json.loads((repository / "docs/models/glint-edge.uncertainty.json").read_text())
    assert render(report) in (repository / "docs/uncertainty.md").read_text()


def test_only_what_stands_between_the_markers_changes(repository: Path, tmp_path: Path) -> None:
    report = json.loads((repository / "docs/models/glint-edge.uncertainty.json").read_text())
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    update_page(page, report)
    assert page.read_text() == f"before\n{BEGIN}\n\n{render(report)}\n\n{END}\nafter\n"


def test_a_page_without_markers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(f"{END} {BEGIN}")
    with pytest.raises(UsageError, match="has no <!-- uncertainty -->"):
        update_page(tmp_path / "page.md", {})


def test_the_description_has_the_limit_of_the_report(repository: Path) -> None:
    report = json.loads((repository / "docs/models/glint-edge.uncertainty.json").read_text())
    fields = json.loads((repository / "iqa/recipes/glint_edge.bundle.json").read_text())
    assert fields["abstain_above"] == report["abstain_above"]
    assert fields["uncertainty_labels"] == report["labels"]
