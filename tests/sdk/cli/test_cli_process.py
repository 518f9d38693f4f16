"""What only a process of its own can show: pipes, signals, terminals, full disks."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import time

import numpy as np
import pytest

from .pictures import brightness

PATIENCE_S = 60


def finish(process, input=None) -> tuple[int, str, str]:
    out, err = process.communicate(input=input, timeout=PATIENCE_S)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")],
)
def test_a_signal_ends_the_run_and_keeps_what_was_written(
    number, code, word, spawn, tiny_bundle, long_clip, tmp_path
):
    path = tmp_path / "scores.jsonl"
    process = spawn("score", "-m", tiny_bundle, long_clip, "--format", "jsonl", "-o", path)
    deadline = time.monotonic() + PATIENCE_S
    while not (path.exists() and path.read_text().count("\n") >= 5):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    status, out, err = finish(process)
    assert (status, out) == (code, "")
    assert word in err
    assert "Traceback" not in err
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    summary = lines.pop()
    assert summary["kind"] == "summary"
    assert summary["complete"] is False
    assert 5 <= summary["frames"] < 20_000
    assert summary["frames"] - len(lines) in (-1, 0)  # the signal may fall between write and count
    assert [line["frame_index"] for line in lines] == list(range(len(lines)))


def test_a_reader_that_has_enough_ends_the_run_in_peace(spawn, tiny_bundle, long_clip):
    process = spawn("score", "-m", tiny_bundle, long_clip, "--format", "jsonl")
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    status = process.wait(timeout=PATIENCE_S)
    assert first["frame_index"] == 0
    assert (status, process.stderr.read()) == (0, "")


def test_lines_appear_as_frames_are_scored(spawn, tiny_bundle):
    """The second frame is only sent once the score of the first has arrived."""
    process = spawn(
        *("score", "-m", tiny_bundle, "-", "--size", "64x48", "--pixel-format", "gray"),
        *("--threads", 1, "--format", "jsonl"),
        text=False,
    )
    for level in (51, 204):
        process.stdin.write(bytes([level]) * (64 * 48))
        process.stdin.flush()
        line = json.loads(process.stdout.readline())
        assert line["score"] == pytest.approx(brightness(level), abs=0.5)
    process.stdin.close()
    assert json.loads(process.stdout.readline())["kind"] == "summary"
    assert process.wait(timeout=PATIENCE_S) == 0


def test_y4m_on_standard_input(spawn, tiny_bundle):
    picture = bytes([235]) * (64 * 48) + bytes([128]) * (64 * 48 // 2)
    stream = b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n" + 3 * (b"FRAME\n" + picture)
    process = spawn("score", "-m", tiny_bundle, "-", "--format", "jsonl", text=False)
    status, out, err = finish(process, stream)
    assert (status, err) == (0, b"")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line.get("pts_s") for line in lines[:3]] == [0.0, 0.04, 0.08]
    assert lines[-1]["frames"] == 3


def test_standard_input_that_ends_in_the_middle_of_a_frame(spawn, tiny_bundle):
    process = spawn(
        *("score", "-m", tiny_bundle, "-", "--size", "64x48", "--pixel-format", "bgr24"),
        *("--format", "jsonl"),
        text=False,
    )
    whole = np.full((48, 64, 3), 128, np.uint8).tobytes()
    status, out, err = finish(process, whole + whole[:1000])
    assert status == 1
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["kind"] for line in lines] == ["frame", "summary"]
    assert lines[1]["complete"] is False
    assert b"Traceback" not in err
    assert b"error" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", "-m", "MODEL", "IMAGES", "--format", "jsonl"],
        ["score", "-m", "MODEL", "IMAGES"],
        ["doctor"],
        ["models", "--json"],
        ["--version"],
    ],
    ids=" ".join,
)
def test_a_full_disk_behind_standard_output(arguments, spawn, tiny_bundle, images):
    paths = {"MODEL": tiny_bundle, "IMAGES": images}
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = spawn(*(paths.get(word, word) for word in arguments), stdout=full)
        status, _, err = finish(process)
    assert status == 1
    assert "No space left on device" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err


def test_no_progress_where_nobody_watches(spawn, tiny_bundle, clip):
    status, _, err = finish(spawn("score", "-m", tiny_bundle, clip))
    assert (status, err) == (0, "")


class Terminal:
    """A terminal for the standard error of a process."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        self.shown = ""

    def spawn(self, spawn, *arguments, **changes):
        process = spawn(*arguments, stderr=self.slave, **changes)
        os.close(self.slave)  # or reading would never come to an end
        return process

    def read(self, until: str | None = None) -> str:
        """Read until something appears, or all there is."""
        deadline = time.monotonic() + PATIENCE_S
        while until is None or not re.search(until, self.plain()):
            assert time.monotonic() < deadline
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                self.shown += os.read(self.master, 65536).decode(errors="replace")
            except OSError:  # the process has closed the other side
                break
        return self.plain()

    def plain(self) -> str:
        """What was shown, without colours and cursor movements."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.shown)


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    terminal = Terminal()
    yield terminal
    os.close(terminal.master)


def test_a_terminal_shows_a_bar_with_time_left(terminal, spawn, tiny_bundle, clip, tmp_path):
    path = tmp_path / "scores.jsonl"
    options = ("--format", "jsonl", "-o", path)
    process = terminal.spawn(spawn, "score", "-m", tiny_bundle, clip, *options)
    shown = terminal.read()
    assert (process.wait(PATIENCE_S), process.stdout.read()) == (0, "")
    assert re.search(r"125/125 +\d\d:\d\d", shown)
    assert '"schema"' not in shown
    assert len(path.read_text().splitlines()) == 126


def test_a_bar_leaves_the_scores_on_standard_output_alone(terminal, spawn, tiny_bundle, clip):
    process = terminal.spawn(spawn, "score", "-m", tiny_bundle, clip, "--format", "csv")
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert len(out.splitlines()) == 126
    assert "\x1b" not in out
    assert "125/125" in terminal.read()


def test_messages_stand_above_the_bar(terminal, spawn, tiny_bundle, images, tmp_path):
    (tmp_path / "a.png").write_bytes((images / "a_dark.png").read_bytes())
    (tmp_path / "b.png").write_bytes(b"no picture")
    process = terminal.spawn(spawn, "score", "-m", tiny_bundle, tmp_path)
    shown = terminal.read()
    assert process.wait(PATIENCE_S) == 1
    assert re.search(r"[\r\n]framescore: warning: skipped: .*\r\n", shown)


def test_an_unknown_length_shows_a_count(terminal, spawn, tiny_bundle, tmp_path):
    raw = tmp_path / "frames"
    raw.write_bytes(np.full((40, 48, 64), 128, np.uint8).tobytes())
    options = ("--size", "64x48", "--pixel-format", "gray")
    with raw.open("rb") as frames:
        process = terminal.spawn(spawn, "score", "-m", tiny_bundle, "-", *options, stdin=frames)
        shown = terminal.read()
    assert process.wait(PATIENCE_S) == 0
    assert "40 frames" in shown
    assert " 40 " in process.stdout.read()


def test_a_table_is_printed_when_interrupted(terminal, spawn, tiny_bundle, long_clip):
    process = terminal.spawn(spawn, "score", "-m", tiny_bundle, long_clip)
    terminal.read(until=r"[1-9]\d*/20000")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "incomplete" in out
