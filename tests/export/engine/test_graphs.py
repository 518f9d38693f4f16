from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from export.engine.api import Features
from export.engine.graphs import choose_graph
from sdk.bundle import Bundle
from sdk.errors import BundleError, UsageError
from sdk.manifest import OnnxGraph

OLD = Features(
    ahead_of_time=False, plugins=True, quick_plugins=False, native_attention=False
)  # TensorRT 10.3
NEW = Features(ahead_of_time=False, plugins=True, quick_plugins=False, native_attention=True)
ONE, MANY = (1, 1, 1), (1, 8, 8)


def form(precision: str, profile: str = "compat", *, free: bool = False) -> OnnxGraph:
    file = f"{precision} {profile} {free}"
    return OnnxGraph(file=file, opset=20, precision=precision, profile=profile, dynamic_batch=free)


def with_graphs(bundle: Bundle, *forms: OnnxGraph) -> Bundle:
    manifest = msgspec.structs.replace(bundle.manifest, onnx=forms[0], variants=forms[1:])
    return replace(bundle, manifest=manifest)


@pytest.mark.parametrize(
    ("precision", "features", "profile"),
    [
        ("fp16", OLD, "compat"),
        ("fp16", NEW, "native-attention"),
        ("fp32", NEW, "compat"),
    ],
)
def test_native_attention_where_it_is_read(
    bundle: Bundle, precision: str, features: Features, profile: str
) -> None:
    chosen = choose_graph(bundle, precision, ONE, features)
    assert (chosen.precision, chosen.profile) == (precision, profile)


def test_native_attention_only(bundle: Bundle) -> None:
    only = with_graphs(bundle, form("fp32", "native-attention"))
    assert choose_graph(only, "fp32", ONE, NEW).profile == "native-attention"
    with pytest.raises(BundleError, match="only with native attention"):
        choose_graph(only, "fp32", ONE, OLD)


def test_int8_takes_fp16_between(bundle: Bundle) -> None:
    both = with_graphs(bundle, form("fp32"), form("int8"), form("int8+fp16"))
    assert choose_graph(both, "int8", ONE, NEW).precision == "int8+fp16"
    one = with_graphs(bundle, form("fp32"), form("int8"))
    assert choose_graph(one, "int8", ONE, NEW).precision == "int8"


def test_a_free_batch_where_it_is_needed(bundle: Bundle) -> None:
    both = with_graphs(bundle, form("fp32"), form("fp32", "native-attention", free=True))
    assert choose_graph(both, "fp32", ONE, NEW).dynamic_batch is False
    assert choose_graph(both, "fp32", MANY, NEW).dynamic_batch is True


def test_what_is_missing_is_named(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="has no bf16 network; it has fp32, fp16") as error:
        choose_graph(bundle, "bf16", ONE, NEW)
    assert "--precision bf16" in error.value.hint
    with pytest.raises(UsageError, match="no precision 'int8\\+fp16'"):
        choose_graph(bundle, "int8+fp16", ONE, NEW)
