from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from export.write_bundle import npz_bytes, write_bundle, zip_bytes
from sdk.bundle import DEFAULT_MODEL, Bundle, packaged_models
from sdk.errors import BundleError
from sdk.manifest import ViewInput

from .tiny_model import tiny_manifest, tiny_onnx


def small_bundle() -> bytes:
    """A bundle of a few kilobytes, with all kinds of members; nothing runs its network."""
    views = (
        ViewInput(input="fragments", spec="fragments:2x8"),
        ViewInput(input="resize", spec="resize:16x16"),
    )
    golden = {
        "fragments": np.full((1, 16, 16, 3), 7, np.uint8),
        "resize": np.full((1, 16, 16, 3), 9, np.uint8),
        "score": np.array([50], np.float32),
    }
    members = {"model.onnx": tiny_onnx(), "golden.npz": npz_bytes(golden), "LICENSE": b"free\n"}
    files = {name: hashlib.sha256(data).hexdigest() for name, data in members.items()}
    text = json.dumps(
        json.loads(_encode(tiny_manifest(views=views, files=files))), indent=1
    ).encode()
    return zip_bytes({"manifest.json": text, **members})


def _encode(manifest: object) -> bytes:
    from sdk.manifest import encode_manifest

    return encode_manifest(manifest)  # type: ignore[arg-type]


SMALL = small_bundle()
PATH = Path("some.framescore")


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refused(data: bytes, reason: str) -> None:
    with pytest.raises(BundleError, match=reason) as caught:
        Bundle.from_bytes(data, PATH)
    assert str(PATH) in str(caught.value)


def test_loads_and_identifies_itself(tiny_bundle: Path) -> None:
    bundle = Bundle.load(tiny_bundle)
    text = members_of(tiny_bundle.read_bytes())["manifest.json"]
    assert bundle.digest == hashlib.sha256(text).hexdigest()
    assert bundle.model_id == f"tiny@{bundle.digest[:12]}"
    assert bundle.onnx == tiny_onnx()
    assert {name: view.spec for name, view in bundle.views.items()} == {
        "fragments": "fragments:7x32",
        "resize": "resize:224x224",
    }
    assert len(bundle.golden) == 3
    assert set(bundle.members) == {"model.onnx", "golden.npz", "LICENSE"}
    assert Bundle.load(str(tiny_bundle)).digest == bundle.digest
    assert "golden" not in repr(bundle)


def test_default_model_has_a_name() -> None:
    if DEFAULT_MODEL in packaged_models():
        assert Bundle.load(None).digest == Bundle.load(DEFAULT_MODEL).digest
    else:
        with pytest.raises(BundleError, match=DEFAULT_MODEL):
            Bundle.load(None)


def test_unknown_name_says_how_to_give_a_file() -> None:
    with pytest.raises(BundleError, match=r"'no-such' does not come with framescore") as caught:
        Bundle.load("no-such")
    assert "./no-such.framescore" in caught.value.hint


@pytest.mark.parametrize("model", ["no/such.framescore", "gone.framescore", Path("gone"), "a\0b/c"])
def test_missing_file(model: str | Path) -> None:
    with pytest.raises(BundleError, match="cannot be read"):
        Bundle.load(model)


def test_directory_and_pipe_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.framescore")
    for path in (tmp_path, tmp_path / "pipe.framescore"):
        with pytest.raises(BundleError, match="is not a file"):
            Bundle.load(path)


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.framescore"
    path.touch()
    with pytest.raises(BundleError, match=r"empty.framescore is empty \(0 bytes\)"):
        Bundle.load(path)


def test_oversized_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.framescore"
    with path.open("wb") as file:
        file.truncate(600 * 2**20)  # sparse
    with pytest.raises(BundleError, match="a bundle has at most 536870912"):
        Bundle.load(path)


def test_text_is_not_a_bundle() -> None:
    refused(b"#!/bin/sh\necho hello\n", "is not a zip file")


def test_zip_without_manifest() -> None:
    refused(zip_bytes({"readme.txt": b"hi"}), "has no member manifest.json; it has readme.txt")


def test_truncation_at_any_length() -> None:
    for length in {*range(0, len(SMALL), 97), *range(len(SMALL) - 200, len(SMALL))}:
        with pytest.raises(BundleError):
            Bundle.from_bytes(SMALL[:length], PATH)


@pytest.mark.parametrize("member", ["manifest.json", "model.onnx", "golden.npz", "LICENSE"])
def test_flipped_byte_in_a_member(member: str) -> None:
    content = members_of(SMALL)[member]
    start = SMALL.index(content)
    for position in {0, len(content) // 2, len(content) - 1}:
        data = bytearray(SMALL)
        data[start + position] ^= 0x10
        refused(bytes(data), member)


@pytest.mark.parametrize("member", ["model.onnx", "golden.npz", "LICENSE"])
def test_member_replaced_with_a_valid_checksum(member: str) -> None:
    changed = {**members_of(SMALL), member: b"something else"}
    refused(zip_bytes(changed), f"member '{member}' has sha256 [0-9a-f]{{16}}…; its manifest says")


def test_swapped_members() -> None:
    members = members_of(SMALL)
    members["model.onnx"], members["golden.npz"] = members["golden.npz"], members["model.onnx"]
    refused(zip_bytes(members), "has sha256")


def test_missing_member() -> None:
    members = members_of(SMALL)
    del members["golden.npz"]
    refused(zip_bytes(members), "has no member golden.npz")


def test_unlisted_member() -> None:
    refused(zip_bytes({**members_of(SMALL), "extra.py": b"boo"}), "'extra.py' is not listed")


def test_signature_may_come_with_it() -> None:
    signed = {**members_of(SMALL), "manifest.sig": bytes(64)}
    bundle = Bundle.from_bytes(zip_bytes(signed), PATH)
    assert bundle.signature == bytes(64)
    assert bundle.digest == Bundle.from_bytes(SMALL, PATH).digest
    assert "manifest.sig" not in bundle.members


def edited(change: Callable[[dict[str, object]], object]) -> bytes:
    members = members_of(SMALL)
    fields = json.loads(members["manifest.json"])
    change(fields)
    return zip_bytes({**members, "manifest.json": json.dumps(fields).encode()})


def test_newer_schema_is_refused_before_anything_else() -> None:
    data = edited(lambda fields: fields.update(schema_version=7, files={}))
    refused(data, "Upgrade framescore")


def test_unknown_view_names_the_file() -> None:
    views = [{"input": "a", "spec": "spiral:3"}]
    refused(edited(lambda fields: fields.update(views=views)), "View spec is 'spiral:3'")


def test_views_and_golden_frames_must_fit() -> None:
    views = [{"input": "fragments", "spec": "fragments:2x8"}]
    refused(edited(lambda fields: fields.update(views=views)), r"golden\.npz holds the arrays")


def test_manifest_size_is_bounded() -> None:
    data = edited(lambda fields: fields.update(certificate={"x": "y" * 2**21}))
    refused(data, "'manifest.json' has .* bytes; allowed are 1048576")


def loads_unchanged_or_refuses(data: bytes) -> None:
    """Damage is either refused as such, or it hit bytes that mean nothing, such as a date."""
    try:
        bundle = Bundle.from_bytes(data, PATH)
    except BundleError:
        return
    good = Bundle.from_bytes(SMALL, PATH)
    assert bundle.digest == good.digest
    assert bundle.members == good.members


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_any_overwritten_bytes(changes: list[tuple[int, int]]) -> None:
    data = bytearray(SMALL)
    for position, value in changes:
        data[position] = value
    loads_unchanged_or_refuses(bytes(data))


STRUCTURE = [i for i in range(len(SMALL)) if SMALL[i : i + 2] == b"PK"]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(STRUCTURE), st.integers(0, 60), st.binary(min_size=1, max_size=6))
def test_any_damage_to_zip_records(record: int, offset: int, value: bytes) -> None:
    data = bytearray(SMALL)
    data[record + offset : record + offset + len(value)] = value
    loads_unchanged_or_refuses(bytes(data[: len(SMALL)]))


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, len(SMALL)), st.binary(max_size=40))
def test_any_cut_or_insertion(start: int, end: int, inserted: bytes) -> None:
    loads_unchanged_or_refuses(SMALL[: min(start, end)] + inserted + SMALL[max(start, end) :])


@settings(max_examples=50, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_any_json_as_manifest(value: object) -> None:
    members = {**members_of(SMALL), "manifest.json": json.dumps(value).encode()}
    with pytest.raises(BundleError):
        Bundle.from_bytes(zip_bytes(members), PATH)


FIELDS = list(json.loads(members_of(SMALL)["manifest.json"]))


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(FIELDS),
    st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()) | st.just({}),
)
def test_any_value_of_a_manifest_field(field: str, value: object) -> None:
    data = edited(lambda fields: fields.update({field: value}))
    with suppress(BundleError):  # and no other error
        assert Bundle.from_bytes(data, PATH).manifest.id


def test_loaded_bundle_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "gone.framescore"
    bundle = write_bundle(path, tiny_manifest(**_small_changes()), _small_members())
    path.unlink()
    assert bundle.onnx.startswith(b"\x08")
    assert bundle.golden.score[0] == 50


def _small_members() -> dict[str, bytes]:
    return {k: v for k, v in members_of(SMALL).items() if k != "manifest.json"}


def _small_changes() -> dict[str, object]:
    return {"views": Bundle.from_bytes(SMALL, PATH).manifest.views}
