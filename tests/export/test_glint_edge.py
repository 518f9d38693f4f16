"""The default model through the exporter, with a free batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from export.models import builder_of, declared_by, find_builder  # noqa: E402
from export.reference import open_session  # noqa: E402
from export.summary import summarise  # noqa: E402
from export.to_onnx import ViewNetwork, load_weights  # noqa: E402
from sdk.errors import UsageError  # noqa: E402
from sdk.views import View  # noqa: E402

pytestmark = pytest.mark.slow


def test_weights_without_the_later_head_say_how_it_is_fitted(tmp_path: Path) -> None:
    _, build = find_builder(builder_of("glint-edge"))
    state = {k: v for k, v in build().state_dict().items() if not k.startswith("uncertainty.")}
    torch.save(state, tmp_path / "old.pt")
    with pytest.raises(UsageError, match=r"2 missing: uncertainty\.weight") as caught:
        load_weights(build(), tmp_path / "old.pt")
    assert "python -m iqa uncertainty" in caught.value.hint
    del state["quality.bias"]
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(UsageError, match=r"3 missing: quality\.bias") as caught:
        load_weights(build(), tmp_path / "other.pt")
    assert "another variant" in caught.value.hint


def test_a_free_batch_scores_each_frame_as_alone(repository: Path) -> None:
    module, build = find_builder(builder_of("glint-edge"))
    declared = declared_by(module)
    views = {name: View.parse(spec) for name, spec in declared.views.items()}
    network = build()
    load_weights(network, repository / "iqa" / "weights" / "glint_edge.safetensors")
    original = ViewNetwork(network, views, declared.outputs)
    free = original.graph(dynamic_batch=True)
    random = np.random.default_rng(0)
    frames = {
        name: random.integers(0, 256, (3, 224, 224, 3), np.uint8)
        // np.uint8([[[[1]]], [[[2]]], [[[4]]]])
        for name in views
    }
    [together] = open_session(free.SerializeToString()).run(["score"], frames)
    alone = [
        original.run({name: frame[i : i + 1] for name, frame in frames.items()})["score"].item()
        for i in range(3)
    ]
    assert np.ptp(alone) > 1
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-4)
    assert summarise(free).macs == summarise(original.graph()).macs
