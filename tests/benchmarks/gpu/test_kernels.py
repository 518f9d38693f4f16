"""The GPU benchmark's own parts, as far as they go without a GPU."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.gpu import (
    attention_cases,
    correctness,
    frame_cases,
    gpu_expectations,
    graph_timing,
    kernel_library,
    kernel_table,
    kernels,
    models,
    place,
    rivals,
    sanitizer,
    timings,
)
from benchmarks.gpu.attention_cases import AttentionCase
from sdk.errors import BackendError
from sdk.frames import PixelFormat


def test_timing_is_median_and_percentiles() -> None:
    timing = graph_timing.Timing.of(range(101))
    assert timing.as_dict() == {"us": 50, "p10": 10, "p90": 90}
    with pytest.raises(ValueError, match="no samples"):
        graph_timing.Timing.of([])


@pytest.mark.parametrize(("size", "sets"), [(0, 256), (600_000, 224), (2**24, 8), (2**30, 8)])
def test_cold_sets_overflow_the_cache(size: int, sets: int) -> None:
    assert graph_timing.cold_sets(size) == sets


def test_the_library_is_built_of_all_kernels_but_the_plugin(repository: Path) -> None:
    sources = kernel_library.sources(repository)
    names = {source.name for source in sources}
    assert {"attention.cu", "preprocess.cu", "layer_norm.cu", "status_c.cu"} <= names
    assert {"attention_plugin.cu", "attention_ahead.cu"} & names == set()
    objects = {kernel_library.object_of(repository, source, Path("b")) for source in sources}
    assert len(objects) == len(sources)


def test_command_lines_are_for_one_architecture(repository: Path) -> None:
    line = kernel_library.compile_command(repository, Path("a.cu"), Path("a.o"), "90")
    assert line[0] == "nvcc"
    assert "-gencode=arch=compute_90,code=sm_90" in line
    assert line[-4:] == ["-c", "a.cu", "-o", "a.o"]
    assert "-Xlinker=--exclude-libs,ALL" in kernel_library.link_command([], Path("l.so"), "90")


def test_a_refused_source_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (tmp_path / "kernels").mkdir()
    with pytest.raises(RuntimeError, match="nvcc was not found"):
        kernel_library.build(tmp_path, tmp_path / "out", "90", jobs=1)


def test_dry_run_lists_the_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    assert kernels.main(["--dry-run"]) == 0
    said = capsys.readouterr().out
    for expected in (
        "check B3 N198 H12 D64 float16 normal rows16_resident",
        "check B2 N577 H6 D64 bfloat16 minus_60000 rows64",
        "check nv12 1920x1080+0 bt601 limited crops:5x5@224",
        "compute-sanitizer --tool racecheck",
        "time B8 N197 H12 D64",
        "-Ikernels/include",
    ):
        assert expected in said
    assert sum(kernels.SECONDS.values()) <= 600


def test_names_of_cases_are_unique() -> None:
    for cases in (attention_cases.correctness_cases(), frame_cases.correctness_cases()):
        names = [case.name for case in cases]
        assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [([], "--out is needed"), (["--out", "x", "--minutes", "0"], "must be positive")],
)
def test_command_lines_that_make_no_sense(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        kernels.main(arguments)
    assert message in capsys.readouterr().err


def test_a_missing_library_is_built_first(tmp_path: Path) -> None:
    options = kernels.parse(
        ["--out", "x.json", "--only", "frames", "machine", "--build", str(tmp_path)]
    )
    assert options.only == ["build", "machine", "frames"]


def test_sections_are_kept_and_failed_ones_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    taken: list[str] = []

    def work(_: kernels.Run, name: str) -> dict[str, Any]:
        taken.append(name)
        if name == "frames" and taken.count(name) == 1:
            raise BackendError("the GPU fell off")
        return {"rows": []}

    monkeypatch.setattr(kernels, "_SECTIONS", dict.fromkeys(kernels.SECONDS, work))
    out = tmp_path / "new" / "results.json"
    command = ["--out", str(out), "--arch", "90", "--only", "build", "frames", "models"]
    assert kernels.main(command) == 1
    first = json.loads(out.read_text())
    assert first["sections"]["frames"]["unavailable"] == "BackendError: the GPU fell off"
    assert first["expectation"]["ratios"]  # stands in the file before anything is measured
    assert kernels.main(command) == 0
    assert taken == ["build", "frames", "models", "frames"]
    assert kernels.main([*command, "--fresh"]) == 0
    assert taken[4:] == ["build", "frames", "models"]
    assert "not measured" in capsys.readouterr().out


def test_expectation_is_written_before_the_first_section() -> None:
    results = kernels.begin(None)
    assert results["sections"] == {}
    assert {one["kept"] for one in results["expectations"]} == {None}


@pytest.mark.parametrize(
    ("sections", "healthy"),
    [
        ({}, True),
        ({"correctness": {"check_attention": {"failed": 1}, "seconds": 3}}, False),
        ({"correctness": {"check_attention": {"failed": 0}}}, True),
        ({"sanitizer": {"memcheck": {"clean": False}}}, False),
        ({"sanitizer": {"memcheck": {"unavailable": "not on PATH"}}}, True),
        ({"models": {"unavailable": "RuntimeError"}}, False),
    ],
)
def test_the_exit_code_tells_whether_all_was_well(sections: dict[str, Any], healthy: bool) -> None:
    assert kernels.healthy({"sections": sections}) is healthy


ROW = {
    "kernel": "attention", "batch": 1, "tokens": 197, "heads": 6, "head_dim": 64,
    "dtype": "float16", "cache": "hot", "p10": 2.9, "p90": 3.1, "gbps": 200.0, "tflops": 20.0,
}  # fmt: skip


def measured() -> list[dict[str, Any]]:
    times = {"ours, auto": 3.0, "ours, rows16": 2.5, "sdpa flash, packed": 6.0,
             "sdpa cudnn, packed": 4.5, "sdpa cudnn, bare": 2.7, "triton, packed": 3.3}  # fmt: skip
    return [{**ROW, "contestant": name, "us": us, "rel_l2": 2e-4} for name, us in times.items()]


def test_goals_are_judged_by_the_best_rival() -> None:
    packed, bare, channel, int8, norm = gpu_expectations.judge({"attention": {"rows": measured()}})
    assert (packed["measured"], packed["kept"]) == (1.5, True)
    assert (bare["measured"], bare["kept"]) == (0.9, False)
    assert channel["measured"] is norm["measured"] is int8["measured"] is None


def test_int8_is_judged_against_our_fp16() -> None:
    times = {"ours, auto": 8.0, "ours, int8 with quantisation": 10.0}
    rows = [{**ROW, "tokens": 577, "contestant": name, "us": us} for name, us in times.items()]
    int8 = gpu_expectations.judge({"attention": {"rows": rows}})[3]
    assert (int8["measured"], int8["kept"]) == (0.8, False)


def test_the_forms_of_channel_attention_stand_side_by_side() -> None:
    row = {"kernel": "channel attention", "batch": 1, "channels": 768, "positions": 49}
    times = {"ours, auto": 8.0, "ours, linear": 6.5, "ours, norm apart": 11.0, "torch, sdpa": 9.0}
    rows = [{**row, "cache": "hot", "contestant": name, "us": us} for name, us in times.items()]
    *_, line = kernel_table.form_table(rows).splitlines()
    assert line == "| channel attention 1 768 49 | 11 | 8 | 6.5 | linear |"


def test_whole_models_are_timed_before_the_slow_compiler() -> None:
    order = list(models.runs())
    assert order[:2] == [("glintiqa", 1, "torch"), ("glintiqa", 1, "ours")]
    late = [variant == "torch.compile" for *_, variant in order]
    assert late == sorted(late)
    assert len(order) == 12


def test_the_table_shows_ours_beside_the_best() -> None:
    rows = [*measured(), {**ROW, "contestant": "sdpa math, packed", "unavailable": "too old"}]
    results = kernels.begin(None)
    results["sections"] = {
        "machine": {"gpu": "a GPU"},
        "ceilings": {"mma_tflops": 400.0, "cache_gbps": 4000.0, "seconds": 1.0},
        "attention": {"rows": rows},
        "models": {"rows": [
            {"model": "glintiqa", "batch": 1, "variant": "torch", "us": 900.0},
            {"model": "glintiqa", "batch": 1, "variant": "ours", "us": 600.0,
             "max_score_difference": 0.001},
        ]},
    }  # fmt: skip
    results["expectations"] = gpu_expectations.judge(results["sections"])
    text = kernel_table.render(results)
    [line] = [line for line in text.splitlines() if line.startswith("| attention 1 197")]
    for expected in (
        "3 (2.9-3.1)", "5 % (mma)", "2.0e-04", "ours, rows16: 2.5 µs, 0.83 x",
        "sdpa cudnn, bare: 2.7 µs, 0.90 x", "triton, packed: 3.3 µs, 1.10 x",
    ):  # fmt: skip
        assert expected in line
    assert "| glintiqa, batch 1 | ours | 600 | 1.50 x | 1.0e-03 |" in text
    assert "| at least 0.95 x | 0.9 | **no** |" in text
    assert "correctness: not measured" in text


def test_timings_say_their_share_of_what_limits_them() -> None:
    row, bare = {**ROW, "us": 3.0, "contestant": "a"}, {"model": "glintiqa", "us": 9.0}
    sections = {"attention": {"rows": [row]}, "models": {"rows": [bare]}}
    kernels.note_shares(sections)
    assert "share" not in row  # no ceiling was measured
    kernels.note_shares({**sections, "ceilings": {"mma_tflops": 400.0, "cache_gbps": 1000.0}})
    assert (row["share"], row["limit"]) == (0.2, "L2")
    assert set(bare) == {"model", "us"}


CLEAN = "========= ERROR SUMMARY: 0 errors\n61 launches\n"


@pytest.mark.parametrize(
    ("code", "output", "clean"),
    [
        (0, CLEAN, True),
        (9, CLEAN.replace("0 errors", "3 errors"), False),
        (0, "61 launches\n", False),  # the tool did not run
        (0, "========= ERROR SUMMARY: 0 errors\n", False),  # the child broke off
        (0, "========= RACECHECK SUMMARY: 0 hazards displayed\n61 launches", True),
    ],
)
def test_a_sanitizer_is_clean_only_if_it_says_so(code: int, output: str, clean: bool) -> None:
    assert sanitizer.read_output(code, output)["clean"] is clean


def test_every_tool_gets_its_own_child() -> None:
    lines = [sanitizer.command(tool, Path("k.so"), Path("p.so")) for tool in sanitizer.TOOLS]
    assert [line[2] for line in lines] == ["memcheck", "racecheck", "initcheck", "synccheck"]
    assert all(line[-4:] == ["-m", "benchmarks.gpu.sanitised", "k.so", "p.so"] for line in lines)


def test_a_tally_keeps_nan_and_counts_what_it_leaves_out() -> None:
    tally = correctness.Tally()
    for error in (1e-4, math.nan, 1e-3):
        tally.note("float16", error)
    assert math.isnan(tally.worst["float16"])
    case = AttentionCase(1, 17, 6)
    late = correctness.run_cases([case, case], lambda *_: None, until=-math.inf)
    assert (late.checked, late.not_reached) == (0, 2)

    def refuse(_: Any, __: Any) -> None:
        raise BackendError("Kernel attention was not launched: the tile is not built.")

    absent = correctness.run_cases([case], refuse, until=math.inf)
    assert (absent.not_built, absent.failed) == (1, 0)

    def fall(_: Any, __: Any) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    fallen = correctness.run_cases([case, case], fall, until=math.inf)
    assert (fallen.checked, fallen.failed) == (0, 2)
    assert "RuntimeError: CUDA error" in fallen.failures[0]


def packed(batch: int = 2, tokens: int = 9, heads: int = 3, dim: int = 16) -> Any:
    return torch.randn(batch, tokens, 3, heads, dim, generator=torch.Generator().manual_seed(1))


def test_references_agree_with_torch() -> None:
    qkv = packed().double()
    case = AttentionCase(2, 9, 3, 16)
    ours = attention_cases.reference_of(case, qkv, None).reshape(2, 9, 48)
    assert torch.allclose(ours, rivals.packed_attention(qkv))
    bias = torch.randn(3, 9, 12, generator=torch.Generator().manual_seed(2)).double()
    query, key, value = qkv.permute(2, 0, 3, 1, 4)
    with_bias = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias[None, ..., :9]
    )
    assert torch.allclose(attention_cases.reference_of(case, qkv, bias), with_bias.transpose(1, 2))


def test_channel_rivals_are_the_models_attention() -> None:
    from iqa.models.cwsa import ChannelAttention

    torch.manual_seed(0)
    module = ChannelAttention(49, exact=True).eval()
    x = torch.randn(2, 64, 49)
    with torch.no_grad():
        given = (module.qkv(x), module.norm.weight, module.norm.bias, x)
        expected = module(x)
        for function in (rivals.channel_exact, rivals.channel_sdpa):
            assert torch.allclose(function(*given), expected, atol=2e-6)
        assert torch.allclose(rivals.channel_linear(*given), expected, atol=1e-2)
        padded = torch.full((2, 64, 3, 56), torch.nan)
        padded[..., :49] = given[0].reshape(2, 64, 3, 49)
        bare = correctness.channel_definition(padded, *given[1:3], x, 49)
        assert torch.equal(bare, rivals.channel_exact(*given))


@pytest.mark.parametrize("pixel_format", PixelFormat)
def test_frames_and_their_views(pixel_format: PixelFormat) -> None:
    case = frame_cases.FrameCase(pixel_format, (64, 48), 0, views=frame_cases.ODD_VIEWS)
    frame = frame_cases.make_frame(case, 3)
    assert frame.data.nbytes == frame_cases.frame_bytes(case)
    views = frame_cases.parse_views(case.views)
    for view, right in zip(views, frame_cases.expected_views(frame, case.views), strict=True):
        assert np.array_equal(view.apply(frame), right)


class Definition:
    """The kernels as torch defines them: what models are rewired to is tried, not the kernels."""

    def attention(self, qkv: Any, out: Any, **_: Any) -> None:
        assert qkv.is_contiguous()
        out.copy_(rivals.packed_attention(qkv).reshape(out.shape))

    def residual_layer_norm(
        self, rows: Any, gamma: Any, beta: Any, out: Any, *, residual: Any, total: Any,
        epsilon: float, **_: Any,
    ) -> None:  # fmt: skip
        total.copy_(rows + residual)
        out.copy_(torch.nn.functional.layer_norm(total, gamma.shape, gamma, beta, epsilon))

    def channel_attention(
        self, qkv: Any, out: Any, positions: int, *, gamma: Any, beta: Any, residual: Any,
        epsilon: float, **_: Any,
    ) -> None:  # fmt: skip
        assert qkv.is_contiguous()
        assert qkv.shape[-1] % 8 == 0
        assert gamma.dtype is torch.float32
        assert epsilon == 1e-5
        out.copy_(correctness.channel_definition(qkv, gamma, beta, residual, positions))


@pytest.mark.parametrize(
    ("build", "replaced"), [(models.build_glint_edge, 2), (models.build_glintiqa, 25)]
)
def test_models_with_kernels_compute_the_same(
    build: Any, replaced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "DEVICE", "cpu")
    network, shapes = build()
    generator = torch.Generator().manual_seed(0)
    given = [torch.randint(0, 256, (1, *shape), generator=generator) for shape in shapes]
    given = [one.byte() if one.shape[-1] == 3 else one / 127.5 - 1 for one in given]
    with torch.no_grad():
        before = models._score(network(*given))
        assert models.use_kernels(network, Definition()) == replaced  # type: ignore[arg-type]
        after = models._score(network(*given))
    assert torch.allclose(before, after, atol=1e-4)


def test_fp16_glint_edge_is_the_same_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "DEVICE", "cpu")
    network, shapes = models.build_glint_edge()
    given = [torch.full((1, *shape), 77, dtype=torch.uint8) for shape in shapes]
    with torch.no_grad():
        exact = models._score(network(*given))
        half = models._score(models._half(network)(*given))
    assert (exact - half).abs().max() < 0.1


def test_what_a_contestant_cannot_do_is_a_row_too() -> None:
    def broken(_: int) -> Any:
        raise RuntimeError("no such head dimension")

    contest = timings.Contest({"kernel": "x"}, 0, 1, {"one": broken, "two": broken})
    rows = list(timings.time_contest(contest, until=math.inf))
    assert [row["contestant"] for row in rows] == ["one", "two"]
    assert rows[0]["unavailable"] == "RuntimeError: no such head dimension"
    late = list(timings.time_contest(contest, until=-math.inf))
    assert late[0]["unavailable"] == "the time was over"
