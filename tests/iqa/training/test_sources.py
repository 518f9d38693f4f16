from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from iqa.cli.train import RECIPES
from iqa.data.features import write_features
from iqa.data.photos import read_folder
from iqa.data.store import write_store
from iqa.data.synthesis import GROUP, Synthesis
from iqa.distortions.kadid import TYPES, to_bytes
from iqa.models.glint_edge import GlintEdge
from iqa.training.batch import collate
from iqa.training.loader import Batches, Order, _Units, validation_batches
from iqa.training.parallel import World
from iqa.training.places import Places, open_sources, photos_of, read_means
from iqa.training.recipe import Recipe
from iqa.training.recipe import Synthesis as SynthesisTable
from iqa.training.run import Run
from iqa.training.takes import Takes, padded
from sdk.errors import SourceError, UsageError

from ..conftest import scene
from .conftest import Make, rng

EDGE = ("fragments:2x16", "resize:32x32")
CROP = ("crops:2x2@32",)
TABLE = SynthesisTable(groups=3, val_groups=2)


@pytest.fixture(scope="session")
def means(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("means") / "means.csv"
    rows = [f"{kind},{level},{5 - 0.7 * level}" for kind in TYPES for level in range(1, 6)]
    path.write_text("\n".join(["type,level,mean", *rows]) + "\n")
    return path


@pytest.fixture
def places(photo_folder: Path, means: Path, tmp_path: Path) -> Places:
    return Places(tmp_path / "work", photos=(photo_folder,), means=means)


def test_frames_never_come_twice_and_validation_is_always_the_same(places: Places) -> None:
    train, val, *_ = open_sources(TABLE, places, Takes(EDGE), seed=5)
    first, again, later = train.unit(1, 0), train.unit(1, 0), train.unit(1, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first.inputs, again.inputs, strict=True))
    assert not np.array_equal(first.inputs[0], later.inputs[0])
    assert np.array_equal(val.unit(1, 0).inputs[0], val.unit(1, 3).inputs[0])
    assert [x.shape for x in first.inputs] == [(GROUP, 32, 32, 3)] * 2
    assert len(set(first.group.tolist())) == 1
    assert not first.causes.sum(1).max() > 1.001


def test_worker_processes_make_the_same_frames(places: Places) -> None:
    train, val, *_ = open_sources(TABLE, places, Takes(CROP), seed=5)
    order = Order(len(train), 1, 5, 2, 4, slice(None))  # across the end of an epoch
    for here, there in zip(Batches(train, order, 0), Batches(train, order, 1), strict=True):
        assert torch.equal(here.inputs[0], there.inputs[0])
        assert torch.equal(here.target, there.target)
    shapes = [batch.inputs[0].shape[0] for batch in validation_batches(val, 1, World(), 0)]
    assert shapes == [GROUP * 4] * 2  # four crops a frame


def test_an_error_reaches_the_user_whole_also_from_a_worker(make: Make, tmp_path: Path) -> None:
    bad = tmp_path / "rated"
    bad.mkdir()
    lines = ["image,mos,scene,part"]
    for number in range(16):
        (bad / f"{number}.png").write_bytes(b"no picture")
        lines.append(f"{number}.png,{number},s{number},train")
    (bad / "labels.csv").write_text("\n".join(lines))
    run = make(root=bad)
    batch = collate([_Units(run.sources.train)[0, 0]])
    from_a_process = pickle.loads(pickle.dumps(batch))
    assert isinstance(from_a_process, SourceError)
    assert str(from_a_process) == str(batch)
    with pytest.raises(SourceError, match=r"^\S+\.png is not an image that OpenCV can read\.$"):
        run.finish()


def test_an_epoch_visits_every_unit_once() -> None:
    order = Order(12, 3, 0, 0, 8, slice(None))
    seen = [place for units in order for place in units]
    for epoch in (0, 1):
        assert sorted(unit for unit, e in seen if e == epoch) == list(range(12))
    assert [u for u, e in seen if e == 0] != [u for u, e in seen if e == 1]


def test_processes_share_a_step_in_order() -> None:
    whole = list(Order(12, 4, 0, 3, 6, slice(None)))
    halves = [list(Order(12, 4, 0, 3, 6, World(rank, 2).share(4))) for rank in (0, 1)]
    assert whole == [first + second for first, second in zip(*halves, strict=True)]


def test_glint_edge_learns_the_same_from_views_and_from_cached_features(
    places: Places, tmp_path: Path
) -> None:
    """The same frames, once through the trunk and once as `prepare` stored what it gives."""
    recipe = Recipe.read(_edge_recipe(tmp_path, "cached", "groups = 3"))
    photos = [p for p in read_folder(places.photos[0]) if p.split == "train"]
    write_store(
        places.work / "train", Synthesis(photos, read_means(places.means), recipe.seed), 3, 1
    )
    torch.manual_seed(recipe.seed)
    write_features(places.work / "train", GlintEdge(1, 1))
    shutil.copytree(places.work / "train", places.work / "val")
    cached = Run(recipe, places, {})
    views = Run(
        Recipe.read(_edge_recipe(tmp_path, "synthesis", "groups = 3\nval_groups = 1")), places, {}
    )
    losses = []
    for run in (cached, views):
        batch = collate([run.sources.train.unit(n, 0) for n in range(3)])
        losses.append(float(run.trainer.update(batch)["loss"]))
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)  # features are stored as fp16


def _edge_recipe(folder: Path, kind: str, data: str) -> Path:
    text = (RECIPES / "glint_edge.toml").read_text()
    text = text.replace('kind = "cached"\ngroups = 6000', f'kind = "{kind}"\n{data}')
    text = text.replace("blocks = 2, mlp_ratio = 2", "blocks = 1, mlp_ratio = 1")
    text = text.replace('start = ["mobilenet"]', "").replace("steps = 2500", "steps = 2")
    path = folder / f"{kind}.toml"
    path.write_text(text.replace("batch = 8 ", "batch = 1 "))
    return path


def test_cached_features_need_to_be_there_and_the_trunk_frozen(
    tmp_path: Path, places: Places
) -> None:
    path = _edge_recipe(tmp_path, "cached", "groups = 3")
    with pytest.raises(SourceError, match=r"no prepared frames.*python -m iqa prepare"):
        Run(Recipe.read(path), places, {})
    path.write_text(path.read_text().replace('freeze = ["trunk"]', ""))
    with pytest.raises(UsageError, match="must be frozen"):
        Run(Recipe.read(path), places, {})


def test_small_pictures_are_mirrored_at_their_edges() -> None:
    picture = to_bytes(scene(0, 20, 40))
    wide = padded(picture, 32)
    assert wide.shape == (32, 40, 3)
    assert np.array_equal(wide[20:], picture[:7:-1])
    (taken,) = Takes(CROP).draw(picture, rng())
    assert taken.shape == (1, 32, 32, 3)


def test_a_plain_folder_of_photographs_is_divided_by_name(tmp_path: Path) -> None:
    for number in range(40):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((8, 8, 3), number, np.uint8))
    found = photos_of(tmp_path)
    val = {photo.path.name for photo in found if photo.split == "val"}
    assert 0 < len(val) < 12
    (tmp_path / "0.png").unlink()
    kept = {photo.path.name for photo in photos_of(tmp_path) if photo.split == "val"}
    assert kept == val - {"0.png"}


def test_missing_places_are_named(places: Places, photo_folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("type,level,mean\n1,1,3\n")
    cases = [
        (Places(tmp_path), UsageError, "kind synthesis, which needs --means"),
        (Places(tmp_path, means=places.means), UsageError, "which needs --photos"),
        (Places(tmp_path, means=tmp_path / "no.csv"), SourceError, r"no\.csv does not exist"),
        (
            Places(tmp_path, means=bad),
            SourceError,
            "lacks 124 of KADID's settings.*type 1, level 2",
        ),
        (Places(tmp_path, means=photo_folder / "index.csv"), SourceError, "type, level, mean"),
        (
            Places(tmp_path, photos=(tmp_path / "no",), means=places.means),
            SourceError,
            "--photos .* is not a folder",
        ),
    ]
    for where, kind, said in cases:
        with pytest.raises(kind, match=said):
            open_sources(TABLE, where, Takes(CROP), seed=0)
