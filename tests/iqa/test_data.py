from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from iqa.data.features import Features, write_features
from iqa.data.labels import (
    CAUSE_OF_TYPE,
    CAUSES_OF_FAULT,
    MOS_CLEAN,
    both,
    causes,
    fault_label,
    read_type_level,
)
from iqa.data.photos import accepted, read_folder
from iqa.data.store import Store, views_of, write_store
from iqa.data.synthesis import GROUP, Synthesis
from iqa.distortions.camera import FAULTS
from iqa.distortions.kadid import TYPES
from iqa.models.glint_edge import DISTORTION_LABELS, build

MEANS = {(kind, level): 4.7 - 0.6 * level for kind in TYPES for level in range(1, 6)}


@pytest.mark.parametrize(
    ("licence", "fine"),
    [
        ("CC0-1.0", True), ("CC-BY-SA-4.0", True), ("Unsplash License", True),
        ("CC BY 2.0; Somebody", True), ("MIT (repository)", False),
        ("Apache-2.0 (repository)", False),
        ("CC BY / CC BY-SA / PD per image", False),
        ("open licence in LICENSE.md list (CC BY-SA/FAL/GFDL); per-image page: x", False),
    ],
)  # fmt: skip
def test_licences(licence: str, fine: bool) -> None:
    assert accepted(licence) is fine


def test_folder_keeps_accepted_pictures_and_their_split(photo_folder: Path) -> None:
    photos = read_folder(photo_folder)
    assert [p.split for p in photos] == ["train"] * 4 + ["val"]
    assert photos[0].read().shape == (120, 160, 3)


def test_every_type_and_fault_has_a_cause() -> None:
    assert set(CAUSE_OF_TYPE) == set(TYPES)
    assert set(CAUSES_OF_FAULT) == set(FAULTS)
    named = set(CAUSE_OF_TYPE.values()) | {c for cs in CAUSES_OF_FAULT.values() for c in cs}
    assert named | {"none"} == set(DISTORTION_LABELS)


def test_cause_targets_are_posteriors() -> None:
    visible = causes(2.0, ("blur", "noise"))
    assert visible.sum() == pytest.approx(1)
    assert visible[DISTORTION_LABELS.index("blur")] == pytest.approx(0.5)
    assert causes(MOS_CLEAN, ("blur",))[0] == pytest.approx(1)


def test_two_faults_are_worse_than_either() -> None:
    assert both(3.0, 3.5) < 3.0
    assert both(MOS_CLEAN, 3.0) == pytest.approx(3.0)
    assert both(1.0, 4.0) == pytest.approx(1.0)


def test_fault_anchors_fall_with_severity() -> None:
    for name, (_, worst) in FAULTS.items():
        values = [fault_label(name, s).mos for s in (0.0, 0.3, 0.6, 1.0)]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(MOS_CLEAN)
        assert values[-1] == pytest.approx(worst)


def test_type_level_means_are_read(tmp_path: Path) -> None:
    path = tmp_path / "means.csv"
    path.write_text("type,level,mean,std,n\n1,1,4.6122,0.1,81\n")
    assert read_type_level(path) == {(1, 1): 4.6122}


def test_a_group_depends_on_its_index_alone(photo_folder: Path) -> None:
    photos = read_folder(photo_folder)
    first, second = (Synthesis(photos, MEANS, 5) for _ in range(2))
    second.group(0)
    for a, b in zip(first.group(3), second.group(3), strict=True):
        assert np.array_equal(a.image, b.image)
        assert a.label.mos == b.label.mos
    assert not np.array_equal(
        first.group(3)[0].image, Synthesis(photos, MEANS, 6).group(3)[0].image
    )


def test_store_holds_what_was_made_and_the_trunk_outputs(
    photo_folder: Path, tmp_path: Path
) -> None:
    synthesis = Synthesis(read_folder(photo_folder), MEANS, 5)
    with pytest.raises(FileNotFoundError, match="no finished store"):
        Store.open(tmp_path / "store")
    write_store(tmp_path / "store", synthesis, groups=3, workers=2)
    store = Store.open(tmp_path / "store")
    assert len(store) == 3 * GROUP
    sample = synthesis.group(2)[1]
    fragments, resize = views_of(sample.image)
    assert np.array_equal(store.fragments[2 * GROUP + 1], fragments)
    assert np.array_equal(store.resize[2 * GROUP + 1], resize)
    assert store.mos[2 * GROUP + 1] == pytest.approx(sample.label.mos)
    write_features(tmp_path / "store", build())
    features = Features.open(tmp_path / "store")
    shapes = [tuple(t.shape) for t in features.batch(np.array([0, 5]))]
    assert shapes == [(2, 24, 56, 56), (2, 32, 28, 28), (2, 32, 28, 28)]


def test_features_are_what_the_trunk_gives_in_torch(photo_folder: Path, tmp_path: Path) -> None:
    model = build()
    write_store(tmp_path / "store", Synthesis(read_folder(photo_folder), MEANS, 5), 1, workers=1)
    write_features(tmp_path / "store", model)
    store, features = Store.open(tmp_path / "store"), Features.open(tmp_path / "store")
    with torch.inference_mode():
        local = model.shallow(torch.from_numpy(np.array(store.fragments)))
        context = model.shallow(torch.from_numpy(np.array(store.resize)))[1]
    for own, expected in zip(features.batch(np.arange(GROUP)), (*local, context), strict=True):
        largest = float(expected.abs().max())
        torch.testing.assert_close(own, expected, rtol=0, atol=2e-3 * largest)  # float16 on disk
