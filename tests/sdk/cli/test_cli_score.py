from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest

from .pictures import CLIP_LEVELS, brightness

CLOSE = 0.5  # points: what JPEG and rounding may do to an even grey


def json_lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def frames_of(text: str) -> list[dict]:
    return [line for line in json_lines(text) if line["kind"] == "frame"]


def test_an_image_becomes_a_row(score, images):
    result = score(images / "b_middle.png")
    assert (result.code, result.err) == (0, "")
    assert "b_middle.png" in result.out
    assert f"{brightness(128):.1f}" in result.out


def test_every_image_of_a_folder_is_scored(score, images):
    frames = frames_of(score(images, "--format", "jsonl").out)
    assert [frame["score"] for frame in frames] == [
        pytest.approx(brightness(level), abs=CLOSE) for level in (51, 128, 204)
    ]
    assert frames[0]["source"].endswith("a_dark.png")


def test_the_table_of_a_clip_shows_where_it_is_worst(score, clip):
    result = score(clip)
    assert result.code == 0
    assert "Worst stretches" in result.out
    worst = next(line for line in result.out.splitlines() if "50–74" in line)
    assert float(worst.split()[2]) == pytest.approx(brightness(51), abs=CLOSE)


def test_jsonl_has_every_frame_and_a_summary(score, clip):
    result = score(clip, "--format", "jsonl")
    lines = json_lines(result.out)
    frames, summary = lines[:-1], lines[-1]
    assert [frame["frame_index"] for frame in frames] == list(range(len(CLIP_LEVELS)))
    assert frames[50]["pts_s"] == pytest.approx(2.0, abs=0.001)
    assert summary["kind"] == "summary"
    assert (summary["source"], summary["frames"], summary["complete"]) == (str(clip), 125, True)
    expected = np.mean([brightness(level) for level in CLIP_LEVELS])
    assert summary["pooled"]["mean"] == pytest.approx(expected, abs=CLOSE)
    assert summary["worst"][0]["start_index"] == 50


def test_csv_has_a_row_for_each_frame(score, clip):
    rows = list(csv.DictReader(io.StringIO(score(clip, "--format", "csv").out)))
    assert len(rows) == len(CLIP_LEVELS)
    assert float(rows[60]["score"]) == pytest.approx(brightness(51), abs=CLOSE)


def test_vmaf_json_is_one_document(score, clip, images):
    document = json.loads(score(clip, "--format", "vmaf-json").out)
    assert len(document["frames"]) == len(CLIP_LEVELS)
    several = json.loads(score(clip, images / "a_dark.png", "--format", "vmaf-json").out)
    assert [len(source["frames"]) for source in several["sources"]] == [len(CLIP_LEVELS), 1]


@pytest.mark.parametrize("format", ["table", "jsonl", "csv", "vmaf-json"])
def test_a_file_gets_what_standard_output_would(format, score, images, tmp_path):
    path = tmp_path / "scores"
    result = score(images, "--format", format, "-o", path)
    assert (result.code, result.out) == (0, "")
    assert "a_dark.png" in path.read_text() or format == "vmaf-json"
    assert path.read_text().strip()


@pytest.mark.parametrize(
    ("options", "indices"),
    [
        (["--every", 50], [0, 50, 100]),
        (["--fps", 1], [0, 25, 50, 75, 100]),
        (["--limit", 2], [0, 1]),
        (["--every", 10, "--limit", 3], [0, 10, 20]),
    ],
)
def test_fewer_frames_on_demand(options, indices, score, clip):
    frames = frames_of(score(clip, "--format", "jsonl", *options).out)
    assert [frame["frame_index"] for frame in frames] == indices


def test_backends_agree(score, clip):
    pytest.importorskip("onnxruntime")
    runs = {}
    for backend in ("openvino", "onnxruntime"):
        result = score(clip, "--limit", 3, "--backend", backend, "--format", "jsonl")
        frames = frames_of(result.out)
        assert {frame["backend"] for frame in frames} == {backend}
        runs[backend] = [frame["score"] for frame in frames]
    assert runs["openvino"] == pytest.approx(runs["onnxruntime"], abs=0.01)


def test_precision_and_threads_are_passed_on(score, images):
    options = ["--precision", "fp32", "--threads", 1, "--format", "jsonl"]
    assert frames_of(score(images, *options).out)[0]["precision"] == "fp32"


class TestGate:
    """--fail-under and --pool."""

    def test_a_low_score_is_exit_code_3(self, score, clip):
        result = score(clip, "--fail-under", 75)
        assert result.code == 3
        assert f"{clip}: mean" in result.err
        assert "below --fail-under 75" in result.err
        assert "clip.avi" in result.out

    def test_a_score_at_the_mark_passes(self, score, clip):
        assert score(clip, "--fail-under", 40).code == 0

    def test_the_first_pool_method_decides(self, score, clip):
        assert score(clip, "--fail-under", 40, "--pool", "mean,min").code == 0
        low = score(clip, "--fail-under", 40, "--pool", "min,mean")
        assert low.code == 3
        assert ": min 20" in low.err

    def test_every_source_is_compared(self, score, images):
        dark, bright = images / "a_dark.png", images / "c_bright.png"
        result = score(bright, dark, "--fail-under", 50)
        assert result.code == 3
        assert "a_dark" in result.err
        assert "c_bright" not in result.err

    def test_the_table_shows_the_methods(self, score, clip):
        assert "harmonic     p1" in score(clip, "--pool", "harmonic_mean,p1").out


class TestFailures:
    """Sources that cannot be scored, alone and among others."""

    def test_a_missing_file(self, score):
        result = score("nowhere.mp4")
        assert (result.code, result.out) == (1, "")
        assert "nowhere.mp4" in result.err
        assert "Traceback" not in result.err

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty.mp4", b""),
            ("text.mp4", b"this is no video\n" * 100),
            ("garbage.mp4", bytes(range(256)) * 64),
            ("garbage.png", bytes(range(256)) * 64),
            ("empty.png", b""),
        ],
    )
    def test_a_damaged_file(self, name, content, score, tmp_path):
        path = tmp_path / name
        path.write_bytes(content)
        result = score(path)
        assert result.code == 1
        assert str(path) in result.err
        assert "Traceback" not in result.err

    def test_a_folder_without_images(self, score, tmp_path):
        result = score(tmp_path)
        assert result.code == 1
        assert str(tmp_path) in result.err

    def test_the_other_sources_are_scored(self, score, images):
        dark, bright = images / "a_dark.png", images / "c_bright.png"
        result = score(dark, "nowhere.mp4", bright, "--format", "jsonl")
        assert result.code == 1
        assert len(frames_of(result.out)) == 2
        assert "nowhere.mp4" in result.err
        assert "1 of 3 sources failed" in result.err

    def test_a_failure_outranks_a_low_score(self, score, images):
        result = score(images / "a_dark.png", "nowhere.mp4", "--fail-under", 90)
        assert result.code == 1
        assert "below --fail-under" in result.err

    def test_frames_before_the_damage_are_kept(self, score, clip, tmp_path):
        broken = tmp_path / "broken.avi"
        data = clip.read_bytes()
        broken.write_bytes(data[: len(data) // 2])
        result = score(broken, "--format", "jsonl")
        assert result.code == 1
        lines = json_lines(result.out)
        assert 10 < len(lines) < len(CLIP_LEVELS)
        assert lines[-1]["kind"] == "summary"
        assert lines[-1]["complete"] is False
        assert lines[-1]["frames"] == len(lines) - 1

    def test_frames_too_small_to_score(self, score, tmp_path):
        import cv2

        path = tmp_path / "dot.png"
        cv2.imwrite(str(path), np.zeros((1, 1, 3), np.uint8))
        result = score(path)
        assert result.code == 1
        assert str(path) in result.err

    @pytest.mark.parametrize("name", ["nowhere/scores.csv", "long" * 100])
    def test_an_output_that_cannot_be_opened(self, name, score, images, tmp_path):
        result = score(images, "-o", tmp_path / name)
        assert result.code == 1
        assert f"Cannot open {tmp_path / name}" in result.err

    def test_a_full_disk(self, score, images):
        result = score(images, "--format", "csv", "-o", "/dev/full")
        assert result.code == 1
        assert "No space left on device" in result.err
        assert "Traceback" not in result.err

    def test_a_tampered_bundle(self, cli, tiny_bundle, images, tmp_path):
        bundle = tmp_path / "tampered.framescore"
        shutil.copy(tiny_bundle, bundle)
        data = bytearray(bundle.read_bytes())
        data[len(data) // 2] ^= 0xFF
        bundle.write_bytes(data)
        result = cli("score", "-m", bundle, images)
        assert (result.code, result.out) == (1, "")
        assert "tampered.framescore" in result.err

    def test_a_missing_model(self, cli, images, tmp_path):
        output = tmp_path / "scores.csv"
        output.write_text("kept")
        result = cli("score", "-m", tmp_path / "none.framescore", images, "-o", output)
        assert result.code == 1
        assert "none.framescore" in result.err
        assert output.read_text() == "kept"

    def test_debug_shows_the_traceback(self, score, monkeypatch):
        monkeypatch.setenv("FRAMESCORE_DEBUG", "1")
        result = score("nowhere.mp4")
        assert result.code == 1
        assert "Traceback" in result.err
        assert "SourceError" in result.err


class TestUsage:
    """Exit code 2, a message that names option and value, nothing on standard output."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--every", 0], "--every"),
            (["--every", 2, "--fps", 5], "exclude each other"),
            (["--fps", 0], "--fps"),
            (["--fps", "inf"], "--fps"),
            (["--limit", 0], "--limit"),
            (["--threads", 0], "--threads"),
            (["--size", "1920"], "'1920'"),
            (["--size", "0x1080"], "'0x1080'"),
            (["--pool", "median"], "'median'"),
            (["--pool", ""], "''"),
            (["--format", "xml"], "xml"),
            (["--backend", "caffe"], "caffe"),
            (["--precision", "int1"], "int1"),
            (["--fail-under", "much"], "--fail-under"),
            (["--fail-under", "nan"], "nan"),
            (["--frame-rate", -1], "-1"),
            (["--loud"], "--loud"),
        ],
    )
    def test_wrong_options(self, options, words, score, images):
        result = score(images, *options)
        assert (result.code, result.out) == (2, "")
        assert words in result.err
        assert "Traceback" not in result.err

    @pytest.mark.parametrize("source", ["{}", "{}/*.png", "{}/a.png"])
    def test_an_output_that_would_replace_a_picture(self, source, score, images, tmp_path):
        picture = shutil.copy(images / "a_dark.png", tmp_path / "a.png")
        before = picture.read_bytes()
        result = score(source.format(tmp_path), "-o", picture)
        assert (result.code, result.out) == (2, "")
        assert "replaced" in result.err
        assert picture.read_bytes() == before

    def test_an_output_that_is_a_source_under_another_name(self, score, clip, tmp_path):
        link = tmp_path / "scores.jsonl"
        link.symlink_to(clip)
        size = clip.stat().st_size
        assert score(clip, "--format", "jsonl", "-o", link).code == 2
        assert clip.stat().st_size == size

    def test_no_source(self, cli):
        result = cli("score")
        assert result.code == 2
        assert "SOURCE" in result.err

    def test_raw_options_for_a_file_that_knows_its_own(self, score, clip):
        result = score(clip, "--size", "96x64", "--pixel-format", "bgr24")
        assert result.code == 2
        assert str(clip) in result.err

    def test_sampling_by_time_where_there_is_none(self, score, images):
        result = score(images, "--fps", 2)
        assert result.code == 2
        assert "rate" in result.err

    def test_a_usage_error_in_one_of_several_sources_is_its_failure(self, score, clip, images):
        result = score(clip, images, "--fps", 1, "--format", "jsonl")
        assert result.code == 1
        assert len(frames_of(result.out)) == 5


class TestAbstaining:
    """A model that abstains where it scores above 50: on all but the third second of the clip."""

    def test_frames_are_marked_and_count(self, cli, wary_bundle, images):
        result = cli("score", "-m", wary_bundle, images)
        marked = [line for line in result.out.splitlines() if "? " in line]
        assert len(marked) == 3  # two pictures and the line that says what it means
        assert "distrusts its score (2 frames, counted)" in marked[-1]

    def test_jsonl_has_them_and_their_number(self, cli, wary_bundle, clip):
        lines = json_lines(cli("score", "-m", wary_bundle, clip, "--format", "jsonl").out)
        assert sum(line["abstain"] for line in lines[:-1]) == lines[-1]["abstained"] == 100
        assert lines[0]["uncertainty"] == {"task": 1.5, "light": 2.0}
        assert list(lines[0]["scenes"]) == ["night", "day", "still life"]
        expected = np.mean([brightness(level) for level in CLIP_LEVELS])
        assert lines[-1]["pooled"]["mean"] == pytest.approx(expected, abs=CLOSE)

    def test_they_can_be_left_out(self, cli, wary_bundle, clip):
        options = ("--format", "jsonl", "--skip-abstained")
        lines = json_lines(cli("score", "-m", wary_bundle, clip, *options).out)
        assert len(lines) == len(CLIP_LEVELS) + 1
        assert lines[-1]["pooled"]["mean"] == pytest.approx(brightness(51), abs=CLOSE)
        assert "(100 frames, not counted)" in cli("score", "-m", wary_bundle, clip, options[-1]).out

    def test_leaving_out_all_is_a_failure_not_a_pass(self, cli, wary_bundle, images):
        options = ("--skip-abstained", "--fail-under", "10")
        result = cli("score", "-m", wary_bundle, images / "c_bright.png", *options)
        assert result.code == 1
        assert "abstains on all of its 1 frames" in result.err
        assert "--skip-abstained" in result.err

    def test_models_says_where_a_model_abstains(self, cli, wary_bundle, monkeypatch):
        monkeypatch.setattr("sdk.bundle._MODELS_DIR", wary_bundle.parent)
        assert "where its sigma is above 2 points" in cli("models").out
        [model] = json.loads(cli("models", "--json").out)["models"]
        assert (model["uncertainty"], model["abstain_above"]) == (["task", "light"], 2.0)
        assert model["scenes"] == ["night", "day", "still life"]
        assert "scenes:      night, day, still life" in cli("models").out
