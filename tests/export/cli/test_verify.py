"""`framescore verify` as users meet it: verdicts, findings, errors without traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest

from export.drift import TOLERANCES
from export.frame_set import FrameSet, collect_frames
from sdk.bundle import Bundle
from sdk.cli import main
from sdk.demo.photographs import load_photograph

from ..verify.small_graphs import (
    HALF,
    LAYERS,
    MEAN,
    OVERFLOWS,
    fp16_graph,
    fp32_graph,
    int8_graph,
    small_frames,
    write_small_bundle,
)


class Result(NamedTuple):
    code: int
    out: str
    err: str


Verify = Callable[..., Result]


@pytest.fixture
def verify(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Verify:
    """Run `framescore verify` in this process, on few frames."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FRAMESCORE_DEBUG", raising=False)

    def run(bundle: Bundle | str, *arguments: object) -> Result:
        path = bundle if isinstance(bundle, str) else bundle.path
        counted = [] if {"--count", "--labels"} & {*arguments} else ["--count", 12]
        capsys.readouterr()
        code = main([str(word) for word in ("verify", path, *counted, *arguments)])
        result = Result(code, *capsys.readouterr())
        assert "Traceback" not in result.out + result.err
        return result

    return run


@pytest.fixture(scope="session")
def calibration() -> FrameSet:
    pytest.importorskip("skimage", reason="scikit-image, which brings the photographs, is missing")
    return small_frames()


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, calibration: FrameSet) -> Bundle:
    fp32 = fp32_graph()
    return write_small_bundle(
        tmp_path_factory.mktemp("sound") / "sound.framescore",
        fp32=fp32,
        fp16=fp16_graph(fp32),
        int8=int8_graph(fp32, calibration),
    )


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory, calibration: FrameSet) -> Path:  # noqa: ARG001
    """A folder with six pictures, of which one is no picture at all."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, name in enumerate(("coffee.png", "astronaut.png", "chelsea.png")):
        picture = load_photograph(name)
        cv2.imwrite(str(folder / f"a{number}.png"), picture)
        cv2.imwrite(str(folder / f"b{number}.png"), cv2.GaussianBlur(picture, (0, 0), 4))
    (folder / "broken.png").write_bytes(b"no picture")
    return folder


def test_a_sound_precision_passes(verify: Verify, sound: Bundle) -> None:
    result = verify(sound, "--precision", "fp16")
    assert (result.code, result.err) == (0, "")
    assert result.out.rstrip().endswith("passed")
    for words in ("fp16        openvino", "fp16        onnxruntime", "fp16        typed", "clean"):
        assert words in result.out
    assert max(map(len, result.out.splitlines())) <= 80


def test_limits_decide(verify: Verify, sound: Bundle) -> None:
    assert verify(sound, "--precision", "fp16", "--max-drift", 50).code == 0
    strict = verify(sound, "--precision", "fp16", "--max-drift", 0.0001)
    assert strict.code == 1
    assert "max |Δ| is" in strict.out
    assert "allowed is 0.0001" in strict.out
    assert strict.out.rstrip().endswith("failed")
    loose = {"--mean-drift": 50, "--p99-drift": 50, "--srocc-drop": 1}
    words = [word for pair in loose.items() for word in pair]
    assert verify(sound, "--precision", "int8", *words).code == 0


def test_a_planted_overflow_is_found_and_named(
    verify: Verify,
    tmp_path: Path,
    calibration: FrameSet,  # noqa: ARG001
) -> None:
    fp32 = fp32_graph(gain=OVERFLOWS)
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32, fp16=fp16_graph(fp32))
    result = verify(bundle, "--bisect")
    assert result.code == 1
    assert "bisected fp16 on typed on " in result.out
    assert "by the FP32 graph" in result.out
    assert "\nconv2: overflow: reaches " in result.out
    (line,) = (line for line in result.out.splitlines() if line.startswith(" →"))
    assert line.split()[1] == "conv2"
    assert line.split()[-3:] == ["∞", "∞", "∞"]
    assert max(map(len, result.out.splitlines())) <= 100


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("which", ["", "_w"])
def test_a_planted_bad_scale_is_found_and_named(
    verify: Verify, tmp_path: Path, calibration: FrameSet, layer: str, which: str
) -> None:
    fp32 = fp32_graph()
    wrong = int8_graph(fp32, calibration, {f"{layer}{which}": 1 / 8})
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32, int8=wrong)
    result = verify(bundle, "--bisect", "--precision", "int8", "--backend", "onnxruntime")
    assert result.code == 1
    assert f"\n{layer}: bad scale: " in result.out


def test_a_planted_wrong_normalisation_is_found_and_named(
    verify: Verify, tmp_path: Path, calibration: FrameSet
) -> None:
    fp32 = fp32_graph()
    other = int8_graph(fp32_graph(mean=MEAN, std=HALF), calibration)
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32, int8=other)
    result = verify(bundle, "--bisect")
    assert result.code == 1
    assert "\nmake_normalised: normalisation differs: " in result.out


def test_json_has_all_of_it(verify: Verify, sound: Bundle, tmp_path: Path) -> None:
    options = ("--precision", "fp16", "--bisect", "--time", "--json", "-o", tmp_path / "r.json")
    result = verify(sound, *options)
    document = json.loads(result.out)
    assert document == json.loads((tmp_path / "r.json").read_text())
    assert (document["schema"], document["kind"], document["passed"]) == (1, "verify", True)
    assert document["bisection"]["finding"]["kind"] == "none"
    assert document["bisection"]["candidate"]["precision"] == "fp16"
    assert [one["candidate"]["backend"] for one in document["latency"]] == [
        "openvino",
        "onnxruntime",
    ]


def test_worst_frames_are_saved(verify: Verify, sound: Bundle, tmp_path: Path) -> None:
    result = verify(sound, "--precision", "fp16", "--worst", tmp_path / "worst")
    assert result.code == 0
    assert "15 pictures of the worst frames are in" in result.err
    assert len(list((tmp_path / "worst").glob("fp16-*.png"))) == 15


def test_latency_is_told_in_words(verify: Verify, sound: Bundle) -> None:
    result = verify(sound, "--time")
    assert "int8 on openvino is" in result.out
    assert "× as fast as fp32 here" in result.out
    assert "Fastest here:" in result.out


def test_labels_are_matched_and_what_is_missing_is_named(
    verify: Verify, sound: Bundle, pictures: Path, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    rows = [
        "picture,mos",
        "a0.png,4",
        "a1.png,4.5",
        "a2,3.9",
        "b0.png,1.5",
        "b1.png,2",
        "gone.png,1",
    ]
    table.write_text("\n".join(rows))
    result = verify(sound, "--precision", "fp16", "--frames", pictures, "--labels", table)
    assert "ΔSROCC" in result.out
    assert "ΔPLCC" in result.out
    assert "warning: without label: b2.png" in result.err
    assert "warning: labels without picture: gone.png" in result.err
    assert "broken.png" in result.err
    assert "clean" in result.out
    assert "noise" not in result.out  # opinions are on the pictures as they are


def test_a_folder_of_pictures_is_degraded(verify: Verify, sound: Bundle, pictures: Path) -> None:
    result = verify(sound, "--precision", "fp16", "--frames", pictures)
    assert "noise" in result.out
    assert "left out: broken.png" in result.err


def test_a_bundle_without_variants_says_so(
    verify: Verify,
    tmp_path: Path,
    calibration: FrameSet,  # noqa: ARG001
) -> None:
    bundle = write_small_bundle(tmp_path / "b.framescore", fp32=fp32_graph())
    result = verify(bundle, "--bisect")
    assert result.code == 0
    assert "the bundle has no graph but FP32; only the backends were verified" in result.err
    assert "nothing to bisect" in result.err


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--frames", "nowhere"], 2, "nowhere is not a folder"),
        (["--labels", "labels.csv"], 2, "--labels needs --frames"),
        (["--backend", "tpu"], 2, "The backend is 'tpu'; allowed are openvino"),
        (["--precision", "bf16", "--backend", "onnxruntime"], 1, "nothing to run in bf16"),
        (["--precision", "int4"], 1, "nothing to run in int4"),
        (["--count", "0"], 2, "--count"),
        (["--max-drift", "-1"], 2, "--max-drift"),
    ],
)
def test_usage_that_cannot_be(
    verify: Verify, sound: Bundle, options: list[str], code: int, words: str
) -> None:
    result = verify(sound, *options)
    assert result.code == code
    assert words in result.err


def test_folders_without_pictures(verify: Verify, sound: Bundle, tmp_path: Path) -> None:
    assert "holds no picture" in verify(sound, "--frames", tmp_path).err
    (tmp_path / "a.png").write_bytes(b"no picture")
    result = verify(sound, "--frames", tmp_path)
    assert result.code == 2
    assert "None of the 1 pictures" in result.err


def test_labels_that_match_nothing(
    verify: Verify, sound: Bundle, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("picture,mos\nother.png,1\n")
    result = verify(sound, "--frames", pictures, "--labels", tmp_path / "labels.csv", "--count", 6)
    assert result.code == 2
    assert "0 of 6 frames have a label" in result.err


def test_a_signature_is_asked_for(verify: Verify, sound: Bundle, tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives import serialization as ser
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate().public_key()
    pem = key.public_bytes(ser.Encoding.PEM, ser.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "public.pem").write_bytes(pem)
    unsigned = verify(sound, "--public-key", tmp_path / "public.pem")
    assert (unsigned.code, unsigned.out) == (1, "")
    assert "is not signed" in unsigned.err
    missing = verify(sound, "--public-key", tmp_path / "no.pem")
    assert missing.code == 2
    assert "cannot be read: No such file" in missing.err


def test_a_bundle_that_is_none(verify: Verify, tmp_path: Path) -> None:
    assert verify("no-such-model").code == 1
    (tmp_path / "b.framescore").write_bytes(b"nothing")
    assert verify(str(tmp_path / "b.framescore")).code == 1


def test_frames_are_not_those_of_the_calibration(calibration: FrameSet) -> None:
    from export.cli.verify import SEED

    from ..verify.small_graphs import VIEWS

    other = collect_frames(None, VIEWS, len(calibration), seed=SEED)
    known = {frame["picture"].tobytes() for frame in calibration.inputs}
    shared = sum(frame["picture"].tobytes() in known for frame in other.inputs)
    assert shared < len(known) / 2
    assert {*TOLERANCES} >= {"fp32", "fp16", "bf16", "int8", "int8+fp16"}
    assert not np.array_equal(other.inputs[0]["picture"], calibration.inputs[0]["picture"])
