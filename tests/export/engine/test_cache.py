from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import msgspec
import pytest

from export.engine.cache import PlanCache, cache_folder
from export.engine.entry import LOG, PLAN, SIDECAR
from export.engine.fusion import Fusion
from export.engine.plan import Built, Engine
from export.engine.recipe import Recipe
from export.progress import silent
from sdk.errors import BackendError, SinkError

RECIPE = Recipe(
    model="glint",
    onnx_sha256="a" * 64,
    precision="fp16",
    profile="compat",
    target="this",
    batch=(1, 1, 1),
    backend="tensorrt",
    version="10.3.0",
    capabilities=(87,),
    device="Orin",
    driver="540.4.0",
)
BUILT = Built(tensors=(), layers=3, fusion=Fusion(), seconds=0.5)


class Builder:
    """Writes a plan of a few bytes and counts how often it has to."""

    def __init__(self, plan: bytes = b"a plan") -> None:
        self.plan = plan
        self.calls = 0

    def __call__(self, folder: Path) -> Built:
        self.calls += 1
        (folder / PLAN).write_bytes(self.plan)
        (folder / LOG).write_text("[I] built\n")
        return BUILT


@pytest.fixture
def plans(tmp_path: Path) -> PlanCache:
    return PlanCache(tmp_path / "engines")


def fill(plans: PlanCache, recipe: Recipe = RECIPE, plan: bytes = b"a plan") -> Engine:
    return plans.get_or_build(recipe, Builder(plan), silent)


def test_a_plan_is_built_once(plans: PlanCache) -> None:
    builder = Builder()
    first = plans.get_or_build(RECIPE, builder, silent)
    second = plans.get_or_build(RECIPE, builder, silent)
    assert builder.calls == 1
    assert (first.from_cache, second.from_cache) == (False, True)
    assert first.plan == second.plan == b"a plan"
    assert first.info == second.info
    assert second.log is not None
    assert second.log.read_text() == "[I] built\n"


def test_the_plan_is_as_the_builder_wrote_it(plans: PlanCache) -> None:
    engine = fill(plans)
    folder = plans.folder / RECIPE.entry
    assert {path.name for path in folder.iterdir()} == {PLAN, SIDECAR, LOG}
    assert engine.path == folder / PLAN
    assert engine.path.read_bytes() == b"a plan"
    assert json.loads((folder / SIDECAR).read_text())["recipe"]["device"] == "Orin"


CHANGES = {
    "onnx_sha256": ("b" * 64, "the network: aaaaaaaaaaaa… before, bbbbbbbbbbbb… now"),
    "version": ("10.16.1", "its version: 10.3.0 before, 10.16.1 now"),
    "capabilities": ((86,), "compute capabilities: 87 before, 86 now"),
    "device": ("AGX", "the GPU: Orin before, AGX now"),
    "driver": ("580", "the driver: 540.4.0 before, 580 now"),
    "profile": ("native-attention", "the graph profile: compat before, native-attention now"),
    "plugins": (("c" * 64,), "the plugins: none before, cccccccccccc… now"),
    "shapes": ({"crops": 25}, "pictures in a frame: none before, crops 25 now"),
    "rewritten_sha256": (
        "d" * 64,
        "the network with our attention: none before, dddddddddddd… now",
    ),
    "backend": ("tensorrt_rtx", "the backend: tensorrt before, tensorrt_rtx now"),
}


@pytest.mark.parametrize("field", list(CHANGES))
def test_a_stale_plan_is_built_again_and_says_why(plans: PlanCache, field: str, caplog) -> None:
    fill(plans)
    value, message = CHANGES[field]
    changed = msgspec.structs.replace(RECIPE, **{field: value})
    with caplog.at_level(logging.WARNING, "framescore"):
        engine = fill(plans, changed, b"another")
    assert not engine.from_cache
    [record] = caplog.records
    assert "the plan of glint in the cache does not fit any more" in record.getMessage()
    assert message in record.getMessage()
    assert fill(plans).from_cache  # the other stays: both machines may share the folder


ASKED = {
    "model": "other",
    "precision": "int8",
    "target": "sm_87",
    "batch": (1, 8, 8),
    "version_compatible": True,
    "strip": True,
    "hardware_compat": True,
    "attention": "fused",
}


@pytest.mark.parametrize("field", list(ASKED))
def test_what_is_asked_for_is_another_engine(plans: PlanCache, field: str, caplog) -> None:
    fill(plans)
    with caplog.at_level(logging.WARNING, "framescore"):
        engine = fill(plans, msgspec.structs.replace(RECIPE, **{field: ASKED[field]}))
    assert not engine.from_cache
    assert caplog.records == []


def test_every_field_of_a_recipe_is_part_of_its_key() -> None:
    assert {*CHANGES, *ASKED} == set(Recipe.__struct_fields__)
    changes = {**{name: value for name, (value, _) in CHANGES.items()}, **ASKED}
    keys = {msgspec.structs.replace(RECIPE, **{k: v}).key for k, v in changes.items()}
    assert len({*keys, RECIPE.key}) == len(changes) + 1
    assert Recipe(**msgspec.structs.asdict(RECIPE)).key == RECIPE.key


def truncate(folder: Path) -> None:
    (folder / PLAN).write_bytes(b"a pl")


def corrupt(folder: Path) -> None:
    (folder / PLAN).write_bytes(b"a plaN")


def lose(folder: Path) -> None:
    (folder / PLAN).unlink()


def scribble(folder: Path) -> None:
    (folder / SIDECAR).write_text("{")


def from_the_future(folder: Path) -> None:
    sidecar = folder / SIDECAR
    sidecar.write_text(sidecar.read_text().replace('"schema_version": 1', '"schema_version": 2'))


def another_sidecar(folder: Path) -> None:
    sidecar = folder / SIDECAR
    sidecar.write_text(sidecar.read_text().replace("Orin", "Thor"))


DAMAGES = {
    truncate: "its plan has 4 bytes instead of 6",
    corrupt: "its plan is damaged: the checksum is another",
    lose: "its plan cannot be read: No such file",
    scribble: f"its {SIDECAR} is missing or damaged",
    from_the_future: f"its {SIDECAR} is missing or damaged",
    another_sidecar: "its sidecar is that of glint-fp16-this-",
}


@pytest.mark.parametrize("damage", list(DAMAGES), ids=lambda damage: damage.__name__)
def test_a_damaged_plan_is_noticed(plans: PlanCache, damage, caplog) -> None:
    fill(plans)
    damage(plans.folder / RECIPE.entry)
    [entry] = plans.entries()
    assert DAMAGES[damage] in entry.problem
    with caplog.at_level(logging.WARNING, "framescore"):
        assert not fill(plans).from_cache
    assert DAMAGES[damage] in caplog.text
    assert "is built again" in caplog.text
    assert [entry.problem for entry in plans.entries()] == [""]


def test_a_failed_build_keeps_only_its_log(plans: PlanCache) -> None:
    def fail(folder: Path) -> Built:
        (folder / LOG).write_text("[E] no\n")
        raise BackendError("It failed.", hint="Do not.")

    with pytest.raises(BackendError) as error:
        plans.get_or_build(RECIPE, fail, silent)
    log = plans.folder / f"{RECIPE.entry}.failed.log"
    assert error.value.hint == f"Do not. The builder's log: {log}"
    assert log.read_text() == "[E] no\n"
    assert plans.entries() == []
    assert not fill(plans).from_cache


def test_sweeping_removes_what_nobody_uses(plans: PlanCache) -> None:
    engine = fill(plans)
    draft = plans.folder / f".{RECIPE.entry}.123456.part"
    draft.mkdir()
    (plans.folder / "x.failed.log").write_text("")
    plans.sweep()
    assert [path.name for path in plans.folder.iterdir()] == [RECIPE.entry]
    assert fill(plans).plan == engine.plan


def test_entries_are_removed(plans: PlanCache) -> None:
    fill(plans)
    [entry] = plans.entries()
    assert entry.size == sum(p.stat().st_size for p in entry.path.iterdir()) > 100
    plans.remove(entry)
    assert plans.entries() == []
    with pytest.raises(SinkError, match="No such file"):
        plans.remove(entry)


def test_no_cache_is_an_empty_one(tmp_path: Path) -> None:
    assert PlanCache(tmp_path / "none").entries() == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"cannot be written: (Not a directory|File exists)"):
        fill(PlanCache(tmp_path / "file"))


@pytest.mark.parametrize(
    ("variable", "expected"),
    [("/var/c", "/var/c/framescore/engines"), ("relative", "{home}/.cache/framescore/engines")],
)
def test_the_folder_follows_xdg(monkeypatch, tmp_path: Path, variable: str, expected: str) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    assert str(cache_folder()) == expected.format(home=tmp_path)


def test_a_copied_cache_is_used_where_it_fits(plans: PlanCache, tmp_path: Path) -> None:
    fill(plans)
    shutil.copytree(plans.folder, tmp_path / "copy")
    assert fill(PlanCache(tmp_path / "copy")).from_cache


def test_locks_end_with_their_holder(plans: PlanCache) -> None:
    """A build that raises must not block the next one of the same process."""

    def fail(_folder: Path) -> Built:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plans.get_or_build(RECIPE, fail, silent)
    assert not fill(plans).from_cache
    assert list(plans.folder.glob(".*.part")) == []
