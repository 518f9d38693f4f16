from __future__ import annotations

import copy
import io
import math
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from export.write_bundle import write_bundle
from sdk import scorer as scorer_module
from sdk.backends import BACKENDS
from sdk.bundle import Bundle
from sdk.errors import BackendError, FrameError, SourceError, UsageError
from sdk.frames import Frame, as_frame
from sdk.results import FrameScore
from sdk.scorer import Scorer
from sdk.views import View

from .tiny_model import LABELS, SIGMA, tiny_manifest, tiny_members, tiny_onnx, tiny_score

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def scorer(tiny_bundle: Path) -> Iterator[Scorer]:
    with Scorer(tiny_bundle, threads=2) as opened:
        yield opened


def pictures(count: int, seed: int = 0) -> list[Picture]:
    """Noise of different sizes and brightness."""
    random = np.random.default_rng(seed)
    sides = random.integers(40, 300, (count, 2))
    tops = random.integers(2, 256, count)
    return [
        random.integers(0, top, (*side, 3), np.uint8) for side, top in zip(sides, tops, strict=True)
    ]


def bits(score: FrameScore) -> tuple[object, ...]:
    """All that a frame's pixels decide."""
    return (score.score, score.mos, score.sigma, *score.distortions.items())


def test_score_is_what_the_network_says(scorer: Scorer) -> None:
    picture = pictures(1)[0]
    frame = as_frame(picture)
    expected = tiny_score(
        {
            "fragments": View.parse("fragments:7x32").apply(frame),
            "resize": View.parse("resize:224x224").apply(frame),
        }
    )
    result = scorer.score(picture)
    assert result.score == pytest.approx(expected, rel=1e-6)
    assert result.mos == pytest.approx(1 + expected / 25, rel=1e-6)
    assert result.sigma == SIGMA
    assert tuple(result.distortions) == LABELS
    assert sum(result.distortions.values()) == pytest.approx(1, abs=1e-6)


def test_result_says_where_it_comes_from(scorer: Scorer, tiny_bundle: Path) -> None:
    frame = as_frame(pictures(1)[0])
    result = scorer.score(
        Frame(frame.data, frame.pixel_format, frame.width, frame.height, index=7, pts_s=0.5,
              source="cam", dropped=3)
    )  # fmt: skip
    assert (result.frame_index, result.pts_s, result.source, result.dropped) == (7, 0.5, "cam", 3)
    assert result.model == scorer.model_id == Bundle.load(tiny_bundle).model_id
    assert (result.backend, result.precision) == (scorer.backend, scorer.precision)
    assert (scorer.backend, scorer.bundle.manifest.id) == ("openvino", "tiny")
    assert scorer.device in repr(scorer)


def test_latency_adds_up(scorer: Scorer) -> None:
    before = time.perf_counter()
    latency = scorer.score(pictures(1)[0]).latency
    took_ms = (time.perf_counter() - before) * 1e3
    parts = (latency.queue, latency.pre, latency.infer, latency.post)
    assert all(part >= 0 for part in parts)
    assert latency.pre > 0
    assert latency.infer > 0
    assert sum(parts) <= took_ms


def test_waiting_since_the_capture_is_queue(scorer: Scorer) -> None:
    frame = as_frame(pictures(1)[0])
    captured = time.perf_counter() - 2.0
    waited = Frame(frame.data, frame.pixel_format, frame.width, frame.height, captured_at=captured)
    assert 2000 <= scorer.score(waited).latency.queue < 60_000


@pytest.mark.parametrize("name", list(BACKENDS))
def test_same_frame_same_score_to_the_last_bit(tiny_bundle: Path, name: str) -> None:
    pytest.importorskip(BACKENDS[name].package)
    check_same_frame_same_score(tiny_bundle, name, count=6)


@pytest.mark.parametrize("name", list(BACKENDS))
def test_default_model_same_frame_same_score(default_bundle: Path, name: str) -> None:
    pytest.importorskip(BACKENDS[name].package)
    check_same_frame_same_score(default_bundle, name, count=3)


def test_default_model_backends_agree(default_bundle: Path) -> None:
    """All outputs, not the score alone: a runtime may mix up the others."""
    pytest.importorskip("onnxruntime")
    frame = pictures(1, seed=4)[0]
    with (
        Scorer(default_bundle, "openvino", "fp32") as one,
        Scorer(default_bundle, "onnxruntime") as other,
    ):
        np.testing.assert_allclose(
            _numbers(one.score(frame)), _numbers(other.score(frame)), rtol=1e-3, atol=1e-3
        )
        assert one.verify() < 0.05
        assert other.verify() < 0.05


def _numbers(score: FrameScore) -> list[float]:
    assert score.sigma is not None
    return [score.score, score.mos, score.sigma, *score.distortions.values()]


def check_same_frame_same_score(model: Path, backend: str, count: int) -> None:
    """Alone, in reverse order, in small and large batches, from several threads."""
    frames = pictures(count, seed=9)
    with Scorer(model, backend=backend, threads=2) as scorer:
        alone = [bits(scorer.score(frame)) for frame in frames]
        assert len(set(alone)) == count
        backwards = [bits(scorer.score(frame)) for frame in reversed(frames)]
        assert backwards == alone[::-1]
        assert [bits(score) for score in scorer.score_batch(frames)] == alone
        assert [bits(score) for score in scorer.score_batch(frames[::-1])] == alone[::-1]
        repeats = -(-scorer_module.WIDE_FROM // count)
        many = [bits(score) for score in scorer.score_batch(frames * repeats)]
        assert many == alone * repeats
        with ThreadPoolExecutor(4) as pool:
            threaded = [bits(score) for score in pool.map(scorer.score, frames * 4)]
        assert threaded == alone * 4


def test_large_batches_take_several_lanes(scorer: Scorer) -> None:
    scores = scorer.score_batch(pictures(1) * scorer_module.WIDE_FROM)
    assert [score.frame_index for score in scores] == list(range(scorer_module.WIDE_FROM))
    assert scorer._engines.wide().lanes == 2


def test_batch_of_nothing(scorer: Scorer) -> None:
    assert scorer.score_batch([]) == []


def test_formats_reach_every_frame_of_a_batch(scorer: Scorer) -> None:
    picture = pictures(1)[0]
    by_format = [
        scorer.score_batch([picture], format="bgr")[0],
        scorer.score_batch([np.ascontiguousarray(picture[:, :, ::-1])], format="rgb")[0],
        scorer.score(picture[:, :, ::-1], format="rgb"),
    ]
    assert len({bits(score) for score in by_format}) == 1
    i420 = np.full(64 * 48 * 3 // 2, 120, np.uint8)
    flat = scorer.score_batch([i420], format="i420", size=(64, 48), full_range=True)[0]
    assert flat.score == scorer.score(i420.reshape(72, 64), format="i420", full_range=True).score


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((64, 64, 3), np.uint16),
        np.zeros((1, 1, 3), np.uint8),
        np.zeros((0, 64, 3), np.uint8),
        np.zeros((64, 64, 5), np.uint8),
        np.full((64, 64, 3), np.nan),
        "photo.png",
        None,
    ],
    ids=["uint16", "1x1", "empty", "5 channels", "NaN", "path", "None"],
)
def test_what_is_no_frame(scorer: Scorer, frame: object) -> None:
    with pytest.raises(FrameError):
        scorer.score(frame)
    with pytest.raises(FrameError, match=r"^Item 1: Frame"):
        scorer.score_batch([pictures(1)[0], frame])


def test_verify_compares_with_the_golden_frames(scorer: Scorer) -> None:
    assert scorer.verify() < 1e-3


def test_loaded_bundle_and_onnxruntime(tiny_bundle: Path) -> None:
    pytest.importorskip("onnxruntime")
    with Scorer(Bundle.load(tiny_bundle), backend="onnxruntime") as other:
        assert other.backend == "onnxruntime"
        assert other.verify() < 1e-3


@pytest.mark.parametrize("threads", [0, -1, 0.5, "2"])
def test_threads_must_be_counted(tiny_bundle: Path, threads: object) -> None:
    with pytest.raises(UsageError, match=r"threads is .*; it must be an integer from 1 to 1024"):
        Scorer(tiny_bundle, threads=threads)  # type: ignore[arg-type]


def test_closed_scorer_says_so(tiny_bundle: Path) -> None:
    picture = pictures(1)[0]
    with Scorer(tiny_bundle) as scorer:
        scorer.score(picture)
    scorer.close()
    calls: list[Callable[[], object]] = [
        lambda: scorer.score(picture),
        lambda: scorer.score_batch([]),
        lambda: next(scorer.stream([picture])),
        scorer.verify,
    ]
    for call in calls:
        with pytest.raises(BackendError, match="This Scorer is closed"):
            call()
    assert "closed" in repr(scorer)


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_scorer_cannot_be_copied(scorer: Scorer, copier: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        copier(scorer)


class Recording:
    """A source of numbered frames that tells how it was used."""

    name = "recording"
    fps: float | None = 25.0
    dropped = 0

    def __init__(
        self, count: int, *, live: bool = False, length: int | None = None, fails: bool = False
    ) -> None:
        self.live = live
        self.length = length
        self.threads: set[str] = set()
        self.given = 0
        self.closed = False
        self._count = count
        self._fails = fails

    def select(self, wanted: Callable[[int, float | None], bool]) -> Iterator[Frame]:
        for index in range(self._count):
            if wanted(index, index / 25):
                self.threads.add(threading.current_thread().name)
                self.given += 1
                data = np.full((64, 64, 3), index % 256, np.uint8)
                plain = as_frame(data)
                yield Frame(data, plain.pixel_format, 64, 64, index=index, pts_s=index / 25,
                            source=self.name, captured_at=time.perf_counter())  # fmt: skip
        if self._fails:
            raise SourceError("recording broke off.")

    def close(self) -> None:
        self.closed = True

    def __iter__(self) -> Iterator[Frame]:
        return self.select(lambda _index, _pts_s: True)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


LENGTHS = [10, None]  # a known short one is scored one by one, the other by several lanes


@pytest.mark.parametrize("length", LENGTHS)
def test_stream_scores_every_frame_in_order(scorer: Scorer, length: int | None) -> None:
    scores = list(scorer.stream(Recording(10, length=length)))
    assert [score.frame_index for score in scores] == list(range(10))
    assert [score.pts_s for score in scores] == [index / 25 for index in range(10)]
    levels = [score.score for score in scores]
    assert levels == sorted(levels)
    assert {score.source for score in scores} == {"recording"}


@pytest.mark.parametrize("length", LENGTHS)
def test_decoding_runs_beside_inference(scorer: Scorer, length: int | None) -> None:
    source = Recording(5, length=length)
    list(scorer.stream(source))
    assert threading.current_thread().name not in source.threads


@pytest.mark.parametrize("length", LENGTHS)
def test_frames_before_a_fault_are_scored(scorer: Scorer, length: int | None) -> None:
    stream = scorer.stream(Recording(5, length=length, fails=True))
    assert [next(stream).frame_index for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(SourceError, match="recording broke off"):
        next(stream)


@pytest.mark.parametrize("length", LENGTHS)
def test_leaving_a_stream_early_ends_its_threads(scorer: Scorer, length: int | None) -> None:
    source = Recording(1_000_000, length=length)
    stream = scorer.stream(source)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert source.given < 20
    assert not source.closed  # whoever opened it closes it
    assert not [t.name for t in threading.enumerate() if t.name.startswith("framescore-")]


def test_live_source_is_read_one_frame_at_a_time(scorer: Scorer) -> None:
    """Reading ahead would make every score late."""
    source = Recording(100, live=True)
    stream = scorer.stream(source)
    for expected in range(1, 4):
        next(stream)
        assert source.given == expected
    assert source.threads == {threading.current_thread().name}


def test_iterable_of_arrays_is_drawn_as_it_is_scored(scorer: Scorer) -> None:
    drawn = []

    def arrays() -> Iterator[Picture]:
        for picture in pictures(4):
            drawn.append(picture)
            yield picture

    for index, score in enumerate(scorer.stream(arrays())):
        assert score.frame_index == index
        assert len(drawn) == index + 1
    assert len(drawn) == 4


def test_iterable_with_something_else(scorer: Scorer) -> None:
    stream = scorer.stream([pictures(1)[0], "photo.png"])
    assert next(stream).frame_index == 0
    with pytest.raises(FrameError, match="Item 1"):
        next(stream)


@pytest.mark.parametrize(
    ("sampling", "indices"),
    [
        ({"every": 4}, [0, 4, 8]),
        ({"limit": 3}, [0, 1, 2]),
        ({"every": 3, "limit": 2}, [0, 3]),
        ({"fps": 12.5}, [0, 2, 4, 6, 8]),
    ],
)
@pytest.mark.parametrize("length", LENGTHS)
def test_sampling(
    scorer: Scorer, length: int | None, sampling: dict[str, int], indices: list[int]
) -> None:
    source = Recording(10, length=length)
    scores = list(scorer.stream(source, **sampling))  # type: ignore[arg-type]
    assert [score.frame_index for score in scores] == indices
    assert source.given == len(indices)  # the others were never decoded


@pytest.mark.parametrize("sampling", [{"every": 0}, {"limit": 0}, {"fps": -1}])
def test_sampling_that_cannot_be(scorer: Scorer, sampling: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        next(scorer.stream([], **sampling))  # type: ignore[arg-type]


@pytest.mark.parametrize("length", LENGTHS)
def test_closing_the_scorer_ends_its_streams(tiny_bundle: Path, length: int | None) -> None:
    scorer = Scorer(tiny_bundle, threads=2)
    stream = scorer.stream(Recording(10_000, length=length))
    next(stream)
    scorer.close()
    with pytest.raises(BackendError, match="closed"):
        list(stream)


def test_files_are_opened_and_closed(scorer: Scorer, tmp_path: Path) -> None:
    for index, level in enumerate((10, 120, 240)):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((80, 90, 3), level, np.uint8))
    from_directory = list(scorer.stream(tmp_path))
    assert [score.frame_index for score in from_directory] == [0, 1, 2]
    levels = [score.score for score in from_directory]
    assert levels == sorted(levels)
    image = next(scorer.stream(str(tmp_path / "1.png")))
    assert bits(image) == bits(from_directory[1])


def test_missing_file(scorer: Scorer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.mp4"):
        next(scorer.stream(tmp_path / "none.mp4"))


def test_network_that_computes_nan_names_the_frame(tmp_path: Path) -> None:
    """The score is the square root of brightness less 50: NaN for dark frames."""
    model = onnx.load(io.BytesIO(tiny_onnx()))
    node = next(node for node in model.graph.node if "score" in node.output)
    node.output[:] = ["brightness"]
    rest = [
        helper.make_node("Sub", ["brightness", "fifty"], ["difference"]),
        helper.make_node("Sqrt", ["difference"], ["score"]),
    ]
    position = list(model.graph.node).index(node) + 1
    for new in reversed(rest):
        model.graph.node.insert(position, new)
    model.graph.initializer.append(helper.make_tensor("fifty", 1, [1], [50.0]))
    members = {**tiny_members(), "model.onnx": model.SerializeToString()}
    path = tmp_path / "root.framescore"
    write_bundle(path, tiny_manifest(), members)
    bright, dark = np.full((64, 64, 3), 200, np.uint8), np.full((64, 64, 3), 20, np.uint8)
    with Scorer(path) as scorer:
        stream = scorer.stream([bright, dark])
        assert next(stream).score == pytest.approx((200 / 2.55 - 50) ** 0.5, rel=1e-3)
        with pytest.raises(BackendError, match=r"score = \[nan\] for frame 1 of the input"):
            next(stream)
        assert math.isnan(scorer.verify())
