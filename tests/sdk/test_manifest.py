from __future__ import annotations

import json
from typing import Any

import pytest

from sdk.errors import BundleError
from sdk.manifest import SCHEMA_VERSION, encode_manifest, parse_manifest

from .tiny_model import tiny_manifest

INT8 = {"file": "model.onnx", "opset": 20, "precision": "int8"}
FILES = {"model.onnx": "0" * 64, "golden.npz": "f" * 64}
RICH = ["score", "sigma", "distortions", "uncertainty"]
BARE = ["score", "distortions", "uncertainty"]


def fields(**changes: Any) -> dict[str, Any]:
    plain = json.loads(encode_manifest(tiny_manifest(files=FILES)))
    return {**plain, **changes}


def parsed(**changes: Any) -> Any:
    return parse_manifest(json.dumps(fields(**changes)).encode(), "m.framescore")


def test_round_trip() -> None:
    manifest = tiny_manifest(files=FILES, certificate={"max_drift": 1e-5, "tools": ["a"]})
    assert parse_manifest(encode_manifest(manifest), "m.framescore") == manifest


def test_encoding_does_not_depend_on_the_order_of_keys() -> None:
    one = tiny_manifest(files=FILES, certificate={"a": 1, "b": 2})
    two = tiny_manifest(files=dict(reversed(FILES.items())), certificate={"b": 2, "a": 1})
    assert encode_manifest(one) == encode_manifest(two)


def test_unknown_fields_are_ignored() -> None:
    assert parsed(verdict={"file": "x"}).id == "tiny"


def test_newer_schema_asks_for_an_upgrade() -> None:
    newer = {"schema_version": SCHEMA_VERSION + 1, "everything": "else differs"}
    with pytest.raises(BundleError, match="schema version 2; this framescore reads up to 1") as e:
        parse_manifest(json.dumps(newer).encode(), "m.framescore")
    assert "Upgrade framescore" in e.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"schema_version": "1"}']
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BundleError, match=r"m\.framescore: manifest\.json cannot be read"):
        parse_manifest(data, "m.framescore")


@pytest.mark.parametrize("name", ["id", "version", "views", "onnx", "golden"])
def test_missing_field_is_named(name: str) -> None:
    plain = fields()
    del plain[name]
    with pytest.raises(BundleError, match=f"missing required field `{name}`"):
        parse_manifest(json.dumps(plain).encode(), "m.framescore")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema_version": 0}, "schema_version is 0"),
        ({"id": "../x"}, "regex"),
        ({"views": []}, "length >= 1"),
        ({"files": {"model.onnx": "abc"}}, "regex"),
        ({"views": [{"input": "x", "spec": "a"}] * 2}, "x, x; each must differ"),
        ({"views": [{"input": "score", "spec": "a"}]}, "names the golden scores"),
        ({"outputs": ["mos"], "distortion_labels": []}, "score must be among them"),
        ({"outputs": ["score", "score"], "distortion_labels": []}, "each once"),
        ({"outputs": ["score", "heat"]}, "Invalid enum value 'heat'"),
        ({"outputs": ["score"]}, "must come together"),
        ({"distortion_labels": ["a", "a"]}, "distortion_labels repeat"),
        ({"uncertainty_labels": ["task"]}, "uncertainty_labels and .* must come together"),
        ({"outputs": RICH}, "uncertainty_labels and .* must come together"),
        ({"outputs": RICH, "uncertainty_labels": ["blur"]}, "'blur'; it must be 'task'"),
        ({"outputs": RICH, "uncertainty_labels": ["task", "task"]}, "uncertainty_labels repeat"),
        ({"scene_labels": ["day"]}, "scene_labels and the output 'scenes' must come together"),
        ({"outputs": ["score", "scenes"], "distortion_labels": []}, "scene_labels and .* together"),
        ({"outputs": BARE, "uncertainty_labels": ["task"]}, "'uncertainty' needs .*'sigma'"),
        ({"outputs": ["score", "distortions"], "abstain_above": 5}, "abstain_above needs"),
        ({"abstain_above": 0}, "abstain_above is 0; allowed are score points above 0"),
        ({"abstain_above": "much"}, "Expected `float | null`"),
        ({"score": {"min": 0, "max": 101}}, "runs from 0.0 to 101.0"),
        ({"score": {"min": 5, "max": 5}}, "runs from 5.0 to 5.0"),
        ({"score": {"higher_is_better": False}}, "higher_is_better"),
        ({"mos": {"min": 5, "max": 1}}, "mos runs from 5.0 to 1.0"),
        ({"onnx": {"file": "model.onnx", "opset": 20, "precision": "int3"}}, "onnx.precision"),
        ({"onnx": {"file": "else.onnx", "opset": 20}}, "'else.onnx', which files does not list"),
        ({"variants": [{"file": "x.onnx", "opset": 20}]}, "'x.onnx', which files does not list"),
        ({"variants": [{**INT8, "precision": "int4"}]}, "variants.precision is 'int4'"),
        ({"variants": [{**INT8, "profile": "fast"}]}, "variants.profile is 'fast'"),
        ({"variants": [INT8, INT8]}, "two graphs are int8 of profile compat"),
        ({"variants": [{**INT8, "precision": "fp32"}]}, "two graphs are fp32 of profile compat"),
        ({"golden": {"file": "else.npz"}}, "'else.npz', which files does not list"),
        ({"files": {**FILES, "manifest.json": "0" * 64}}, "files lists manifest.json, which"),
    ],
)
def test_contradictions_are_named(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        parsed(**changes)
