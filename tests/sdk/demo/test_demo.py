from __future__ import annotations

import itertools
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from sdk.cli import main
from sdk.demo.clip import render_frame, write_clip
from sdk.demo.degradations import DEGRADATIONS
from sdk.demo.outcome import span_outcomes
from sdk.demo.script import DURATION_S, FPS, FRAMES, HEIGHT, SHOTS, WIDTH, shot_at, strength_at
from sdk.errors import SinkError, UsageError
from sdk.results import FrameScore, Latency

SPANS = [span for shot in SHOTS for span in shot.spans]


def scored(index: int, score: float) -> FrameScore:
    return FrameScore(
        score, 3.0, None, {}, index, None, Latency(0, 0, 0, 0), "m@0", "openvino", "fp32"
    )


@pytest.fixture
def textured() -> np.ndarray:
    """A picture with edges and grain; without colour, of which JPEG takes half at any quality."""
    rng = np.random.default_rng(5)
    picture = np.kron(rng.integers(0, 256, (8, 12)), np.ones((16, 16)))
    grain = rng.normal(0, 8, picture.shape)
    grey = np.clip(picture + grain, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


class TestScript:
    def test_shots_follow_one_another(self):
        assert SHOTS[0].start_s == 0
        for before, after in itertools.pairwise(SHOTS):
            assert before.end_s == after.start_s
        assert pytest.approx(DURATION_S) == FRAMES / FPS

    def test_spans_lie_within_their_shot_with_clean_stretches_around(self):
        for shot in SHOTS:
            inner = [edge for span in shot.spans for edge in (span.start_s, span.end_s)]
            assert np.all(np.diff([shot.start_s, *inner, shot.end_s]) >= 0.4)

    def test_every_degradation_appears_once(self):
        assert sorted(span.name for span in SPANS) == sorted(DEGRADATIONS)

    @pytest.mark.parametrize("span", SPANS, ids=lambda span: span.name)
    def test_strength_ramps_up_and_down(self, span):
        times = np.linspace(span.start_s - 0.1, span.end_s + 0.1, 200)
        strengths = np.array([strength_at(t) for t in times])
        middle = len(times) // 2
        assert strengths.min() == 0
        assert strengths.max() == 1
        assert np.all(np.diff(strengths[:middle]) >= 0)
        assert np.all(np.diff(strengths[middle:]) <= 0)
        assert strength_at(span.middle_s) == 1

    def test_the_end_belongs_to_the_last_shot(self):
        assert shot_at(DURATION_S + 1) is SHOTS[-1]


class TestDegradations:
    @pytest.mark.parametrize("name", DEGRADATIONS)
    def test_each_does_more_the_stronger_it_is(self, name, textured):
        changes = []
        for strength in (0.0, 0.25, 0.5, 1.0):
            changed = DEGRADATIONS[name](textured, strength, np.random.default_rng(1))
            assert (changed.shape, changed.dtype) == (textured.shape, np.uint8)
            changes.append(np.abs(changed.astype(int) - textured).mean())
        assert changes[0] < 3  # JPEG of quality 95 is never quite nothing
        assert changes == sorted(changes)
        assert changes[-1] > 5

    @pytest.mark.parametrize("name", DEGRADATIONS)
    def test_none_writes_into_its_picture(self, name, textured):
        before = textured.copy()
        DEGRADATIONS[name](textured, 1.0, np.random.default_rng(1))
        assert np.array_equal(textured, before)


@pytest.mark.usefixtures("photographs")
class TestClip:
    def test_a_frame_is_the_same_each_time(self):
        index = round(SPANS[2].middle_s * FPS)  # noise: the one that is random
        assert np.array_equal(render_frame(index), render_frame(index))

    def test_clean_frames_are_pieces_of_the_photograph(self):
        frame = render_frame(round(SHOTS[2].start_s * FPS))
        photograph = cv2.imread(str(photograph_path("chelsea.png")))
        match = cv2.matchTemplate(photograph, frame, cv2.TM_CCOEFF_NORMED)
        assert match.max() > 0.98

    def test_the_camera_moves(self):
        start, later = render_frame(0), render_frame(10)
        assert start.shape == later.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(start.astype(int) - later).mean() > 1

    def test_photographs_are_never_enlarged(self):
        for shot in SHOTS:
            height, width = cv2.imread(str(photograph_path(shot.photograph))).shape[:2]
            assert width >= WIDTH
            assert height >= HEIGHT

    def test_a_clip_that_cannot_be_written(self, tmp_path):
        with pytest.raises(SinkError, match=r"nowhere/demo\.avi"):
            write_clip(tmp_path / "nowhere" / "demo.avi")


@pytest.fixture
def photographs():
    pytest.importorskip("skimage")


def photograph_path(name: str):
    from sdk.demo.photographs import _data_folder

    return _data_folder() / name


class TestOutcome:
    def test_spans_are_compared_with_their_own_shot(self):
        # Each shot has its own clean score; each span falls by 30 at its height.
        def score(index: int) -> float:
            time_s = index / FPS
            return 60 + 10 * SHOTS.index(shot_at(time_s)) - 30 * strength_at(time_s)

        outcomes = span_outcomes([scored(index, score(index)) for index in range(FRAMES)])
        assert [outcome.span for outcome in outcomes] == SPANS
        assert [round(outcome.clean) for outcome in outcomes] == [60, 60, 70, 70, 80, 80]
        assert [round(outcome.drop) for outcome in outcomes] == [30] * 6

    def test_every_second_frame_is_enough(self):
        outcomes = span_outcomes([scored(index, 50.0) for index in range(0, FRAMES, 2)])
        assert len(outcomes) == len(SPANS)

    def test_a_sample_that_misses_a_span_is_refused(self):
        with pytest.raises(UsageError, match="Nothing to pool"):
            span_outcomes([scored(0, 50.0)])


class TestCommand:
    def test_it_writes_clip_scores_and_timeline(self, tiny_bundle, tmp_path, capsys):
        pytest.importorskip("skimage")
        pytest.importorskip("matplotlib")
        folder = tmp_path / "new" / "demo"
        assert main(["demo", "-m", str(tiny_bundle), "-o", str(folder)]) == 0
        out = capsys.readouterr().out
        assert sorted(path.name for path in folder.iterdir()) == [
            "demo.avi",
            "scores.jsonl",
            "timeline.png",
        ]
        lines = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
        assert len(lines) == FRAMES + 1
        assert lines[-1]["kind"] == "summary"
        picture = cv2.imread(str(folder / "timeline.png"))
        assert picture.shape[1] > 1000
        assert picture.std() > 10
        # The model of this test sees brightness alone, and so it must see the dark span.
        dark = next(line for line in out.splitlines() if "underexposure" in line)
        assert float(dark.split()[-1]) > 30
        assert all(span.name in out for span in SPANS)
        assert "timeline.png" in out

    def test_an_impossible_folder(self, tiny_bundle, tmp_path, capsys):
        pytest.importorskip("matplotlib")
        (tmp_path / "file").write_text("")
        code = main(["demo", "-m", str(tiny_bundle), "-o", str(tmp_path / "file")])
        assert code == 1
        assert "folder" in capsys.readouterr().err

    @pytest.mark.parametrize("package", ["matplotlib", "skimage"])
    def test_what_is_missing_is_named_with_the_line_that_installs_it(self, package, tmp_path):
        if package == "skimage":
            pytest.importorskip("matplotlib")
        folder = tmp_path / "demo"
        code = (
            f"import sys\nsys.modules[{package!r}] = None\n"
            f"from sdk.cli import main\nsys.exit(main(['demo', '-o', {str(folder)!r}]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.returncode == 1
        assert "pip install 'framescore[report]'" in done.stderr
        assert "Traceback" not in done.stderr
        assert not list(folder.glob("*"))
