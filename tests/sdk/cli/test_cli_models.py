from __future__ import annotations

import json
import shutil

import pytest

import sdk.bundle


@pytest.fixture
def models_folder(monkeypatch, tmp_path):
    """A folder of its own in place of the packaged models."""
    monkeypatch.setattr(sdk.bundle, "_MODELS_DIR", tmp_path)
    return tmp_path


def test_a_model_says_what_it_is_and_what_its_numbers_mean(cli, models_folder, tiny_bundle):
    shutil.copy(tiny_bundle, models_folder / "small.framescore")
    result = cli("models")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("small\n")
    assert "0 to 100, higher is better" in result.out
    assert "fragments:7x32, resize:224x224" in result.out
    assert "tiny@" in result.out


def test_json_has_the_same(cli, models_folder, tiny_bundle):
    shutil.copy(tiny_bundle, models_folder / "small.framescore")
    document = json.loads(cli("models", "--json").out)
    (model,) = document["models"]
    assert document["schema"] == 1
    assert model["name"] == "small"
    assert model["model"].startswith("tiny@")
    assert model["score"] == {"min": 0, "max": 100, "higher_is_better": True}
    assert model["bytes"] == tiny_bundle.stat().st_size
    assert (model["graphs"], model["signed"]) == (["fp32 compat"], False)


def test_a_name_can_be_given_to_score(cli, models_folder, tiny_bundle, images):
    shutil.copy(tiny_bundle, models_folder / "small.framescore")
    assert cli("score", "-m", "small", images).code == 0


def test_a_damaged_model_is_reported_beside_the_others(cli, models_folder, tiny_bundle):
    shutil.copy(tiny_bundle, models_folder / "small.framescore")
    (models_folder / "bad.framescore").write_bytes(b"nothing")
    result = cli("models")
    assert result.code == 1
    assert "bad.framescore" in result.err
    assert "small" in result.out


def test_no_model_is_no_failure(cli, models_folder):
    assert not list(models_folder.iterdir())
    result = cli("models")
    assert (result.code, result.out) == (0, "")
    assert "-m FILE" in result.err


def test_the_default_model_is_listed(cli, default_bundle):
    result = cli("models")
    assert result.code == 0
    assert default_bundle.stem in result.out
    assert "licence:" in result.out
    assert max(map(len, result.out.splitlines())) <= 80
