from __future__ import annotations

import csv
import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from iqa.training.places import Places
from iqa.training.recipe import Recipe
from iqa.training.run import BEST, CHECKPOINT, Run, TrainingError
from sdk.errors import UsageError

from .conftest import LEVELS, NOISE, Make, Write

AVERAGED = ("average = 0.9", "average = 0.9\naverage_from = 2")
DROPOUT = ('"tiny_model:build"', '"tiny_model:build"\noptions = { dropout = 0.3 }')


def rows(work: Path) -> list[dict[str, str]]:
    with (work / "log.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, second[name]) for name, value in first.items())


def test_training_lowers_the_loss_and_orders_unseen_contents(make: Make, tmp_path: Path) -> None:
    run = make(
        ("steps = 12", "steps = 80"), ("validate_every = 4", "validate_every = 20"),
        ("lr = 1e-2", "lr = 5e-2"), ("save_every = 2", "save_every = 80"),
    )  # fmt: skip
    run.finish()
    errors = [float(row["smooth_l1"]) for row in rows(tmp_path / "work")]
    assert sum(errors[-20:]) < 0.5 * sum(errors[:20])
    assert run.best.srocc > 0.8


def test_killed_and_resumed_equals_uninterrupted(
    make: Make, write: Write, rated_folder: Path, tmp_path: Path
) -> None:
    """SIGKILL in the middle, with everything on that has a state."""
    steps = ("steps = 12", "steps = 90")
    changes, work = (AVERAGED, DROPOUT, steps), tmp_path / "killed"
    path = write(*changes, more=NOISE)
    command = [
        sys.executable, "-m", "sdk.cli", "train", str(path), "--work", str(work), "--root",
        str(rated_folder), "--workers", "0", "--device", "cpu", "-o", str(tmp_path / "out"),
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not (work / CHECKPOINT).is_file() or len(rows(work)) < 10:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    killed_at = torch.load(work / CHECKPOINT, weights_only=True)["trainer"]["step"]
    assert 0 < killed_at < 90
    with (work / "log.csv").open("a") as log:
        log.write("9999,1,2")  # a row that the kill cut

    resumed = make(*changes, more=NOISE, work="killed")
    resumed.finish()
    whole = make(*changes, more=NOISE, work="whole")
    whole.finish()
    assert same(whole.trainer.model.state_dict(), resumed.trainer.model.state_dict())
    assert same(whole.trainer.average.state_dict(), resumed.trainer.average.state_dict())
    assert whole.best == resumed.best
    assert same(load_file(tmp_path / "whole" / BEST), load_file(work / BEST))
    logged = [[row[n] for n in row if n != "images_per_s"] for row in rows(work)]
    assert logged == [
        [row[n] for n in row if n != "images_per_s"] for row in rows(tmp_path / "whole")
    ]
    assert [row["step"] for row in rows(work)] == [str(n) for n in range(1, 91)]


def test_stopped_by_until_and_resumed(make: Make, tmp_path: Path) -> None:
    whole = make(more=NOISE, work="whole")
    whole.finish()
    make(more=NOISE).finish(until=7)
    resumed = make(more=NOISE)
    resumed.finish()
    assert same(whole.trainer.average.state_dict(), resumed.trainer.average.state_dict())
    assert "stopped after 7 of 12" not in resumed.summary()
    again = make(more=NOISE)
    again.finish()  # nothing is left to do
    assert same(whole.trainer.average.state_dict(), again.trainer.average.state_dict())
    assert len(rows(tmp_path / "work")) == 12


def test_a_checkpoint_of_another_run_is_refused(make: Make) -> None:
    make().finish(until=2)
    with pytest.raises(UsageError, match=r"what differs: recipe's optimizer.*--restart"):
        make(("lr = 1e-2", "lr = 2e-2")).finish()
    run = make(("lr = 1e-2", "lr = 2e-2"))
    run.finish(restart=True)
    assert run.trainer.step == 12
    make(("lr = 1e-2", "lr = 2e-2"), ("save_every = 2", "save_every = 5")).finish()


def test_a_damaged_checkpoint_is_refused(make: Make, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / CHECKPOINT).write_bytes(b"PK nothing")
    with pytest.raises(UsageError, match=r"checkpoint\.pt is no checkpoint"):
        make().finish()


def test_the_test_part_is_never_looked_at(make: Make, rated_folder: Path) -> None:
    hidden = {path: path.read_bytes() for path in rated_folder.glob("5_*.png")}
    assert len(hidden) == LEVELS
    try:
        for path in hidden:
            path.write_bytes(b"no picture")
        make().finish()
    finally:
        for path, data in hidden.items():
            path.write_bytes(data)


def test_training_and_validation_share_no_content(make: Make) -> None:
    sources = make().sources
    train, val = ({e.content for e in s.entries} for s in (sources.train, sources.val))
    assert not train & val
    assert train | val == {f"scene{n}" for n in range(5)}


def test_early_stop_keeps_the_best_weights(make: Make, tmp_path: Path) -> None:
    """Rates so high that it only becomes worse."""
    changes = (
        ("steps = 12", "steps = 400\npatience = 2"), ("lr = 1e-2", "lr = 3.0"),
        ("validate_every = 4", "validate_every = 1"), ("average = 0.9", "average = 0.0"),
    )  # fmt: skip
    run = make(*changes)
    model = run.finish()
    figures = [float(row["val_srocc"]) for row in rows(tmp_path / "work")]
    best = max((f for f in figures if not math.isnan(f)), default=math.nan)
    assert run.trainer.step < 400
    assert run.best.waited == 2
    assert len(figures) == run.best.step + 2
    assert run.best.srocc == pytest.approx(best, abs=1e-5) or math.isnan(best)
    assert same(load_file(tmp_path / "work" / BEST), model.state_dict())
    assert "2 validations after the best" in run.summary()
    resumed = make(*changes)
    resumed.finish()
    assert resumed.trainer.step == run.trainer.step


def test_weights_carry_what_they_mean(make: Make, tmp_path: Path) -> None:
    run = make(("log_every", 'weights = "fp16"\nlog_every'))
    trained = run.finish()
    run.write(trained, tmp_path / "out.safetensors")
    with safe_open(tmp_path / "out.safetensors", "pt") as file:
        about = file.metadata()
        assert {file.get_tensor(name).dtype for name in trained.state_dict()} == {torch.float16}
    assert float(about["label_at_1"]) == 5
    assert float(about["label_at_0"]) == pytest.approx(2.2)
    assert json.loads(about["recipe"])["steps"] == 12


def test_weights_can_be_started_from(make: Make, write: Write, tmp_path: Path) -> None:
    run = make()
    trained = run.finish()
    run.write(trained, tmp_path / "first.safetensors")
    recipe = Recipe.read(write(("views =", 'start = ["weights"]\nviews =')))
    places = Places(tmp_path / "second", run.sources.train.entries[0].path.parent)
    second = Run(recipe, places, {"weights": tmp_path / "first.safetensors"})
    assert same(trained.state_dict(), second.trainer.model.state_dict())


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_trains_alike_and_resumes(
    make: Make, tmp_path: Path, precision: str
) -> None:
    lower = ("seed = 3", f'seed = 3\nprecision = "{precision}"')
    exact, run = make(work="exact"), make(lower, work="lower")
    exact.finish()
    run.finish()
    for name, value in run.trainer.model.state_dict().items():
        assert value.dtype == torch.float32
        assert not torch.equal(value, exact.trainer.model.state_dict()[name])
    first = [float(rows(tmp_path / work)[0]["smooth_l1"]) for work in ("exact", "lower")]
    assert first[0] == pytest.approx(first[1], rel=0.02)
    assert run.trainer.scaler.is_enabled() == (precision == "fp16")
    make(lower, work="parts").finish(until=6)
    resumed = make(lower, work="parts")
    resumed.finish()
    assert same(run.trainer.model.state_dict(), resumed.trainer.model.state_dict())


def test_validation_is_in_fp32_as_what_is_exported(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make(("seed = 3", 'seed = 3\nprecision = "bf16"'))
    network, seen = run.trainer.network, []

    def look(model: torch.nn.Module, inputs: object) -> object:
        seen.append((model.training, torch.is_autocast_enabled("cpu")))
        return type(network).look(network, model, inputs)

    monkeypatch.setattr(network, "look", look)
    run.finish(until=run.clock.total)
    assert set(seen) == {(True, True), (False, False)}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_trains_and_resumes(
    write: Write, rated_folder: Path, tmp_path: Path, precision: str
) -> None:
    recipe = Recipe.read(write(("seed = 3", f'seed = 3\nprecision = "{precision}"'), more=NOISE))
    places = Places(tmp_path / "work", rated_folder)
    for until in (7, None):
        run = Run(recipe, places, {}, device=torch.device("cuda"))
        model = run.finish(until=until)
    assert run.trainer.step == 12
    assert len(run.trainer.noise.memory) == 24
    assert all(bool(value.isfinite().all()) for value in model.state_dict().values())
    assert float(rows(tmp_path / "work")[-1]["noise"]) > 0


def test_half_precision_skips_a_step_whose_gradients_overflow(make: Make) -> None:
    run = make(("seed = 3", 'seed = 3\nprecision = "fp16"'))
    before = {n: v.clone() for n, v in run.trainer.model.state_dict().items()}
    run.trainer.scaler.load_state_dict(run.trainer.scaler.state_dict() | {"scale": 1e38})
    run.trainer.update(next(run._batches()))
    assert same(before, run.trainer.model.state_dict())
    assert run.trainer.scaler.get_scale() < 1e38


def test_a_loss_that_is_no_number_ends_the_run(make: Make) -> None:
    run = make()
    with torch.no_grad():
        run.trainer.model.out.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"nan at step 1.*Lower the rate"):
        run.finish()


def test_batches_that_do_not_fit_are_refused(make: Make) -> None:
    with pytest.raises(UsageError, match="batch = 400; the data hold 20 units"):
        make(("batch = 4", "batch = 400"))
