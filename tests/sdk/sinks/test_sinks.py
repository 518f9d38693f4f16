from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.errors import SinkError, UsageError
from sdk.results import FrameScore, Latency, VideoScore
from sdk.series import ScoreSeries
from sdk.sinks import SINK_FORMATS, open_sink
from sdk.sinks.csv import COLUMNS
from sdk.sinks.table import format_time


def frame_score(score=50.0, index=0, pts_s=None, source="clip.mp4", **changes) -> FrameScore:
    fields = {
        "score": score,
        "mos": 3.0,
        "sigma": 2.0,
        "distortions": {"none": 0.25, "blur": 0.75},
        "frame_index": index,
        "pts_s": pts_s,
        "latency": Latency(0.5, 1.0, 4.0, 0.25),
        "model": "tiny@0123456789ab",
        "backend": "openvino",
        "precision": "fp32",
        "source": source,
    }
    return FrameScore(**{**fields, **changes})


def clip_scores(values, source="clip.mp4", fps=25) -> list[FrameScore]:
    return [frame_score(v, k, k / fps, source) for k, v in enumerate(values)]


def written(format: str, *sources: list[FrameScore], **options) -> str:
    text = io.StringIO()
    with open_sink(format, text, **options) as sink:
        for scores in sources:
            for score in scores:
                sink.append(score)
        sink.finish([VideoScore.pool(scores) for scores in sources])
    return text.getvalue()


def write_one(format: str, target) -> None:
    """Send a run of one frame to a sink."""
    with open_sink(format, target) as sink:
        sink.append(frame_score())
        sink.finish([VideoScore.pool([frame_score()])])


def test_an_unknown_format_lists_the_known_ones():
    with pytest.raises(UsageError, match=r"'xml'.*vmaf-json"):
        open_sink("xml")


@pytest.mark.parametrize("format", SINK_FORMATS)
def test_a_file_is_replaced_and_closed(format, tmp_path):
    path = tmp_path / "scores"
    path.write_text("old " * 10_000)
    write_one(format, path)
    assert "old" not in path.read_text(encoding="utf-8")
    assert path.read_text(encoding="utf-8").endswith("\n")


@pytest.mark.parametrize("format", SINK_FORMATS)
def test_standard_output_is_the_default_and_stays_open(format, capsys):
    write_one(format, None)
    print("still open")
    out = capsys.readouterr().out
    assert "50.0" in out
    assert out.endswith("still open\n")


@pytest.mark.parametrize("format", SINK_FORMATS)
def test_a_folder_that_is_missing_is_named(format, tmp_path):
    with pytest.raises(SinkError, match=r"nowhere/scores: No such file") as caught:
        open_sink(format, tmp_path / "nowhere" / "scores")
    assert "existing" in caught.value.hint


@pytest.mark.parametrize("format", SINK_FORMATS)
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_is_a_sink_error(format):
    with pytest.raises(SinkError, match="/dev/full: No space left on device"):
        write_one(format, "/dev/full")


def test_the_first_failure_is_reported_rather_than_the_close_after_it():
    with pytest.raises(ZeroDivisionError), open_sink("jsonl", "/dev/full"):
        raise ZeroDivisionError


@pytest.mark.parametrize("format", SINK_FORMATS)
def test_a_closed_pipe_is_not_a_failure_of_the_output(format):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        with pytest.raises(BrokenPipeError):
            write_one(format, stream)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, writer)  # takes what is left in the stream's buffer
        os.close(null)


def test_jsonl_has_a_line_for_each_frame_and_each_source():
    one, two = clip_scores([10.0, 20.0], "one.mp4"), clip_scores([30.0], "two.mp4")
    lines = [json.loads(line) for line in written("jsonl", one, two).splitlines()]
    assert [line["kind"] for line in lines] == ["frame"] * 3 + ["summary"] * 2
    assert {line["schema"] for line in lines} == {1}
    first = lines[0]
    assert {**first, "kind": None} == {**one[0].to_dict(), "kind": None}
    assert lines[3]["source"] == "one.mp4"
    assert lines[3]["pooled"]["mean"] == 15.0
    assert lines[4]["pooled"]["min"] == 30.0


def test_jsonl_has_null_for_what_is_missing_and_keeps_utf8():
    text = written("jsonl", [frame_score(sigma=None, source="Çamera–1"), frame_score()])
    line = json.loads(text.splitlines()[0])
    assert line["sigma"] is None
    assert line["pts_s"] is None
    assert "Çamera–1" in text


@pytest.mark.parametrize("format", SINK_FORMATS)
def test_a_name_that_is_no_utf8_is_escaped(format, tmp_path):
    path = tmp_path / "scores"
    scores = [frame_score(source="bad\udcff.png"), frame_score(source="good.png")]
    with open_sink(format, path, several=True) as sink:
        for score in scores:
            sink.append(score)
        sink.finish([VideoScore.pool([score]) for score in scores])
    assert "bad\\udcff.png" in path.read_text(encoding="utf-8")


def test_an_escaped_name_is_read_back_from_json(tmp_path):
    path = tmp_path / "scores"
    with open_sink("jsonl", path) as sink:
        sink.append(frame_score(source="bad\udcff.png"))
    assert json.loads(path.read_bytes())["source"] == "bad\udcff.png"


@pytest.mark.parametrize("format", ["jsonl", "vmaf-json"])
def test_json_stays_json_where_the_stream_is_not_utf8(format):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    score = frame_score(source="é😀")
    with open_sink(format, stream, several=True) as sink:
        sink.append(score)
        sink.finish([VideoScore.pool([score])])
    assert r"\u00e9\ud83d\ude00" in stream.buffer.getvalue().decode("ascii")


def test_jsonl_lines_are_on_disk_before_the_next_frame(tmp_path):
    path = tmp_path / "scores.jsonl"
    with open_sink("jsonl", path) as sink:
        for count in (1, 2, 3):
            sink.append(frame_score(index=count))
            assert len(path.read_text().splitlines()) == count


def test_csv_has_the_keys_of_the_json_flattened():
    score = frame_score(pts_s=0.5)
    row = next(csv.DictReader(io.StringIO(written("csv", [score]))))
    fields = score.to_dict()
    assert tuple(row)[: len(COLUMNS)] == COLUMNS
    assert float(row["score"]) == fields["score"]
    assert float(row["pts_s"]) == 0.5
    assert float(row["latency_ms.total"]) == 5.75
    assert float(row["distortions.blur"]) == 0.75
    assert row["source"] == "clip.mp4"


def test_csv_has_a_column_for_each_scene():
    scores = [frame_score(scenes={"plant": 0.5, "still life": 0.25}), frame_score()]
    rows = list(csv.DictReader(io.StringIO(written("csv", scores))))
    assert list(rows[0])[-2:] == ["scenes.plant", "scenes.still life"]
    assert [row["scenes.still life"] for row in rows] == ["0.25", ""]


def test_csv_has_a_column_for_each_cause_of_uncertainty():
    scores = [frame_score(uncertainty={"task": 1.5, "blur": 2.0}), frame_score(abstain=True)]
    rows = list(csv.DictReader(io.StringIO(written("csv", scores))))
    assert [row["uncertainty.blur"] for row in rows] == ["2.0", ""]
    assert [row["abstain"] for row in rows] == ["false", "true"]


def test_csv_cells_never_shift():
    scores = [
        frame_score(10.0, 0, 0.0),
        frame_score(math.nan, 1, None, sigma=None, distortions={}),
        frame_score(30.0, 2, 0.08, source='odd, "name"\n.mp4'),
    ]
    rows = list(csv.reader(io.StringIO(written("csv", scores))))
    assert {len(row) for row in rows} == {len(COLUMNS) + 2}
    missing = dict(zip(rows[0], rows[2], strict=True))
    assert [missing[key] for key in ("pts_s", "score", "sigma", "distortions.blur")] == [""] * 4
    assert rows[3][1] == 'odd, "name"\n.mp4'


def test_csv_rows_are_on_disk_before_the_next_frame(tmp_path):
    path = tmp_path / "scores.csv"
    with open_sink("csv", path) as sink:
        for count in (1, 2):
            sink.append(frame_score(index=count))
            assert len(path.read_text().splitlines()) == count + 1


def test_csv_without_frames_is_a_header():
    text = io.StringIO()
    with open_sink("csv", text) as sink:
        sink.finish([])
    assert text.getvalue() == ",".join(COLUMNS) + "\n"


def test_vmaf_json_of_one_source_is_libvmafs_layout():
    document = json.loads(written("vmaf-json", clip_scores([10.0, 30.0])))
    assert list(document) == ["version", "fps", "frames", "pooled_metrics", "aggregate_metrics"]
    assert document["fps"] > 0
    assert document["frames"] == [
        {"frameNum": 0, "metrics": {"framescore": 10.0}},
        {"frameNum": 1, "metrics": {"framescore": 30.0}},
    ]
    pooled = document["pooled_metrics"]["framescore"]
    assert list(pooled) == ["min", "max", "mean", "harmonic_mean"]
    assert (pooled["min"], pooled["max"], pooled["mean"]) == (10.0, 30.0, 20.0)
    assert pooled["harmonic_mean"] == pytest.approx(2 / (1 / 11 + 1 / 31) - 1)


def test_vmaf_json_of_several_sources_lists_them():
    one, two = clip_scores([10.0, 20.0], "one.mp4"), clip_scores([30.0], "two.mp4")
    document = json.loads(written("vmaf-json", one, two))
    assert list(document) == ["version", "fps", "sources"]
    assert [source["source"] for source in document["sources"]] == ["one.mp4", "two.mp4"]
    assert [len(source["frames"]) for source in document["sources"]] == [2, 1]
    assert document["sources"][1]["pooled_metrics"]["framescore"]["max"] == 30.0


def test_vmaf_json_keeps_its_layout_when_only_one_of_several_sources_gave_frames():
    document = json.loads(written("vmaf-json", clip_scores([10.0]), several=True))
    assert [source["source"] for source in document["sources"]] == ["clip.mp4"]


def test_vmaf_json_has_null_for_a_frame_without_score():
    document = json.loads(written("vmaf-json", clip_scores([math.nan, 30.0])))
    assert document["frames"][0]["metrics"]["framescore"] is None
    assert document["pooled_metrics"]["framescore"]["max"] == 30.0


@pytest.fixture
def wide_80(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("wide_80")
class TestTable:
    def test_images_are_rows(self):
        text = written("table", [frame_score(71.25, source="a.png")], [frame_score(source="b.png")])
        rows = {line.split()[0]: line.split() for line in text.splitlines() if ".png" in line}
        assert rows["a.png"] == ["a.png", "71.2", "3.00", "2.0", "blur", "75%"]
        assert rows["b.png"][1] == "50.0"
        assert "mean" not in text

    def test_the_files_of_a_folder_are_rows_and_a_pooled_row(self):
        folder = [frame_score(10.0 * k, k, source=f"{k}.png") for k in range(20)]
        text = written("table", folder)
        assert all(f" {k}.png " in text for k in range(20))
        assert "mean" in text
        assert "95.0" in text

    def test_a_clip_is_one_row_and_its_worst_stretches(self):
        text = written("table", clip_scores([80.0] * 50 + [20.0] * 25 + [80.0] * 50))
        pooled = next(line for line in text.splitlines() if "clip.mp4 " in line)
        assert pooled.split() == ["clip.mp4", "125", "68.0", "20.0", "20.0", "blur", "100%"]
        assert "Worst stretches of clip.mp4" in text
        worst = [line for line in text.splitlines() if "50–74" in line]
        assert worst[0].split()[:3] == ["0:02.0–0:03.0", "50–74", "20.0"]
        assert "#" not in text

    def test_few_frames_of_a_clip_are_numbered_rows(self):
        text = written("table", clip_scores([80.0, 70.0]))
        assert "clip.mp4 #0" in text
        assert "clip.mp4 #1" in text

    def test_the_columns_are_those_asked_for(self):
        text = written("table", clip_scores([80.0] * 30), pool=("p10", "harmonic_mean"))
        header = next(line for line in text.splitlines() if "source" in line)
        assert header.split() == ["source", "frames", "p10", "harmonic", "mostly"]

    def test_says_what_the_numbers_mean_and_who_made_them(self):
        text = written("table", [frame_score()])
        assert "0–100, higher is better" in text
        assert "tiny@0123456789ab · openvino fp32" in text

    def test_lines_fit_80_columns_however_long_the_names_are(self):
        name = "/a/very/long/path" * 12 + "/clip.mp4"
        methods = ("mean", "harmonic_mean", "min", "p1", "p5", "p10")
        text = written("table", clip_scores([80.0] * 30, name), pool=methods)
        lines = [line for line in text.splitlines() if not line.startswith("Worst")]
        assert max(map(len, lines)) <= 80
        # The name is folded, never cut.
        assert "clip.mp4" in "".join(line.split("  ")[0].strip() for line in lines)

    def test_a_narrow_terminal_costs_no_digit(self, monkeypatch):
        wide = written("table", clip_scores([81.2] * 30))
        monkeypatch.setenv("COLUMNS", "30")
        assert written("table", clip_scores([81.2] * 30)) == wide
        assert "81.2" in wide

    def test_names_are_no_markup(self):
        assert "[red]x[/red].png" in written("table", [frame_score(source="[red]x[/red].png")])

    def test_a_frame_on_which_the_model_abstains_is_marked(self):
        text = written(
            "table", [frame_score(source="a.png")], [frame_score(source="b.png", abstain=True)]
        )
        rows = {line.split()[0]: line.split() for line in text.splitlines() if ".png" in line}
        assert (rows["a.png"][3], rows["b.png"][3]) == ("2.0", "2.0?")
        assert "? abstains: the model distrusts its score (1 frame, counted)" in text

    def test_the_share_of_such_frames_of_a_clip_has_a_column(self):
        scores = [frame_score(80.0, k, k / 25, abstain=k < 20) for k in range(80)]
        text = written("table", scores)
        header = next(line for line in text.splitlines() if "source" in line)
        assert header.split() == ["source", "frames", "mean", "p5", "min", "abstains", "mostly"]
        assert " 25% " in next(line for line in text.splitlines() if "clip.mp4 " in line)
        assert max(map(len, text.splitlines())) <= 80

    def test_where_no_frame_abstains_nothing_is_said_of_it(self):
        assert "abstain" not in written("table", clip_scores([80.0] * 30), [frame_score()])

    def test_missing_numbers_are_blank(self):
        scores = [frame_score(math.nan, sigma=None, distortions={}), frame_score(50.0)]
        text = written("table", scores)
        assert "nan" not in text.lower()

    @pytest.mark.parametrize("frames", [1, 30])
    def test_an_incomplete_clip_says_so(self, frames):
        text = io.StringIO()
        scores = clip_scores([80.0] * frames)
        series = ScoreSeries("clip.mp4")
        with open_sink("table", text) as sink:
            for score in scores:
                sink.append(score)
                series.append(score)
            sink.finish([series.summary(complete=False)])
        assert "clip.mp4 (incomplete)" in text.getvalue()

    def test_without_frames_there_is_nothing_to_show(self):
        text = io.StringIO()
        with open_sink("table", text) as sink:
            sink.finish([])
        assert text.getvalue().strip() == ""

    def test_a_file_gets_no_colour_codes(self, tmp_path):
        path = tmp_path / "table.txt"
        write_one("table", path)
        assert "\x1b" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (0.0, "0:00.0"),
        (59.96, "1:00.0"),
        (61.04, "1:01.0"),
        (3599.99, "1:00:00.0"),
        (7325.5, "2:02:05.5"),
    ],
)
def test_times_read_like_a_clock(seconds, text):
    assert format_time(seconds) == text


def test_sinks_load_rich_only_for_tables():
    code = "import sys, sdk.sinks; sdk.sinks.open_sink('jsonl'); print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
