"""Two processes on the CPU against one, as torchrun starts them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

from .conftest import NOISE, Make, Write
from .test_run import rows

LOSSES = ("correlation = 0.1", "correlation = 0.1\nranking = 0.2")


def torchrun(path: Path, root: Path, work: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "--", "sdk.cli", "train", str(path), "--root", str(root), "--work", str(work),
        "--device", "cpu", "--workers", "0", *more,
    ]  # fmt: skip
    surroundings = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)


def test_two_processes_train_what_one_does_and_one_of_them_writes(
    make: Make, write: Write, rated_folder: Path, tmp_path: Path
) -> None:
    """Losses that compare samples, semantic noise, averages, validation and a stop included."""
    alone = make(LOSSES, more=NOISE, work="alone")
    alone.write(alone.finish(), tmp_path / "alone" / "weights.safetensors")
    path, work = write(LOSSES, more=NOISE), tmp_path / "two"
    stopped = torchrun(path, rated_folder, work, "--until", "7")
    assert stopped.returncode == 0, stopped.stderr
    assert stopped.stderr.count("stopped after 7 of 12 steps") == 1
    found = torchrun(path, rated_folder, work)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("finished; kept") == 1  # one speaks
    assert found.stderr.count("step 8: validation") == 1
    weights = [load_file(tmp_path / w / "weights.safetensors") for w in ("alone", "two")]
    start = make(LOSSES, more=NOISE, work="start").trainer.model.state_dict()
    for name, value in weights[0].items():
        assert torch.allclose(value, weights[1][name], atol=1e-5), name
        assert not torch.allclose(value, start[name], atol=1e-3), name
    assert [row["step"] for row in rows(tmp_path / "two")] == [str(n) for n in range(1, 13)]
    logs = [rows(tmp_path / work) for work in ("alone", "two")]
    for ours, theirs in zip(*logs, strict=True):
        for name in ("loss", "noise", "consistency", "ranking", "val_loss", "val_srocc"):
            assert bool(ours[name]) == bool(theirs[name])
            if ours[name]:
                assert abs(float(ours[name]) - float(theirs[name])) < 1e-4, (ours["step"], name)


def test_options_of_ours_that_begin_like_those_of_torchrun_arrive(
    write: Write, rated_folder: Path, tmp_path: Path
) -> None:
    found = torchrun(write(LOSSES), rated_folder, tmp_path, "--start", "nobody=nothing.safetensors")
    assert "ambiguous" not in found.stderr
    assert "--start nobody=nothing.safetensors: there is no such file" in found.stderr
