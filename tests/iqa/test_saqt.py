from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from iqa.distortions.kadid import stretch, to_bytes
from iqa.saqt.backbones import load_backbone
from iqa.saqt.features import CHUNK, features_of, unit
from iqa.saqt.held_out import held_out
from iqa.saqt.pictures import Picture, choose, find_pictures
from iqa.saqt.samples import TransferredSet
from iqa.saqt.scores import Scores, read_scores
from iqa.saqt.tables import (
    LABEL_COLUMNS,
    MATCH_COLUMNS,
    label_rows,
    match_rows,
    published_file,
    read_matches,
    read_sources,
    write_table,
)
from iqa.saqt.transfer import Matches, retrieve, transfer
from sdk.errors import SourceError, UsageError
from tests.iqa.conftest import scene

RGB = NDArray[np.uint8]


def write_pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), to_bytes(scene(number, 48, 64))[..., ::-1])
    return folder


def write_kadid_scores(path: Path, references: int = 3) -> Path:
    """``dmos.csv`` in KADID-10k's own form."""
    rng = np.random.default_rng(0)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["dist_img", "ref_img", "dmos", "var"])
        for reference in range(1, references + 1):
            for kind in range(1, 26):
                for level in range(1, 6):
                    name = f"I{reference:02d}_{kind:02d}_{level:02d}.png"
                    score = f"{rng.uniform(1, 4.93):.2f}"
                    writer.writerow([name, f"I{reference:02d}.png", score, "0.5"])
    return path


def colours(rgb: RGB) -> NDArray[np.float32]:
    """A backbone as simple as can be: mean colour and its spread."""
    flat = rgb.reshape(-1, 3).astype(np.float32)
    return np.concatenate([flat.mean(0), flat.std(0)])


@pytest.fixture
def scores(tmp_path: Path) -> Scores:
    return read_scores(write_kadid_scores(tmp_path / "dmos.csv"))


def test_labels_run_from_zero_to_nine(scores: Scores) -> None:
    values = scores.rescaled().values
    assert values.shape == (3, 25, 5)
    assert (values.min(), values.max()) == (0, 9)
    low, high = scores.values.min(), scores.values.max()
    expected = 9 * (scores.values[1, 4, 2] - low) / (high - low)
    assert values[1, 4, 2] == pytest.approx(expected)


def test_labels_of_all_of_kadid(shared_data: Path) -> None:
    kadid = read_scores(shared_data / "human_scores/kadid10k.csv")
    assert kadid.values.shape == (81, 25, 5)
    rescaled = kadid.rescaled()
    assert (rescaled.values.min(), rescaled.values.max()) == (0, 9)
    # the scale is of all 10,125, whichever references are matched
    subset = rescaled.of(("I07", "I01"))
    np.testing.assert_array_equal(subset.values, rescaled.values[[6, 0]])


def test_tid_scores_have_another_number_of_types(shared_data: Path) -> None:
    assert read_scores(shared_data / "human_scores/tid2013.csv").values.shape == (25, 24, 5)


def test_both_forms_of_scores_agree(tmp_path: Path, scores: Scores) -> None:
    path = tmp_path / "plain.csv"
    rows = (
        (name, kind + 1, level + 1, value)
        for name, cube in zip(scores.references, scores.values, strict=True)
        for (kind, level), value in np.ndenumerate(cube)
    )
    write_table(path, ("reference", "distortion_type", "level", "score"), rows)
    again = read_scores(path)
    assert again.references == scores.references
    np.testing.assert_array_equal(again.values, scores.values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n", "columns a, b"),
        ("dist_img,dmos\npicture.png,3\n", "name the picture 'picture.png'"),
        ("dist_img,dmos\nI01_01_01.png,3\n", "lack 4 settings, the first is I01 type 1 level 2"),
        ("dist_img,dmos\n", "are empty"),
    ],
)
def test_bad_scores_are_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "scores.csv"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        read_scores(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_scores(tmp_path / "missing.csv")


def test_a_level_beyond_five_is_refused(tmp_path: Path) -> None:
    path = write_kadid_scores(tmp_path / "dmos.csv", 1)
    path.write_text(path.read_text() + "I01_01_06.png,I01.png,2,0\n")
    with pytest.raises(UsageError, match="I01 type 1 level 6"):
        read_scores(path)


def test_the_nearest_reference_is_found_and_its_scores_copied(scores: Scores) -> None:
    references = unit(np.float32([[1, 0], [0, 1], [-1, 0]]))
    sources = unit(np.float32([[0.1, 1], [1, 0.2], [-3, 0.1], [0, 1]]))
    names = ("a", "b", "c", "d")
    matches = retrieve(names, sources, scores.references, references)
    assert matches.rows[:, 0].tolist() == [1, 0, 2, 1]
    assert matches.similarity[3, 0] == pytest.approx(1)
    labels = transfer(matches, scores)
    np.testing.assert_allclose(labels, scores.rescaled().values[[1, 0, 2, 1]], atol=1e-12)


def test_several_references_are_weighted_by_similarity(scores: Scores) -> None:
    rows, similarity = np.array([[2, 0]]), np.float32([[0.75, 0.25]])
    labels = transfer(Matches(("a",), scores.references, rows, similarity), scores)
    of_each = scores.rescaled().values
    np.testing.assert_allclose(labels[0], 0.75 * of_each[2] + 0.25 * of_each[0])
    negative = Matches(("a",), scores.references, rows, np.float32([[0.5, -0.5]]))
    np.testing.assert_allclose(transfer(negative, scores)[0], of_each[2])
    none = Matches(("a",), scores.references, rows, np.float32([[-0.1, -0.5]]))
    np.testing.assert_allclose(transfer(none, scores)[0], (of_each[2] + of_each[0]) / 2)


def test_a_source_has_125_rows_in_the_published_layout(scores: Scores) -> None:
    names = tuple(f"s{i}" for i in range(1001))
    labels = np.broadcast_to(scores.values[0], (1001, 25, 5))
    rows = list(label_rows(names, labels))
    assert len(rows) == 125 * 1001
    assert rows[0] == ("s0", 1, 1, pytest.approx(scores.values[0, 0, 0]), "001/s0_01_01.bmp")
    assert rows[124][-1] == "001/s0_25_05.bmp"
    assert [published_file(j, "x", 1, 1)[:3] for j in (1, 1000, 1001, 50_000)] == [
        "001", "001", "002", "050",
    ]  # fmt: skip


ENDINGS = (".csv", ".parquet")


@pytest.mark.parametrize("ending", ENDINGS)
def test_match_tables_survive_a_file(tmp_path: Path, ending: str) -> None:
    rows, similarity = np.array([[2, 0], [1, 2]]), np.float32([[0.9, 0.5], [0.8, 0.75]])
    matches = Matches(("a", "ü b"), ("I01", "I02", "I03"), rows, similarity)
    path = tmp_path / f"matches{ending}"
    write_table(path, MATCH_COLUMNS, match_rows(matches))
    again = read_matches(path)
    assert again.sources == matches.sources
    names = [[again.references[i] for i in row] for row in again.rows]
    assert names == [["I03", "I01"], ["I02", "I03"]]
    np.testing.assert_allclose(again.similarity, similarity, atol=1e-6)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("count", [0, 7, 20])
def test_parquet_is_written_some_rows_at_a_time(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr("iqa.saqt.tables.ROWS_AT_ONCE", 7)
    rows = [(f"s{i}", i, i / 4) for i in range(count)]
    write_table(tmp_path / "a.parquet", ("name", "number", "score"), iter(rows))
    file = parquet.ParquetFile(tmp_path / "a.parquet")
    assert [tuple(row.values()) for row in file.read().to_pylist()] == rows
    assert file.num_row_groups == max(1, -(-count // 7))


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("column", ["source", "source_image", "kadis"])
def test_a_list_chooses_sources(column: str, ending: str, tmp_path: Path) -> None:
    pictures = find_pictures(write_pictures(tmp_path / "p", ["a.png", "b.jpg", "c.png"]))
    path = tmp_path / f"list{ending}"
    write_table(path, (column, "rank"), [("c.bmp", 1), ("b", 1), ("b", 2)])
    assert [p.name for p in choose(pictures, read_sources(path))] == ["b", "c"]
    write_table(path, (column, "rank"), [("c", 1), ("z", 1)])
    with pytest.raises(UsageError, match=r"1 of 2 pictures of the list are missing: z\."):
        choose(pictures, read_sources(path))
    write_table(path, ("picture",), [("c",)])
    with pytest.raises(UsageError, match="has the columns picture"):
        read_sources(path)


@pytest.mark.parametrize("columns", ["source_image,target_reference", "kadis,kadid-10k"])
def test_published_match_tables_are_read(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "published.csv"
    path.write_text(f"{columns}\n1000.png,I07.png\n2000.png,I03.png\n")
    matches = read_matches(path)
    assert matches.sources == ("1000", "2000")
    assert [matches.references[row] for row in matches.rows[:, 0]] == ["I07", "I03"]


def test_bad_tables_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.csv"
    path.write_text("source,other\na,b\n")
    with pytest.raises(UsageError, match="columns other, source"):
        read_matches(path)
    path.write_text(",".join(MATCH_COLUMNS) + "\na,1,I01,0.5\na,2,I02,0.4\nb,1,I01,0.5\n")
    with pytest.raises(UsageError, match="fewer matches"):
        read_matches(path)
    with pytest.raises(UsageError, match="does not exist"):
        read_matches(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        write_table(tmp_path / "t.xlsx", ("a",), [])


def test_folders_of_the_real_sets(tmp_path: Path, photo_folder: Path) -> None:
    kadis = write_pictures(tmp_path / "kadis700k/ref_imgs", ["0002.png", "0001.png"]).parent
    assert [p.name for p in find_pictures(kadis)] == ["0001", "0002"]
    names = ["I02.png", "I01.png", "I01_01_01.png", "I02_25_05.png"]
    kadid = write_pictures(tmp_path / "kadid10k/images", names).parent
    assert [p.name for p in find_pictures(kadid)] == ["I01", "I02"]
    plain = write_pictures(tmp_path / "plain", ["b.JPG", "a.bmp"])
    (plain / "notes.txt").write_text("")
    assert [p.name for p in find_pictures(plain)] == ["a", "b"]
    # an index with licences: training pictures of accepted licences only
    assert [p.name for p in find_pictures(photo_folder)] == ["0", "1", "2", "3"]


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        find_pictures(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no undistorted pictures"):
        find_pictures(tmp_path)
    write_pictures(tmp_path / "twice", ["a.png", "a.jpg"])
    with pytest.raises(UsageError, match="two pictures named a"):
        find_pictures(tmp_path / "twice")
    (tmp_path / "twice/a.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match="is not an image"):
        Picture("a", tmp_path / "twice/a.png").read()


def test_features_are_computed_once_and_go_on_after_a_stop(tmp_path: Path) -> None:
    count = CHUNK + 6
    write_pictures(tmp_path / "p", [f"{i:03d}.png" for i in range(count)])
    pictures, seen, told = find_pictures(tmp_path / "p"), [], []

    def backbone(rgb: RGB) -> NDArray[np.float32]:
        seen.append(rgb)
        if len(seen) == CHUNK + 3:
            raise KeyboardInterrupt
        return colours(rgb)

    def run(function: object = backbone) -> NDArray[np.float32]:
        return features_of(pictures, function, "colours", tmp_path / "f", lambda *a: told.append(a))

    with pytest.raises(KeyboardInterrupt):
        run()
    features = run()
    assert len(seen) == CHUNK + 3 + 6  # the finished chunk was not computed again
    run()
    assert len(seen) == CHUNK + 3 + 6
    assert told[-1] == ("features", count, count)
    assert told[: CHUNK + 3] == [("features", done, count) for done in range(CHUNK + 3)]
    np.testing.assert_allclose(features, unit(np.stack([colours(p.read()) for p in pictures])))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    with pytest.raises(UsageError, match="other pictures or of another backbone"):
        features_of(pictures, backbone, "another", tmp_path / "f")
    with pytest.raises(UsageError, match="other pictures"):
        features_of(pictures[1:], backbone, "colours", tmp_path / "f")


def test_samples_are_made_on_the_fly_and_always_the_same(tmp_path: Path, scores: Scores) -> None:
    pictures = find_pictures(write_pictures(tmp_path / "p", ["a.png", "b.png"]))
    labels = scores.rescaled().values[:2]
    samples = TransferredSet(pictures, labels)
    assert len(samples) == 250
    clean = samples[125 + 17 * 5 + 2]  # mean shift at its middle level changes nothing
    assert (clean.source, clean.kind, clean.level) == ("b", 18, 3)
    expected = to_bytes(stretch(pictures[1].read().astype(np.float32) / 255))
    assert int(np.abs(clean.image.astype(int) - expected).max()) <= 1
    assert clean.label == labels[1, 17, 2]
    assert clean.quality == pytest.approx(clean.label / 9)
    noisy = samples[10 * 5 + 4]
    assert noisy.kind == 11
    assert np.array_equal(noisy.image, samples[10 * 5 + 4].image)
    assert not np.array_equal(noisy.image, TransferredSet(pictures, labels, seed=1)[54].image)
    with pytest.raises(IndexError):
        samples[250]
    with pytest.raises(ValueError, match="shape"):
        TransferredSet(pictures, labels[:1])


def test_samples_come_from_the_tables_of_a_match(tmp_path: Path, shared_data: Path) -> None:
    folder = write_pictures(tmp_path / "p", ["b.png", "a.png", "unused.png"])
    path = write_kadid_scores(tmp_path / "dmos.csv")
    rows = [("b", 1, "I03", 0.75), ("b", 2, "I01", 0.25), ("a", 1, "I02", 1), ("a", 2, "I01", 0)]
    write_table(tmp_path / "matches.csv", MATCH_COLUMNS, rows)
    samples = TransferredSet.from_tables(folder, tmp_path / "matches.csv", path, seed=2)
    assert [picture.name for picture in samples.pictures] == ["a", "b"]
    values = read_scores(path).rescaled().values
    np.testing.assert_allclose(samples.labels[0], values[1], atol=1e-9)
    np.testing.assert_allclose(samples.labels[1], 0.75 * values[2] + 0.25 * values[0], atol=1e-9)
    assert samples.seed == 2
    tid = shared_data / "human_scores/tid2013.csv"
    with pytest.raises(UsageError, match="of 24 distortion types; pictures are distorted by KADID"):
        TransferredSet.from_tables(folder, tmp_path / "matches.csv", tid)
    (folder / "a.png").unlink()
    with pytest.raises(UsageError, match="1 of 2 pictures of the list are missing: a"):
        TransferredSet.from_tables(folder, tmp_path / "matches.csv", path)


def test_held_out_rewards_a_match_that_tells_and_only_that() -> None:
    """Two kinds of reference with opposite scores: the feature that tells them apart must win."""
    rng = np.random.default_rng(0)
    kind = np.arange(12) % 2
    base = rng.normal(size=(1, 4, 5))
    values = np.where(kind[:, None, None], base, -base) + 0.1 * rng.normal(size=(12, 4, 5))
    scores = Scores(tuple(f"I{i:02d}" for i in range(12)), values)
    telling = unit(np.eye(2, dtype=np.float32)[kind] + 0.01)
    blind = unit(rng.normal(size=(12, 8)).astype(np.float32))
    for features, works in ((telling, True), (blind, False)):
        found = {row.name: row for row in held_out(scores, features)}
        assert found["the mean of all others"].gain == 0
        assert (found["the 1 most similar"].srocc > 0.9) is works
        assert (found["the 1 most similar"].low > found["a random other"].high) is works


def test_the_command_runs_on_folders_in_the_real_forms(tmp_path: Path, shared_data: Path) -> None:
    from iqa.saqt.__main__ import app

    sources = write_pictures(tmp_path / "kadis/ref_imgs", ["7.png", "8.png"]).parent
    references = write_pictures(tmp_path / "kadid/images", [f"I{i:02d}.png" for i in (1, 2, 3)])
    scores = write_kadid_scores(references.parent / "dmos.csv")
    weights = shared_data.parent / "weights/mobilenet_v2_imagenet.safetensors"
    common = ["--references", str(references.parent), "--scores", str(scores), "--weights"]
    common += [str(weights), "--backbone", "mobilenet_v2", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["match", "--sources", str(sources), *common, "--labels"])
    assert result.exit_code == 0, result.output
    assert "2 sources" in result.output
    matches = read_matches(tmp_path / "out/matches.csv")
    # source 7 has the pixels of I01, source 8 those of I02
    assert [matches.references[row] for row in matches.rows[:, 0]] == ["I01", "I02"]
    assert matches.similarity[0, 0] == pytest.approx(1, abs=1e-5)
    with (tmp_path / "out/labels.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 250
    assert set(rows[0]) == set(LABEL_COLUMNS)
    rated = read_scores(scores).rescaled().values
    assert float(rows[125]["score"]) == pytest.approx(rated[1, 0, 0], abs=1e-5)
    again = CliRunner().invoke(app, ["match", "--sources", str(sources), *common, "-k", "2"])
    assert again.exit_code == 0, again.output
    assert read_matches(tmp_path / "out/matches.csv").rows.shape == (2, 2)
    assert (tmp_path / "out/sources.csv").read_text().splitlines()[1] == "7,ref_imgs/7.png"


def test_the_command_runs_on_the_shared_data(tmp_path: Path, shared_data: Path) -> None:
    """Photographs by their licences, some of them by a list, against Kodak's with TID's scores."""
    from pyarrow import parquet

    from iqa.saqt.__main__ import app

    sources = shared_data / "pristine"
    names = [p.name for p in find_pictures(sources)][:200:60]
    write_table(tmp_path / "list.parquet", ("source",), [(name,) for name in names])
    kodak = tmp_path / "kodak"
    kodak.mkdir()
    for path in sorted((shared_data / "kodak").glob("*.png"))[:3]:
        (kodak / path.name).symlink_to(path)
    given = {
        "--sources": sources, "--references": kodak, "--only": tmp_path / "list.parquet",
        "--scores": shared_data / "human_scores/tid2013.csv", "--backbone": "mobilenet_v2",
        "--weights": shared_data.parent / "weights/mobilenet_v2_imagenet.safetensors",
        "--out": tmp_path / "out", "--format": "parquet", "-k": 2,
    }  # fmt: skip
    words = [str(word) for pair in given.items() for word in pair]
    result = CliRunner().invoke(app, ["match", *words, "--labels"])
    assert result.exit_code == 0, result.output
    matches = read_matches(tmp_path / "out/matches.parquet")
    assert matches.sources == tuple(names)
    assert {name[0] for name in matches.references} == {"I"}
    assert (np.diff(matches.similarity, axis=1) <= 0).all()
    assert parquet.read_table(tmp_path / "out/labels.parquet").num_rows == len(names) * 24 * 5


OWN_BACKBONES = """
import numpy as np
import torch

def colours():
    return lambda rgb: rgb.reshape(-1, 3).mean(0).astype(np.float32)

def network(weights):
    return torch.nn.Conv2d(3, 4, 8, 8)

def number():
    return 7
"""


def test_any_backbone_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_backbones.py").write_text(OWN_BACKBONES)
    monkeypatch.syspath_prepend(str(tmp_path))
    rgb = np.full((32, 24, 3), (255, 0, 51), np.uint8)
    backbone, identity = load_backbone("my_backbones:colours", None)
    assert backbone(rgb).tolist() == [255, 0, 51]
    weights = tmp_path / "w.pt"
    weights.write_bytes(b"anything")
    network, other = load_backbone("my_backbones:network", weights)
    assert network(rgb).shape == (4,)
    weights.write_bytes(b"others")
    assert len({identity, other, load_backbone("my_backbones:network", weights)[1]}) == 3
    for name, given, message in (
        ("vgg", None, "'vgg' is not known"),
        ("resnet50", None, "needs --weights"),
        ("resnet50", tmp_path / "absent.pt", "does not exist"),
        ("my_backbones:absent", None, "cannot be loaded"),
        ("no_such_module:build", None, "cannot be loaded"),
        ("my_backbones:number", None, "gave int"),
    ):
        with pytest.raises(UsageError, match=message):
            load_backbone(name, given)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    import torch

    torch.save({"features.0.0.weight": torch.ones(1)}, tmp_path / "other.pt")
    with pytest.raises(UsageError, match="not of a MobileNetV2 with folded batch norm"):
        load_backbone("mobilenet_v2", tmp_path / "other.pt")


def test_the_check_runs_on_kodak_and_tid(tmp_path: Path, shared_data: Path) -> None:
    from iqa.saqt.__main__ import app

    weights = shared_data.parent / "weights/mobilenet_v2_imagenet.safetensors"
    tid = shared_data / "human_scores/tid2013.csv"
    options = ["--references", str(shared_data / "kodak"), "--scores", str(tid), "--weights"]
    options += [str(weights), "--backbone", "mobilenet_v2", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, ["check", *options])
    assert result.exit_code == 0, result.output
    rows = {line[:22].strip(): line[22:].split() for line in result.output.splitlines()[1:]}
    assert float(rows["a random other"][0]) < float(rows["the mean of all others"][0]) < 1


def test_pictures_without_scores_are_named_before_any_work(tmp_path: Path) -> None:
    from iqa.saqt.__main__ import app

    folder = write_pictures(tmp_path / "p", ["x1.png", "I01.png"])
    weights = tmp_path / "w.safetensors"
    options = ["--sources", str(folder), "--references", str(folder), "--weights", str(weights)]
    scores = write_kadid_scores(tmp_path / "dmos.csv")
    options += ["--scores", str(scores), "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, ["match", *options])
    assert result.exit_code == 2
    assert "No scores for the references x1" in result.output
    assert not (tmp_path / "out").exists()
