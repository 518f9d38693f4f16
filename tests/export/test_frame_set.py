from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from export.frame_set import CLEAN, NEAR_DUPLICATE, FrameSet, collect_frames
from sdk.demo.degradations import DEGRADATIONS
from sdk.errors import UsageError
from sdk.frames import as_frame
from sdk.views import View

VIEWS = {"fragments": View.parse("fragments:2x32"), "resize": View.parse("resize:64x64")}


def pixels(frames: FrameSet, index: int) -> NDArray[np.float64]:
    inputs = frames.inputs[index]
    return np.concatenate([inputs[name].ravel() for name in sorted(inputs)]).astype(float)


def write_pictures(folder: Path, count: int, *, first: int = 0, name: str = "shot") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        coarse = np.random.default_rng(first + number).integers(0, 256, (6, 6, 3), np.uint8)
        picture = cv2.resize(coarse, (96, 96), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{name}{number}.png"), picture)


@pytest.fixture(scope="module")
def built_in() -> FrameSet:
    return collect_frames(None, VIEWS, 512)


def test_built_in_photographs_give_512_frames_none_like_another(built_in: FrameSet) -> None:
    assert len(built_in) == len(set(built_in.names)) == 512
    hashes = {hashlib.sha256(pixels(built_in, i).tobytes()).digest() for i in range(512)}
    assert len(hashes) == 512
    first = np.stack([pixels(built_in, i) for i in range(64)])  # [64, P]
    gaps = np.abs(first[:, None, ::11] - first[None, :, ::11]).mean(axis=2)
    assert gaps[~np.eye(64, dtype=bool)].min() > 0.8 * NEAR_DUPLICATE  # measured on other pixels


def test_groups_and_contents_have_even_shares() -> None:
    frames = collect_frames(None, VIEWS, 210)
    assert set(frames.groups) == {CLEAN, *DEGRADATIONS}
    assert max(Counter(frames.groups).values()) - min(Counter(frames.groups).values()) <= 1
    strengths = Counter(name.rsplit(" ", 1)[1] for name in frames.names if "haze" in name)
    assert len(strengths) == 5
    assert max(strengths.values()) - min(strengths.values()) <= 3
    by_content = Counter(frames.contents)
    assert len(by_content) == 3
    assert min(by_content.values()) > 50


def test_equal_arguments_give_equal_frames_and_others_do_not() -> None:
    one, same, other = (collect_frames(None, VIEWS, 16, seed=seed) for seed in (0, 0, 1))
    assert one.sha256 == same.sha256 != other.sha256
    assert one == same != other
    assert len(repr(one)) < 5000
    assert one.sha256 != collect_frames(None, VIEWS, 15).sha256
    assert one.take(range(15)).sha256 == collect_frames(None, VIEWS, 15).sha256


def test_the_hash_is_over_the_input_pixels(built_in: FrameSet) -> None:
    frames = built_in.take([0])
    digest = hashlib.sha256()
    for name in ("fragments", "resize"):
        array = frames.inputs[0][name]
        digest.update(f"{name} {array.shape}\n".encode() + array.tobytes())
    assert frames.sha256 == digest.hexdigest()


def test_pictures_can_be_made_again(built_in: FrameSet) -> None:
    for index in (0, 1, 200, 511):
        frame = as_frame(built_in.picture(index))
        for name, view in VIEWS.items():
            np.testing.assert_array_equal(view.apply(frame), built_in.inputs[index][name])


def test_parts_share_no_content(built_in: FrameSet) -> None:
    rest, held = built_in.split(0.3)
    assert not {*rest.contents} & {*held.contents}
    assert len(rest) + len(held) == 512
    assert 100 < len(held) < 250
    assert set(held.groups) == set(rest.groups) == set(built_in.groups)
    with pytest.raises(UsageError, match="held-out part needs other contents"):
        held.split(0.3)


def test_folder_with_subfolders_rubbish_and_damaged_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pictures(tmp_path, 3)
    write_pictures(tmp_path / "below", 2, first=3, name="other")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff rubbish")
    (tmp_path / "notes.txt").write_text("no picture")
    cv2.imwrite(str(tmp_path / "tiny.png"), np.zeros((8, 8, 3), np.uint8))
    with caplog.at_level(logging.WARNING, "framescore"):
        frames = collect_frames(tmp_path, VIEWS, 40)
    assert len(frames) == 40
    assert set(frames.contents) == {
        *(f"shot{number}.png" for number in range(3)),
        *(str(Path("below", f"other{number}.png")) for number in range(2)),
    }
    said = [record.getMessage() for record in caplog.records]
    assert sum("broken.jpg" in text for text in said) == 1
    assert sum("tiny.png" in text for text in said) == 1
    assert not any("notes.txt" in text for text in said)


def test_near_duplicates_are_dropped(tmp_path: Path) -> None:
    write_pictures(tmp_path, 2)
    picture = cv2.imread(str(tmp_path / "shot0.png"))
    picture[0, 0] ^= 255  # equal but for one pixel, so file and hash differ
    cv2.imwrite(str(tmp_path / "copy.png"), picture)
    frames = collect_frames(tmp_path, VIEWS, 9, degrade=False)
    assert len(frames) == 2
    assert set(frames.groups) == {CLEAN}


def test_flat_pictures_hide_most_faults(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((96, 96, 3), 128, np.uint8))
    with caplog.at_level(logging.WARNING, "framescore"):
        frames = collect_frames(tmp_path, VIEWS, 31)
    assert frames.groups.count("defocus") == frames.groups.count("low resolution") == 0
    assert frames.groups.count("haze") > 1
    assert f"{len(frames)} frames were found of 31 asked for" in caplog.text


def test_crops_are_enlarged_for_views_that_need_more_pixels() -> None:
    views = {"x": View.parse("crops:2x2@448")}
    frames = collect_frames(None, views, 8)
    assert frames.inputs[0]["x"].shape == (4, 448, 448, 3)
    assert all(min(frames.picture(i).shape[:2]) >= 448 for i in range(8))


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "holds no picture"), ("gone", "is not a folder")]
)
def test_folders_without_pictures(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=message):
        collect_frames(tmp_path / name, VIEWS, 4)


def test_only_damaged_pictures(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"rubbish")
    with pytest.raises(UsageError, match="None of the 1 pictures"):
        collect_frames(tmp_path, VIEWS, 4)


@pytest.mark.parametrize("count", [0, -1, 10**6])
def test_counts_that_cannot_be(count: int) -> None:
    with pytest.raises(UsageError, match=f"{count} frames were asked for"):
        collect_frames(None, VIEWS, count)
