from __future__ import annotations

import signal
import sys

import pytest

from sdk.cli import main
from sdk.cli.exits import Terminated, report, run_to_exit
from sdk.errors import FrameError, SourceError, UsageError


def raiser(error: BaseException):
    def body() -> int:
        raise error

    return body


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceError("gone"), 1),
        (UsageError("odd"), 2),
        (ValueError("surprise"), 1),
        (BrokenPipeError(), 0),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_end_has_its_code(error, code):
    assert run_to_exit(raiser(error)) == code


def test_a_result_is_the_exit_code():
    assert run_to_exit(lambda: 3) == 3


def test_what_the_caller_asks_to_end_with_passes():
    with pytest.raises(SystemExit):
        run_to_exit(raiser(SystemExit(7)))


def test_an_error_is_a_message_and_a_hint(capsys, monkeypatch):
    monkeypatch.delenv("FRAMESCORE_DEBUG", raising=False)
    report(FrameError("It is 1x1.", hint="Give more."), source="dot.png")
    assert capsys.readouterr().err == "framescore: error: dot.png: It is 1x1.\n  Give more.\n"


def test_without_standard_error_messages_are_kept_out_of_the_data(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert report(FrameError("It is 1x1.")) == 1
    assert capsys.readouterr().out == ""


def test_a_standard_output_that_is_closed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["doctor"]) == 1
    assert main(["--version"]) == 0
    assert "Standard output is closed" in capsys.readouterr().err


def test_a_source_is_named_once(capsys):
    report(SourceError("dot.png is empty."), source="dot.png")
    assert capsys.readouterr().err == "framescore: error: dot.png is empty.\n"


def test_a_surprise_says_how_to_see_the_traceback(capsys, monkeypatch):
    monkeypatch.delenv("FRAMESCORE_DEBUG", raising=False)
    report(ZeroDivisionError("division by zero"))
    err = capsys.readouterr().err
    assert "unexpected error: ZeroDivisionError: division by zero" in err
    assert "FRAMESCORE_DEBUG=1" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback_with_its_cause(capsys, monkeypatch):
    monkeypatch.setenv("FRAMESCORE_DEBUG", "1")

    def body() -> int:
        try:
            raise OSError("the disk")
        except OSError as error:
            raise SourceError("gone") from error

    assert run_to_exit(body) == 1
    err = capsys.readouterr().err
    assert "OSError: the disk" in err
    assert "in body" in err


def test_the_handler_of_sigterm_is_put_back():
    before = signal.getsignal(signal.SIGTERM)
    inside = []
    run_to_exit(lambda: inside.append(signal.getsignal(signal.SIGTERM)) or 0)
    assert signal.getsignal(signal.SIGTERM) is before
    assert inside[0] is not before


def test_a_handler_of_the_program_around_is_left_alone():
    def theirs(*_: object) -> None:
        """Do nothing."""

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        assert run_to_exit(lambda: int(signal.getsignal(signal.SIGTERM) is not theirs)) == 0
    finally:
        signal.signal(signal.SIGTERM, before)
