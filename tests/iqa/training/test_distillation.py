from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from iqa.distortions.kadid import to_bytes
from iqa.metrics import srocc
from iqa.models.glint_edge import VIEWS, GlintEdge
from iqa.saqt.pictures import Picture
from iqa.training.distillation import SCORES, Teaching
from iqa.training.parallel import World
from iqa.training.places import Places
from iqa.training.recipe import Recipe
from iqa.training.run import Run
from iqa.training.takes import Takes
from iqa.training.unlabelled import find_unlabelled
from sdk.errors import FramescoreError, SourceError, UsageError

from ..conftest import scene
from .conftest import NOISE, Make, Write
from .test_parallel import torchrun
from .test_run import AVERAGED, DROPOUT, rows, same

TINY = '{ name = "tiny_model:build", views = ["crops:2x2@32"] }'
ONE = f"""
[distillation]
teachers = {{ one = {TINY} }}
batch = 2
"""
TWO = ONE.replace("teachers = {", f"teachers = {{ two = {TINY},")

Teach = Callable[..., Path]


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pictures, clean and blurred, one of them a folder below."""
    root = tmp_path_factory.mktemp("unlabelled")
    (root / "below").mkdir()
    for number in range(4):
        clean = to_bytes(scene(50 + number, 48, 64))
        cv2.imwrite(str(root / f"{number}.png"), clean)
        below = "below" if number == 3 else ""
        cv2.imwrite(str(root / below / f"{number}b.png"), cv2.GaussianBlur(clean, (0, 0), 3))
    return root


@pytest.fixture
def teach(make: Make, tmp_path: Path) -> Teach:
    """Writes the weights of a network after some steps."""

    def teach(name: str = "one", steps: int = 1, seed: int = 3) -> Path:
        run = make(
            ("seed = 3", f"seed = {seed}"), ("steps = 12", f"steps = {steps}"),
            ("lr = 1e-2", "lr = 5e-2"), work=f"teacher-{name}",
        )  # fmt: skip
        path = tmp_path / f"{name}.safetensors"
        run.write(run.finish(), path)
        return path

    return teach


@torch.no_grad()
def score(run: Run, path: Path) -> float:
    """Of the averaged model, as at run time."""
    views = Takes(["crops:2x2@32"]).grid(Picture("", path).read())
    network, model = run.trainer.network, run.trainer.average
    inputs = network.inputs(model, [torch.from_numpy(view) for view in views])
    return float(model(*inputs).mean())


def test_the_student_follows_its_teacher(make: Make, teach: Teach, pictures: Path) -> None:
    """Labels hardly count here: what it knows of quality is the teacher's."""
    one = teach(steps=80)
    places = {"unlabelled": [pictures], "teachers": {"one": one}}
    changes = (
        ("steps = 12", "steps = 80"), ("lr = 1e-2", "lr = 5e-2"), ("smooth_l1 = 1.0", "l1 = 1e-9"),
        ("correlation = 0.1", ""), ("seed = 3", 'seed = 8\nkeep = "last"'),
    )  # fmt: skip
    run = make(*changes, more=ONE + "start = 10\n", **places)
    files = run.teaching.pictures.values()
    untaught = [score(run, path) for path in files]
    run.finish()
    logged = [row["distillation"] for row in rows(run.work)]
    assert not any(logged[:10])  # it starts in the eleventh step
    assert all(logged[10:])
    wanted = json.loads((run.work / SCORES).read_text())["scores"][0]
    taught = [score(run, path) for path in files]

    def error(found: list[float]) -> float:
        return sum(abs(a - b) for a, b in zip(found, wanted, strict=True))

    assert error(taught) < 0.2 * error(untaught)
    assert srocc(np.array(taught), np.array(wanted)) > 0.8


def test_taught_pictures_are_remembered_with_the_teachers_scores(
    make: Make, teach: Teach, pictures: Path
) -> None:
    places = {"unlabelled": [pictures], "teachers": {"one": teach()}}
    run = make(more=NOISE + ONE, **places)
    run.finish(until=2)
    memory = run.trainer.noise.memory
    assert len(memory) == 2 * (4 + 2)
    scores = json.loads((run.work / SCORES).read_text())["scores"][0]
    for quality in memory.quality[[4, 5, 10, 11]].tolist():
        assert min(abs(quality - known) for known in scores) < 1e-6
    run.finish()
    last = rows(run.work)[-1]
    assert float(last["noise"]) > 0
    assert float(last["distillation"]) > 0
    weights = run.trainer.weights
    total = sum(weights[name] * float(last[name]) for name in weights)
    assert float(last["loss"]) == pytest.approx(total, rel=1e-3)


def test_stopped_and_resumed_is_the_same_and_pictures_are_judged_once(
    make: Make, teach: Teach, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {"unlabelled": [pictures], "teachers": {"one": teach()}}
    changes, more = (AVERAGED, DROPOUT), NOISE + ONE
    whole = make(*changes, more=more, work="whole", **places)
    whole.finish()
    make(*changes, more=more, **places).finish(until=7)
    monkeypatch.setattr(Teaching, "_judged", None)
    resumed = make(*changes, more=more, **places)
    resumed.finish()
    assert same(whole.trainer.model.state_dict(), resumed.trainer.model.state_dict())
    assert same(whole.trainer.average.state_dict(), resumed.trainer.average.state_dict())
    alone = make(*changes, more=NOISE, work="alone")
    alone.finish()
    assert not same(whole.trainer.model.state_dict(), alone.trainer.model.state_dict())


def test_other_teachers_or_pictures_are_another_run(
    make: Make, teach: Teach, pictures: Path
) -> None:
    places = {"unlabelled": [pictures], "teachers": {"one": teach()}}
    make(more=ONE, **places).finish(until=2)
    other = places | {"teachers": {"one": teach("other", seed=4)}}
    with pytest.raises(UsageError, match="what differs: --teacher one"):
        make(more=ONE, **other).finish()
    with pytest.raises(UsageError, match="what differs: --unlabelled"):
        make(more=ONE, **places | {"unlabelled": [pictures / "below", pictures]}).finish()


def test_an_ensemble_teaches_where_it_agrees(make: Make, teach: Teach, pictures: Path) -> None:
    files = {"one": teach(steps=12), "two": teach("two", steps=12, seed=4)}
    places = {"unlabelled": [pictures], "teachers": files}
    scores = torch.tensor(judged(make(more=TWO, **places)), dtype=torch.float64)
    apart = (scores[0] - scores[1]).abs() / 2  # of two, the standard deviation
    limit = float(apart.sort().values[3:5].mean())
    run = make(more=TWO + f"limit = {limit}\n", **places)
    source = run.teaching.source(run.takes, 0, torch.device("cpu"), 0)
    expected = [
        (path, float(mean))
        for path, mean, gap in zip(
            run.teaching.pictures.values(), scores.mean(0), apart, strict=True
        )
        if gap < limit
    ]
    assert len(expected) == 4
    found = [(entry.path, entry.quality) for entry in source.entries]
    assert [path for path, _ in found] == [path for path, _ in expected]
    assert [q for _, q in found] == pytest.approx([q for _, q in expected])
    with pytest.raises(SourceError, match=r"agree on 0 of 8 unlabelled pictures; a step needs 2"):
        make(more=TWO + "limit = 1e-9\n", work="none", **places).finish()


def judged(run: Run) -> list[list[float]]:
    run.work.mkdir(exist_ok=True)
    run.teaching.source(run.takes, 0, torch.device("cpu"), 0)
    return json.loads((run.work / SCORES).read_text())["scores"]


def test_a_teacher_of_another_kind_sees_its_own_views(
    make: Make, pictures: Path, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    teacher = GlintEdge(1).eval()
    save_file(teacher.state_dict(), tmp_path / "edge.safetensors")
    more = ONE.replace(TINY, '{ name = "glint-edge", options = { blocks = 1 } }')
    places = {"unlabelled": [pictures], "teachers": {"one": tmp_path / "edge.safetensors"}}
    run = make(more=more, **places)
    found = judged(run)[0]
    views = Takes(tuple(VIEWS.values()))
    for path, value in zip(run.teaching.pictures.values(), found, strict=True):
        taken = [torch.from_numpy(v) for v in views.grid(Picture("", path).read())]
        with torch.no_grad():
            assert 100 * value == pytest.approx(float(teacher(*taken)[0]), abs=1e-3)
    run.finish(until=1)


def test_two_processes_follow_as_one_does(
    make: Make, write: Write, teach: Teach, rated_folder: Path, pictures: Path, tmp_path: Path
) -> None:
    files = {"one": teach(steps=12), "two": teach("two", steps=12, seed=4)}
    more = NOISE + TWO + "limit = 0.5\n"
    alone = make(more=more, work="alone", unlabelled=[pictures], teachers=files)
    alone.finish()
    named = [word for name, path in files.items() for word in ("--teacher", f"{name}={path}")]
    path = write(more=more)
    found = torchrun(path, rated_folder, tmp_path / "two", "--unlabelled", str(pictures), *named)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("following teachers on 8 of 8 pictures") == 1
    scores = [json.loads((tmp_path / w / SCORES).read_text()) for w in ("alone", "two")]
    for ours, theirs in zip(*(s["scores"] for s in scores), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-6)
    for ours, theirs in zip(*(rows(tmp_path / w) for w in ("alone", "two")), strict=True):
        for name in ("loss", "noise", "consistency", "distillation", "val_loss"):
            if ours[name]:
                assert float(ours[name]) == pytest.approx(float(theirs[name]), abs=1e-4), name


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"unlabelled": []}, r"\[distillation\], which needs --unlabelled"),
        ({"teachers": {}}, "asks for --teacher one=FILE; given are none"),
        ({"teachers": {"uno": Path("x")}}, "asks for --teacher one=FILE; given are uno"),
        ({"unlabelled": [Path("nowhere")]}, "--unlabelled nowhere does not exist"),
        ({"unlabelled": "ROOT"}, "lies in the labelled data"),
    ],
)
def test_what_does_not_fit_is_named(
    make: Make, teach: Teach, pictures: Path, rated_folder: Path, tmp_path: Path,
    change: dict[str, object], said: str,
) -> None:  # fmt: skip
    if change.get("unlabelled") == "ROOT":
        change = {"unlabelled": [rated_folder]}
    places = {"unlabelled": [pictures], "teachers": {"one": teach()}} | change
    with pytest.raises(FramescoreError, match=said):
        make(more=ONE, work="refused", **places)
    assert not (tmp_path / "refused").exists()


def test_weights_of_another_network_and_a_missing_table_are_named(
    make: Make, teach: Teach, write: Write, pictures: Path
) -> None:
    one = teach()
    wide = ONE.replace('"tiny_model:build"', '"tiny_model:build", options = { width = 9 }')
    with pytest.raises(UsageError, match=r"--teacher one=.*does not fit this model"):
        make(more=wide, unlabelled=[pictures], teachers={"one": one})
    with pytest.raises(UsageError, match=r"--unlabelled and --teacher are for recipes with"):
        make(unlabelled=[pictures])
    with pytest.raises(UsageError, match=r"Keys of \[distillation\] are teachers, batch, weight"):
        Recipe.read(write(more=ONE + "share = 0.5\n"))
    table = Recipe.read(write(more=ONE.replace("batch = 2", "batch = 3"))).distillation
    with pytest.raises(UsageError, match=r"batch = 3 does not divide among 2 processes"):
        Teaching(table, Places(pictures), World(0, 2))


def test_a_list_names_pictures(pictures: Path, tmp_path: Path) -> None:
    def found(text: str) -> list[str]:
        (pictures / "index.csv").write_text(text)
        try:
            for place in (pictures, pictures / "index.csv"):
                names = [path.name for path in find_unlabelled([place], []).values()]
            return names
        finally:
            (pictures / "index.csv").unlink()

    (tmp_path / pictures.name).mkdir()
    (tmp_path / pictures.name / "0.png").write_bytes((pictures / "0.png").read_bytes())
    both = find_unlabelled([pictures, tmp_path / pictures.name], [])  # one name, two folders
    assert len(both) == 9
    assert found("file\n0.png\nbelow/3b.png\n") == ["0.png", "3b.png"]
    assert found("file,split\n0.png,train\n1.png,val\n2.png,test\n") == ["0.png"]
    assert found("file,licence\n0.png,CC0\n1.png,all rights reserved\n") == ["0.png"]
    for text, said in (
        ("name\n0.png\n", "has no column 'file'"),
        ("file\n0.png\n9.png\n", r"9\.png does not exist"),
        ("file,split\n0.png,test\n", "holds no picture"),
    ):
        with pytest.raises(SourceError, match=said):
            found(text)
    (tmp_path / "bare").mkdir()
    with pytest.raises(SourceError, match="holds no picture"):
        find_unlabelled([tmp_path / "bare"], [])
