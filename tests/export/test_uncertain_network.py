"""A network with every output there is, through export, precisions, verification and scoring."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from export.build import Recipe, build_bundle  # noqa: E402
from export.description import describe  # noqa: E402
from export.frame_set import collect_frames  # noqa: E402
from export.models import declared_by  # noqa: E402
from export.to_onnx import ViewNetwork  # noqa: E402
from sdk.backends import BACKENDS, create_backend  # noqa: E402
from sdk.bundle import Bundle  # noqa: E402
from sdk.cli import main  # noqa: E402
from sdk.errors import BundleError, UsageError  # noqa: E402
from sdk.manifest import OUTPUTS  # noqa: E402
from sdk.scorer import Scorer  # noqa: E402
from sdk.views import View  # noqa: E402

from .small_network import DESCRIPTION, VIEWS, SmallNetwork, build  # noqa: E402

UNCERTAINTY_LABELS = ("task", "blur", "noise")
SCENE_LABELS = ("night", "street")
ABSTAIN_ABOVE = 7.5
PARSED = {name: View.parse(spec) for name, spec in VIEWS.items()}
RICH = msgspec.structs.replace(
    DESCRIPTION,
    outputs=OUTPUTS,
    uncertainty_labels=UNCERTAINTY_LABELS,
    scene_labels=SCENE_LABELS,
    abstain_above=ABSTAIN_ABOVE,
)


class UncertainNetwork(SmallNetwork):
    """The small network, whose sigma has causes and whose pooled tokens can be seen."""

    gap = 0.0  # between sigma and what its causes add up to

    def forward(self, fragments: Tensor, resize: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        tokens = torch.cat([self.tokens(fragments), self.tokens(resize)], dim=1)
        features = self.layer_norm(tokens).mean(dim=1)  # [B, D]
        score, mos, _, causes = super().forward(fragments, resize)
        variance = torch.nn.functional.softplus(features[:, :3]) * torch.tensor([9.0, 4.0, 1.0])
        sigma = variance.sum(dim=-1).sqrt() + self.gap
        scenes = torch.sigmoid(features[:, -2:])
        return score, mos, sigma, causes, variance.sqrt(), features, scenes


def uncertain() -> UncertainNetwork:
    network = UncertainNetwork().eval()
    network.load_state_dict(build().state_dict())
    return network


def original(network: torch.nn.Module) -> ViewNetwork:
    return ViewNetwork(network, PARSED, OUTPUTS)


def frames(count: int = 3) -> list[NDArray[np.uint8]]:
    random = np.random.default_rng(1)
    return [random.integers(0, 80 * (1 + i), (120, 160, 3), np.uint8) for i in range(count)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    pytest.importorskip("skimage")
    path = tmp_path_factory.mktemp("uncertain") / "uncertain.framescore"
    recipe = Recipe(precisions=("fp16", "int8"), accept_drift=True)
    return build_bundle(
        original(uncertain()),
        frames(),
        path,
        RICH,
        recipe=recipe,
        frames=collect_frames(None, PARSED, 24),
    )


def test_every_graph_has_every_output_in_fp32(bundle: Bundle) -> None:
    assert bundle.manifest.outputs == OUTPUTS
    assert len(bundle.graphs()) == 4
    for graph in bundle.graphs():
        found = onnx.load_model_from_string(bundle.members[graph.file]).graph.output
        assert [value.name for value in found] == list(OUTPUTS)
        assert {value.type.tensor_type.elem_type for value in found} == {onnx.TensorProto.FLOAT}


def test_certificate_holds_the_difference_of_every_output(bundle: Bundle) -> None:
    drift = bundle.manifest.certificate["golden"]["max_abs_difference_to_original"]
    assert set(drift) == set(OUTPUTS)
    assert max(drift.values()) < 1e-3


@pytest.mark.parametrize("name", list(BACKENDS))
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-4), ("fp16", 0.05), ("int8", 0.5)]
)
def test_scores_carry_what_the_network_says(
    bundle: Bundle, name: str, precision: str, tolerance: float
) -> None:
    pytest.importorskip(BACKENDS[name].package)
    network = uncertain()
    with Scorer(bundle, backend=name, precision=precision, features=True) as scorer:
        for inputs, frame in zip(bundle.golden.frames(), frames(), strict=True):
            with torch.no_grad():
                found = network(*(torch.tensor(view) for view in inputs.values()))
            expected = [value[0].numpy() for value in found]
            result = scorer.score(frame)
            assert tuple(result.uncertainty) == UNCERTAINTY_LABELS
            assert result.features is not None
            assert result.features.shape == (64,)
            np.testing.assert_allclose([*result.uncertainty.values()], expected[4], atol=tolerance)
            np.testing.assert_allclose(result.features, expected[5], atol=tolerance)
            assert tuple(result.scenes) == SCENE_LABELS
            np.testing.assert_allclose([*result.scenes.values()], expected[6], atol=tolerance)
            assert result.abstain == (float(result.sigma or 0) > ABSTAIN_ABOVE)


def test_features_of_a_free_batch(bundle: Bundle, tmp_path: Path) -> None:
    free = build_bundle(
        original(uncertain()),
        frames(),
        tmp_path / "free.framescore",
        RICH,
        recipe=Recipe(dynamic_batch=True),
    )
    for inputs in free.golden.frames():
        one = create_backend(free, "auto", "fp32", features=True).infer(inputs)
        two = create_backend(bundle, "auto", "fp32", features=True).infer(inputs)
        for output in OUTPUTS:
            np.testing.assert_allclose(one[output], two[output], rtol=1e-4, atol=1e-4)


def test_verify_takes_such_a_bundle(bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [str(bundle.path), "--count", "12", "--precision", "fp32"]
    assert main(["verify", *arguments]) == 0
    assert "fp32" in capsys.readouterr().out


def test_sigma_that_its_causes_do_not_add_up_to_is_refused(tmp_path: Path) -> None:
    network = uncertain()
    network.gap = 0.5
    with pytest.raises(BundleError, match=r"golden frame 0 a sigma of .* causes that add up to"):
        build_bundle(original(network), frames(), tmp_path / "m.framescore", RICH)
    assert list(tmp_path.iterdir()) == []


def test_a_module_declares_them_as_constants() -> None:
    import sys

    declared = declared_by(sys.modules[__name__])
    assert declared.uncertainty_labels == UNCERTAINTY_LABELS
    assert declared.scene_labels == SCENE_LABELS
    assert declared.abstain_above == ABSTAIN_ABOVE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"uncertainty_labels": ()}, "must come together"),
        ({"scene_labels": ()}, "must come together"),
        ({"scene_labels": ("a", "a")}, "scene_labels repeat"),
        ({"uncertainty_labels": ("blur", "task")}, "it must be 'task'"),
        ({"abstain_above": -1.0}, "abstain_above is -1; allowed are score points above 0"),
        ({"outputs": ("score", "rank")}, "Invalid enum value 'rank'"),
    ],
)
def test_description_that_contradicts_itself(changes: dict[str, object], reason: str) -> None:
    fields = {name: getattr(RICH, name) for name in RICH.__struct_fields__}
    with pytest.raises(UsageError, match=reason):
        describe({**fields, **changes}, "description x.json")
