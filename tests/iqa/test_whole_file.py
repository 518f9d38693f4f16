from __future__ import annotations

from pathlib import Path

import pytest

from iqa.whole_file import whole_file


def test_the_file_is_there_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "scores.npy"
    with whole_file(path) as stream:
        stream.write(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_former_file(tmp_path: Path) -> None:
    path = tmp_path / "scores.npy"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), whole_file(path) as stream:
        stream.write("neither half nor whole")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
