from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from iqa.__main__ import app


@pytest.mark.parametrize(
    "words",
    [
        ["pretrain", "glint-edge", "--clean", "nowhere", "--work", "work"],
        ["evaluate", "glint-edge", "--means", "nowhere"],
    ],
)
def test_an_output_without_a_folder_is_refused_first(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = CliRunner().invoke(app, [*words, "-o", "none/file"])
    assert found.exit_code == 2
    assert "--out none/file: there is no folder none." in " ".join(found.output.split())
    assert not Path("work").exists()
