from __future__ import annotations

import csv
from pathlib import Path

import pytest

from iqa.training.log import Log, check_tensorboard
from sdk.errors import UsageError


def test_rows_past_the_checkpoint_and_cut_ones_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,loss,val\n1,0.5,\n2,0.4,0.9\n3,0.3,\n20\n")
    log = Log(tmp_path, ("loss", "val"), 2, tensorboard=False)
    log.write(3, {"loss": 0.25})
    log.close()
    with (tmp_path / "log.csv").open(newline="") as stream:
        assert list(csv.reader(stream)) == [
            ["step", "loss", "val"],
            ["1", "0.5", ""],
            ["2", "0.4", "0.9"],
            ["3", "0.25", ""],
        ]


def test_a_run_from_the_start_begins_its_log_anew(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,other\n1,2\n")
    Log(tmp_path, ("loss",), 0, tensorboard=False).close()
    assert (tmp_path / "log.csv").read_text().split() == ["step,loss"]


def test_tensorboard_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"tensorboard.*not installed.*log\.csv"):
        check_tensorboard()


def test_tensorboard_gets_what_the_csv_gets(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = Log(tmp_path, ("loss",), 0, tensorboard=True)
    log.write(5, {"loss": 0.25})
    log.close()
    found = events.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert [(e.step, e.value) for e in found.Scalars("loss")] == [(5, 0.25)]
