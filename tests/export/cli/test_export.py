"""`framescore export` as a newcomer meets it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("skimage")

from export.models import find_builder  # noqa: E402
from sdk.bundle import Bundle  # noqa: E402
from sdk.cli import main  # noqa: E402
from sdk.scorer import Scorer  # noqa: E402

MODEL = """
import torch
from torch import nn


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, 2)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return torch.sigmoid(self.head(self.conv(x).abs().mean((2, 3))))


class Branching(Tiny):
    def forward(self, x):
        return super().forward(x if x.mean() > 0 else -x)


def build():
    torch.manual_seed(0)
    tiny = Tiny()
    with torch.no_grad():
        tiny.head.weight.mul_(20)
        tiny.head.bias.fill_(-3)
    return tiny


class Logarithm(Tiny):
    def forward(self, x):
        return self.head(torch.log(self.conv(x).mean((2, 3))))


class Loud(Tiny):
    def forward(self, x):
        return torch.sigmoid(self.head(self.conv(1e6 * x).abs().mean((2, 3)) / 1e6))


def branching():
    return Branching()


def loud():
    torch.manual_seed(0)
    return Loud()


def logarithm():
    torch.manual_seed(0)
    return Logarithm()
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a model of the user's, which the command is started in."""
    (tmp_path / "users_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "users_model", raising=False)
    return tmp_path


def test_one_line_is_enough(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--torch", "users_model:build", "--view", "resize:64x64"]) == 0
    out, err = capsys.readouterr()
    assert out == "users-model.framescore\n"
    for fact in ("parameters           6", "MAC a frame", "resize:64x64", "max |Δ| to original"):
        assert fact in err
    for note in ("--mean and --std", "--output-range", "--licence"):
        assert note in err
    photo = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    cv2.imwrite(str(here / "photo.png"), photo)
    with Scorer(here / "users-model.framescore") as scorer:
        assert 0 < scorer.score(photo).score < 100


def test_what_is_said_reaches_the_bundle(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, build = find_builder("users_model:build")
    state = {f"module.{name}": 0.9 * value for name, value in build().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, "weights.pt")
    Path("LICENSE").write_text("free")
    Path("about.json").write_text(json.dumps({
        "description": "A trial", "version": "3", "mean": [0.1, 0.1, 0.1],
        "sources": [{"name": "ImageNet", "role": "data", "licence": "own"}],
    }))  # fmt: skip
    words = (
        "export --torch users_model:build --weights weights.pt --view crops:2x2@48 --std 0.5 "
        "--output-range 1:0 --bgr --id trial --model-version 4 --licence MIT --include LICENSE "
        "--description about.json -o deep.framescore"
    )
    assert main(words.split()) == 0
    bundle = Bundle.load(here / "deep.framescore")
    manifest = bundle.manifest
    assert (manifest.id, manifest.version, manifest.licence) == ("trial", "4", "MIT")
    assert manifest.description == "A trial"
    assert manifest.sources[0].name == "ImageNet"
    assert bundle.members["LICENSE"] == b"free"
    assert "note:" not in capsys.readouterr().err
    network = build()
    network.load_state_dict({k.removeprefix("module."): v for k, v in state.items()})
    for frame, score in zip(bundle.golden.frames(), bundle.golden.score, strict=True):
        pixels = torch.from_numpy(frame["image"][..., ::-1].copy()).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            expected = 100 * (1 - network((pixels - 0.1) / 0.5).mean())
        assert score == pytest.approx(float(expected), abs=1e-3)
    assert np.ptp(bundle.golden.score) > 1


def test_a_key_signs_the_bundle(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric import ed25519

    from ...sdk.test_signature import pem_of

    private, public = pem_of(ed25519.Ed25519PrivateKey.generate())
    Path("key.pem").write_bytes(private)
    words = "export --torch users_model:build --view resize:32x32 -o s.framescore --sign"
    assert main([*words.split(), "key.pem"]) == 0
    Bundle.load(here / "s.framescore").check_signature(public)
    capsys.readouterr()
    assert main([*words.split(), "gone.pem"]) == 2
    assert "gone.pem cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.slow
def test_precisions_are_judged_timed_and_reported(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--precision", "fp16,int8", "--count", "48", "--accept-drift", "--report", "report"]
    assert main(["export", "--torch", "users_model:build", "--view", "resize:64x64", *options]) == 0
    out, err = capsys.readouterr()
    bundle = Bundle.load(here / out.strip())
    assert [x.precision for x in bundle.graphs()] == ["fp32", "fp16", "int8", "int8+fp16"]
    assert "fp16                 max |Δ|" in err
    assert "of the work in INT8" in err
    assert "int8 on openvino is" in " ".join(err.split())
    assert "as fast as fp32 here" in " ".join(err.split())
    assert "INT8 share" in err
    assert "judged on three photographs" in " ".join(err.split())
    header, *points = (here / "report" / "int8.csv").read_text().splitlines()
    assert "share" in header
    assert points
    assert (here / "report" / "int8.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_bf16_is_advised_where_the_range_of_fp16_ends(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "export --torch users_model:loud --view resize:32x32 --precision fp16,bf16 --count 16"
    assert main([*words.split(), "-o", "loud.framescore"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "of the multiply-adds leave fp16's range: try bf16" in said
    judged = Bundle.load(here / "loud.framescore").manifest.certificate["precisions"]
    assert "advice" in judged["fp16"]
    assert "advice" not in judged["bf16"]


def test_a_report_that_cannot_be_written_stops_before_the_work(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "taken").write_text("a file")
    words = "export --torch users_model:build --view resize:64x64 --precision int8 --report taken"
    assert main(words.split()) == 1
    assert "taken cannot be made: File exists" in capsys.readouterr().err
    assert list(here.glob("*.framescore")) == []


def test_profiles_and_free_batches(here: Path) -> None:
    words = "export --torch users_model:build --view resize:32x32 --dynamic-batch -o b.framescore"
    assert main([*words.split(), "--profile", "compat"]) == 0
    bundle = Bundle.load(here / "b.framescore")
    assert bundle.graphs()[0].dynamic_batch


def test_an_onnx_file_brings_its_size(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnx

    from ..test_fold import network

    onnx.save(network((1, 3, 40, 56)), "net.onnx")
    assert main(["export", "--onnx", "net.onnx"]) == 0
    assert capsys.readouterr().out == "net.framescore\n"
    assert Bundle.load(here / "net.framescore").manifest.views[0].spec == "resize:40x56"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "Say which model to export: one of NAME, --torch and --onnx."),
        ("glintedge --weights w.pt", "There is no model called 'glintedge'"),
        ("glint-edge", "glint-edge needs weights: without them its scores are random."),
        ("glint-edge --onnx net.onnx", "Say which model to export: one of"),
        ("--torch users_model:gone --view resize:8x8", "has no function 'gone'"),
        ("--torch users_model:build", "users_model:build does not say what its network sees."),
        ("--torch users_model:build --view resize:8", "View spec is 'resize:8'; allowed are"),
        ("--torch users_model:build --view resize:2x2", "Tiny cannot take float32 [1, 3, 2, 2] ("),
        ("--torch users_model:branching --view resize:8x8", "users_model.py, line 18: `return"),
        ("--torch users_model:build --view resize:8x8 --mean 1,2", "--mean is '1,2'; allowed are"),
        ("--torch users_model:build --view resize:8x8 --output-range 1", "allowed is WORST:BEST"),
        ("--torch users_model:build --view resize:8x8 --id Mine", "The model's id is 'Mine'"),
        ("--torch users_model:build --view resize:8x8 --precision fp8", "'fp8' is unknown"),
        ("--torch users_model:build --view resize:8x8 --weights w.pt", "w.pt cannot be read: No"),
        ("--torch users_model:build --view resize:8x8 --score 2", "There is no output '2'"),
        ("--torch users_model:build --view crops:2x2@8 --dynamic-batch", "counts the 4 crops"),
        ("--torch iqa.models.glint_edge:build --view resize:8x8", "--view cannot be used"),
        ("--torch users_model:build --view resize:8x8 --frames .", "--frames are what other"),
        ("--torch users_model:build --view resize:8x8 --report r", "no INT8 is asked for"),
        ("--onnx gone.onnx", "gone.onnx cannot be read as ONNX: No such file"),
        ("--onnx gone.onnx --weights w.pt", "An ONNX file holds its weights"),
    ],
)
def test_mistakes_get_a_reason(
    words: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", *words.split()]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("framescore: error: ")
    assert message in err
    assert "Traceback" not in err
    assert list(here.glob("*.framescore")) == []


def test_scores_that_cannot_be_meant_are_doubted(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del here
    words = "export --torch users_model:build --view resize:32x32 --output-range"
    assert main([*words.split(), "0.9999:1"]) == 0
    assert "golden frames score 0 or 100" in capsys.readouterr().err
    assert main([*words.split(), "-1000:1000"]) == 0
    assert "all golden frames, clean and ruined ones, score 50" in capsys.readouterr().err


def test_a_network_that_gives_nan_is_refused_with_the_layer(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "--torch", "users_model:logarithm", "--view", "resize:32x32"]) == 1
    err = capsys.readouterr().err
    assert (
        "logarithm gives NaN or infinity on golden frames, first NaN at Log (Log), frame 0" in err
    )
    assert list(here.glob("*.framescore")) == []


def test_help_is_quick_and_loads_no_framework() -> None:
    code = (
        "import sys; from sdk.cli import main; main(['export', '--help']); "
        "print([m for m in ('torch', 'onnx', 'numpy', 'cv2') if m in sys.modules], file=sys.stderr)"
    )
    start = time.process_time_ns()
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.process_time_ns() - start < 10**9
    assert "--output-range" in run.stdout
    assert run.stderr == "[]\n"
