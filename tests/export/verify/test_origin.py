"""A bundle is compared with the network it was made from, and another normalisation is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

pytest.importorskip("torch", reason="torch is not installed")

from export.build import build_bundle
from export.golden_frames import degraded_photographs
from export.verify.layers import align_names
from export.verify.origin import find_original
from export.wish import Wish, grant
from sdk.bundle import Bundle
from sdk.cli import main
from sdk.errors import UsageError

pytestmark = pytest.mark.slow

BUILDER = f"{__package__}.plain_network:build"
MEAN, STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
Verify = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def bundle(photographs: None, tmp_path_factory: pytest.TempPathFactory) -> Bundle:  # noqa: ARG001
    image = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    granted = grant(Wish(torch=BUILDER, view="resize:64x64", image=image))
    path = tmp_path_factory.mktemp("plain") / "plain.framescore"
    return build_bundle(granted.original, degraded_photographs(), path, granted.description)


@pytest.fixture
def verify(
    bundle: Bundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Verify:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["verify", str(bundle.path), "--count", "8", *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


def test_the_network_itself_agrees(verify: Verify) -> None:
    code, out, _ = verify("--torch", BUILDER, "--mean", MEAN, "--std", STD)
    assert code == 0
    assert "PlainNetwork" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mean", "0.5", "--std", STD], "1·x "),
        (["--mean", MEAN, "--std", "0.5"], "·x "),
        (["--mean", MEAN, "--std", STD, "--bgr"], "normalisation differs"),
    ],
)
def test_another_normalisation_is_found_and_named(
    verify: Verify, options: list[str], words: str
) -> None:
    code, out, _ = verify("--torch", BUILDER, *options, "--bisect")
    assert code == 1
    assert "pixels/" in out
    assert ": normalisation differs: " in out
    assert words in out


def test_other_weights_are_found_at_the_layer(
    bundle: Bundle, verify: Verify, tmp_path: Path
) -> None:
    import torch

    from .plain_network import build

    network = build()
    with torch.no_grad():
        network.second.weight.mul_(1.5)  # type: ignore[union-attr, operator]
    torch.save(network.state_dict(), tmp_path / "other.pt")
    arguments = ("--mean", MEAN, "--std", STD, "--weights", str(tmp_path / "other.pt"), "--bisect")
    code, out, _ = verify("--torch", BUILDER, *arguments)
    assert code == 1
    assert "\nsecond/Conv: " in out
    assert len(bundle.graphs()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--torch", "nowhere:build"], "cannot be built"),
        (["--original", "unheard"], "There is no model called 'unheard'"),
        (["--mean", "0.5"], "none is named"),
        (["--torch", BUILDER, "--output-range", "1"], "--output-range is '1'"),
        (["--torch", BUILDER, "--weights", "none.pt"], "none.pt"),
        (["--torch", "iqa.models.glint_edge:build"], "The original sees fragments"),
    ],
)
def test_originals_that_cannot_be_compared(verify: Verify, options: list[str], words: str) -> None:
    code, _, err = verify(*options)
    assert code == 2
    assert words in err


def test_a_bundle_of_several_views_needs_a_network_that_declares_them() -> None:
    bundle = Bundle.load()
    with pytest.raises(UsageError, match=r"takes 2 views .* the original one picture"):
        find_original(bundle, Wish(torch=BUILDER))


def test_names_of_another_export_are_aligned(bundle: Bundle) -> None:
    model = onnx.load_model_from_string(bundle.onnx)
    shifted = onnx.ModelProto()
    shifted.CopyFrom(model)
    computed = [name for node in model.graph.node for name in node.output if name != "score"]
    names = dict(zip(computed, [*computed[1:], "last"], strict=True))  # numbers that moved on
    for node in shifted.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    aligned = align_names(model, shifted)
    onnx.checker.check_model(aligned, full_check=True)
    assert [n.output for n in aligned.graph.node] == [n.output for n in model.graph.node]
    del shifted.graph.node[-1]
    assert align_names(model, shifted) is shifted
