from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdk.errors import UsageError
from sdk.pooling import POOL_METHODS, pool
from sdk.results import SCHEMA_VERSION, FrameScore, Latency, Segment, VideoScore
from sdk.series import ScoreSeries

FRAME_KEYS = [
    "schema",
    "source",
    "frame_index",
    "pts_s",
    "score",
    "mos",
    "sigma",
    "uncertainty",
    "abstain",
    "distortions",
    "scenes",
    "latency_ms",
    "dropped",
    "model",
    "backend",
    "precision",
]


def frame_score(score=71.25, index=0, pts_s=None, **changes) -> FrameScore:
    fields = {
        "score": score,
        "mos": 3.5,
        "sigma": 2.0,
        "distortions": {"none": 0.75, "blur": 0.25},
        "frame_index": index,
        "pts_s": pts_s,
        "latency": Latency(0.5, 1.0, 4.0, 0.25),
        "model": "tiny@0123456789ab",
        "backend": "openvino",
        "precision": "fp32",
        "source": "clip.mp4",
    }
    return FrameScore(**{**fields, **changes})


def strict_json(fields) -> str:
    return json.dumps(fields, allow_nan=False)


def test_latency_adds_up():
    assert Latency(0.5, 1.0, 4.0, 0.25).total == 5.75


def test_latency_is_rounded_to_the_microsecond():
    latency = Latency(0.12345678, 0, 0, math.nan).to_dict()
    assert latency == {"queue": 0.123, "pre": 0.0, "infer": 0.0, "post": None, "total": None}


def test_a_frame_score_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame_score().score = 1.0
    assert not hasattr(frame_score(), "__dict__")


def test_frame_keys_are_the_contract():
    assert list(frame_score().to_dict()) == FRAME_KEYS
    assert frame_score().to_dict()["schema"] == SCHEMA_VERSION == 1


def test_numpy_numbers_become_plain_ones():
    fields = frame_score(
        score=np.float32(50.1),
        index=np.int64(3),
        pts_s=np.float64(0.12),
        sigma=np.float32(1.5),
        distortions={"blur": np.float32(0.5)},
        dropped=np.int32(2),
    ).to_dict()
    strict_json(fields)
    assert type(fields["score"]) is float
    assert type(fields["frame_index"]) is int
    assert type(fields["distortions"]["blur"]) is float


@pytest.mark.parametrize("missing", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_becomes_null(missing):
    fields = frame_score(
        score=missing, mos=missing, sigma=missing, pts_s=missing, distortions={"blur": missing}
    ).to_dict()
    strict_json(fields)
    assert [fields[key] for key in ("score", "mos", "sigma", "pts_s")] == [None] * 4
    assert fields["distortions"] == {"blur": None}


@given(st.floats(0, 100), st.one_of(st.none(), st.floats(0, 1e6)))
def test_a_frame_score_survives_json(score, pts_s):
    original = frame_score(score=score, pts_s=pts_s, sigma=None, dropped=4)
    assert FrameScore.from_dict(json.loads(strict_json(original.to_dict()))) == original


def test_null_comes_back_as_nan():
    back = FrameScore.from_dict(frame_score(score=math.nan).to_dict())
    assert math.isnan(back.score)


def test_from_dict_names_the_missing_field():
    fields = frame_score().to_dict()
    del fields["mos"]
    with pytest.raises(KeyError, match="mos"):
        FrameScore.from_dict(fields)


def test_a_frame_score_can_be_pickled():
    assert pickle.loads(pickle.dumps(frame_score())) == frame_score()


def test_pooling_a_clip():
    values = [float(v) for v in np.random.default_rng(1).uniform(0, 100, 90)]
    video = VideoScore.pool(frame_score(v, k, k / 30) for k, v in enumerate(values))
    assert video.source == "clip.mp4"
    assert video.model == "tiny@0123456789ab"
    assert (video.frames, video.unscored, video.complete) == (90, 0, True)
    assert video.pooled() == {method: pool(values, method) for method in POOL_METHODS}
    assert len(video.worst) == 2  # three seconds; the lowest window leaves room for one more
    assert video.worst[0].mean < video.mean


def test_segments_name_frames_and_seconds():
    # Every second frame was scored, so that position and index differ.
    values = [80.0] * 25 + [10.0] * 25 + [80.0] * 25
    scores = [frame_score(v, 2 * k, 2 * k / 50) for k, v in enumerate(values)]
    worst = VideoScore.pool(scores, worst=1).worst
    assert worst == (Segment(50, 98, 1.0, 1.96, 10.0),)


def test_segments_of_untimed_frames_have_no_seconds():
    worst = VideoScore.pool([frame_score(50.0, k) for k in range(30)]).worst
    assert worst == (Segment(0, 24, None, None, 50.0),)


def test_frames_without_a_score_are_counted_apart():
    video = VideoScore.pool([frame_score(math.nan, 0), frame_score(40.0, 1)])
    assert (video.frames, video.unscored, video.mean) == (1, 1, 40.0)


@pytest.mark.parametrize("scores", [[], [frame_score(math.nan)]], ids=["none", "all nan"])
def test_a_clip_without_scores_cannot_be_pooled(scores):
    with pytest.raises(UsageError, match=f"{len(scores)} frames"):
        VideoScore.pool(scores)


def test_video_dictionary_is_json():
    fields = VideoScore.pool([frame_score(50.0, k) for k in range(3)]).to_dict()
    assert json.loads(strict_json(fields)) == fields
    assert list(fields["pooled"]) == list(POOL_METHODS)
    assert fields["worst"][0] == {
        "start_index": 0,
        "end_index": 2,
        "start_s": None,
        "end_s": None,
        "mean": 50.0,
    }


def test_a_series_can_be_summarised_while_it_grows():
    series = ScoreSeries("camera")
    series.append(frame_score(40.0, 0))
    assert series.summary(complete=False).complete is False
    series.append(frame_score(60.0, 1))
    summary = series.summary()
    assert (summary.source, summary.frames, summary.mean) == ("camera", 2, 50.0)


def test_a_series_without_any_score_says_so_with_nan():
    series = ScoreSeries()
    series.append(frame_score(math.nan))
    summary = series.summary()
    assert (summary.frames, summary.unscored) == (0, 1)
    assert set(summary.to_dict()["pooled"].values()) == {None}


def test_an_empty_series_has_no_summary():
    with pytest.raises(UsageError, match="camera"):
        ScoreSeries("camera").summary()


def test_results_need_only_numpy():
    code = "import sdk.results, sdk.series, sys; print([m for m in sys.modules if '.' not in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"cv2", "openvino", "onnxruntime", "msgspec", "typer", "rich", "torch"}
    assert not heavy & set(eval(done.stdout))


def abstaining_clip() -> list[FrameScore]:
    """90 from a model that is sure, then 10 from one that is not; a second of each."""
    scores = [frame_score(90.0, k, k / 25) for k in range(25)]
    return scores + [frame_score(10.0, k, k / 25, abstain=True) for k in range(25, 50)]


def test_abstained_frames_count_and_are_counted():
    video = VideoScore.pool(abstaining_clip())
    assert (video.frames, video.abstained, video.abstained_counted) == (50, 25, True)
    assert (video.mean, video.min, video.worst[0].mean) == (50.0, 10.0, 10.0)
    assert video.to_dict()["abstained"] == 25
    assert video.to_dict()["abstained_counted"] is True


def test_abstained_frames_can_be_left_out_of_the_pooled_numbers():
    video = VideoScore.pool(abstaining_clip(), count_abstained=False)
    assert (video.frames, video.abstained, video.abstained_counted) == (50, 25, False)
    assert (video.mean, video.min) == (90.0, 90.0)
    assert [segment.mean for segment in video.worst] == [90.0]


def test_nothing_is_left_where_the_model_abstains_on_all():
    scores = [frame_score(10.0, k, abstain=True) for k in range(3)]
    assert VideoScore.pool(scores).mean == 10.0
    with pytest.raises(UsageError, match="3 frames, none with a score that the model trusts"):
        VideoScore.pool(scores, count_abstained=False)


def test_a_frame_without_a_score_does_not_abstain():
    video = VideoScore.pool([frame_score(math.nan, 0, abstain=True), frame_score(40.0, 1)])
    assert (video.frames, video.unscored, video.abstained) == (1, 1, 0)


def test_uncertainty_and_abstaining_survive_json_and_features_stay_out_of_it():
    features = np.arange(3, dtype=np.float32)
    original = frame_score(uncertainty={"task": np.float32(1.5)}, abstain=True, features=features)
    fields = json.loads(strict_json(original.to_dict()))
    assert (fields["uncertainty"], fields["abstain"]) == ({"task": 1.5}, True)
    assert "features" not in fields
    assert FrameScore.from_dict(fields) == original


def test_a_line_of_an_earlier_version_is_read():
    fields = frame_score().to_dict()
    del fields["uncertainty"], fields["abstain"]
    assert FrameScore.from_dict(fields) == frame_score()
