from __future__ import annotations

import io
import os
import resource
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from export.write_bundle import npz_bytes, write_bundle, zip_bytes
from sdk.bundle import Bundle
from sdk.errors import BundleError, SinkError

from ..sdk.tiny_model import tiny_golden, tiny_manifest, tiny_members


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    members = tiny_members()
    written = write_bundle(tmp_path / "m.framescore", tiny_manifest(), members)
    read = Bundle.load(tmp_path / "m.framescore")
    assert read.digest == written.digest
    assert read.members == members
    files = read.manifest.files
    assert msgspec.structs.replace(tiny_manifest(), files=files) == read.manifest


def test_equal_contents_give_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = tiny_members()
    write_bundle(tmp_path / "one.framescore", tiny_manifest(), members)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    write_bundle(tmp_path / "two.framescore", tiny_manifest(), dict(reversed(members.items())))
    one, two = ((tmp_path / f"{name}.framescore").read_bytes() for name in ("one", "two"))
    assert one == two


def test_other_tools_read_it(tmp_path: Path) -> None:
    write_bundle(tmp_path / "m.framescore", tiny_manifest(), tiny_members())
    with zipfile.ZipFile(tmp_path / "m.framescore") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "LICENSE", "golden.npz", "model.onnx"]
        with np.load(io.BytesIO(archive.read("golden.npz"))) as golden:
            assert golden["score"].shape == (3,)


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bundle(tmp_path / "m.framescore", tiny_manifest(), tiny_members())
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "m.framescore").stat().st_mode) == 0o640


def test_bundle_that_would_not_load_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "m.framescore"
    path.write_bytes(b"as it was")
    without_golden = {"model.onnx": b"x"}
    for members in (without_golden, {**tiny_members(), "../evil": b""}):
        with pytest.raises(BundleError):
            write_bundle(path, tiny_manifest(), members)
    assert path.read_bytes() == b"as it was"


@pytest.fixture
def small_disk() -> Iterator[None]:
    """A limit on file sizes: writes beyond it fail like on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("small_disk")
def test_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "m.framescore"
    path.write_bytes(b"as it was")
    with pytest.raises(SinkError, match=r"m\.framescore cannot be written: File too large"):
        write_bundle(path, tiny_manifest(), tiny_members())
    assert path.read_bytes() == b"as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_directory_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="No such file or directory"):
        write_bundle(tmp_path / "gone" / "m.framescore", tiny_manifest(), tiny_members())


def test_replaces_a_bundle_that_is_in_use(tmp_path: Path) -> None:
    path = tmp_path / "m.framescore"
    write_bundle(path, tiny_manifest(), tiny_members())
    with path.open("rb") as reader:
        write_bundle(path, tiny_manifest(version="2"), tiny_members())
        old = Bundle.from_bytes(reader.read(), path)
    assert (old.manifest.version, Bundle.load(path).manifest.version) == ("1", "2")


def test_arrays_round_trip_whatever_their_layout() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    data = npz_bytes({"c": array, "fortran": np.asfortranarray(array), "strided": array[::2, ::3]})
    with np.load(io.BytesIO(data)) as loaded:
        np.testing.assert_array_equal(loaded["fortran"], array)
        np.testing.assert_array_equal(loaded["strided"], array[::2, ::3])
    assert npz_bytes({"c": array}) == npz_bytes({"c": array.copy()})


def test_golden_frames_of_the_tests_are_reproducible() -> None:
    assert tiny_golden() == tiny_golden()
    assert zip_bytes({}) == b"PK\x05\x06" + bytes(18)
