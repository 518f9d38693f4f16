from __future__ import annotations

from pathlib import Path

import pytest

from iqa.score_cache import COLUMNS, Identity, ScoreCache
from sdk.errors import SinkError, SourceError

IDENTITY = Identity("d" * 64, "openvino", "fp32")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture, with comma.png"
    path.write_bytes(b"bytes")
    return path


def test_scores_come_back_to_the_last_bit(tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "new" / "folder" / "scores.csv"
    score = 100 / 3
    with ScoreCache(path).appending() as appender:
        appender.add(IDENTITY.key(picture), score, picture.name)
        assert path.read_text().count("\n") == 2  # on disk before the next one is computed
    assert ScoreCache(path).scores == {IDENTITY.key(picture): score}


def test_a_key_is_model_runtime_arithmetic_and_bytes(tmp_path: Path, picture: Path) -> None:
    key = IDENTITY.key(picture)
    others = [
        Identity("e" * 64, "openvino", "fp32"),
        Identity("d" * 64, "onnxruntime", "fp32"),
        Identity("d" * 64, "openvino", "bf16"),
    ]
    assert len({key, *(other.key(picture) for other in others)}) == 4
    same = tmp_path / "copy.png"
    same.write_bytes(b"bytes")
    assert IDENTITY.key(same) == key
    same.write_bytes(b"bytez")
    assert IDENTITY.key(same) != key
    with pytest.raises(SourceError, match=r"absent\.png cannot be read"):
        IDENTITY.key(tmp_path / "absent.png")


@pytest.mark.parametrize(
    "torn", ["d", "," * 6, f"a,b,c,{'0' * 64},5,4", f"a,b,c,{'0' * 64},5,nan,x", "\x00\xff"]
)
def test_spoilt_lines_are_passed_over_and_ended(torn: str, tmp_path: Path, picture: Path) -> None:
    path = tmp_path / "scores.csv"
    with ScoreCache(path).appending() as appender:
        appender.add(IDENTITY.key(picture), 1.5, "a")
    with path.open("a") as file:
        file.write(torn)
    picture.write_bytes(b"others")
    cache = ScoreCache(path)
    assert list(cache.scores.values()) == [1.5]
    with cache.appending() as appender:
        appender.add(IDENTITY.key(picture), 2.5, "b")
    assert list(ScoreCache(path).scores.values()) == [1.5, 2.5]
    assert path.read_text().startswith(",".join(COLUMNS) + "\n")


def test_a_cache_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SinkError, match=r"Cannot write .*scores\.csv") as caught,
        ScoreCache(tmp_path / "file" / "scores.csv").appending(),
    ):
        pass
    assert "--cache" in caught.value.hint


def test_faults_of_others_keep_their_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="a picture"), ScoreCache(tmp_path / "a").appending():
        raise SourceError("a picture")
