"""The results of `kernels.py` as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gpu.gpu_expectations import work_of

Row = Mapping[str, Any]
ABSENT = "not measured"
_OURS = ("ours", "ours, auto")
_FORMS = {"ours, norm apart": "exact", "ours, auto": "exact, fused", "ours, linear": "linear"}


def render(results: Mapping[str, Any]) -> str:
    """All tables of one file of results."""
    sections = results["sections"]
    machine = sections.get("machine", {})
    ceilings = sections.get("ceilings", {})
    parts = [
        f"GPU: {machine.get('gpu', ABSENT)}; torch {machine.get('torch', ABSENT)}, CUDA "
        f"{machine.get('cuda', ABSENT)}; {results['date']}",
        _table(("ceiling", "measured"), [(k, _number(v)) for k, v in ceilings.items() if _is(v)]),
        *(_verdict(name, sections.get(name)) for name in ("correctness", "sanitizer")),
    ]
    for name in ("attention", "channel_attention", "layer_norm", "frames"):
        rows = sections.get(name, {}).get("rows", [])
        parts.append(f"### {name}\n\n{contest_table(rows, ceilings)}")
        if name == "channel_attention":
            parts.append(f"### which form of channel attention\n\n{form_table(rows)}")
    parts.append(f"### models\n\n{model_table(sections.get('models', {}).get('rows', []))}")
    parts.append(f"### expected beforehand\n\n{expectation_table(results['expectations'])}")
    return "\n\n".join(parts)


def contest_table(rows: Sequence[Row], ceilings: Mapping[str, float]) -> str:
    """Ours and the best rivals for each piece of work and cache state."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if "us" in row:
            groups.setdefault((work_of(row), row["cache"]), []).append(row)
    lines = []
    for (work, cache), group in groups.items():
        ours = next((row for row in group if row["contestant"] in _OURS), None)
        if ours is None:
            continue
        lines.append(
            (
                work,
                cache,
                f"{_number(ours['us'])} ({_number(ours['p10'])}-{_number(ours['p90'])})",
                _number(ours.get("tflops")),
                _share(ours, ceilings),
                _error(ours.get("rel_l2")),
                _best(group, ours, lambda name: name.startswith("ours, ") and name not in _OURS),
                _best(group, ours, lambda name: "bare" in name),
                _best(group, ours, lambda name: not name.startswith("ours") and "bare" not in name),
            )
        )
    head = (
        "work", "cache", "ours, µs (p10-p90)", "TFLOP/s", "of the ceiling", "relative L2",
        "our best tile", "best bare kernel", "best other",
    )  # fmt: skip
    return _table(head, lines) if lines else ABSENT


def form_table(rows: Sequence[Row]) -> str:
    """The three forms of our channel attention side by side, inputs in L2."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if row.get("cache") == "hot" and row["contestant"] in _FORMS:
            found.setdefault(work_of(row), {})[_FORMS[row["contestant"]]] = row["us"]
    lines = [
        (
            work,
            *(_number(times.get(form)) for form in _FORMS.values()),
            min(times, key=times.__getitem__),
        )
        for work, times in found.items()
    ]
    head = ("work", *(f"{form}, µs" for form in _FORMS.values()), "fastest")
    return _table(head, lines) if lines else ABSENT


def model_table(rows: Sequence[Row]) -> str:
    """Latency and scores of whole models."""
    plain = {
        (r["model"], r["batch"]): r["us"] for r in rows if r["variant"] == "torch" and "us" in r
    }
    lines = []
    for row in rows:
        base = plain.get((row["model"], row["batch"]))
        speed = f"{base / row['us']:.2f} x" if base and "us" in row else ABSENT
        lines.append(
            (
                f"{row['model']}, batch {row['batch']}",
                row["variant"],
                _number(row.get("us")),
                speed,
                _error(row.get("max_score_difference")),
                row.get("unavailable", ""),
            )
        )
    head = ("model", "variant", "µs", "torch over it", "largest score difference", "")
    return _table(head, lines) if lines else ABSENT


def expectation_table(expectations: Sequence[Row]) -> str:
    """Each goal with what was measured."""
    verdicts = {True: "yes", False: "**no**", None: ABSENT}
    lines = [
        (e["statement"], e["bound"], _number(e["measured"]), verdicts[e["kept"]])
        for e in expectations
    ]
    return _table(("goal", "bound", "worst measured", "kept"), lines)


def _best(group: Sequence[Row], ours: Row, counts: Any) -> str:
    rivals = [row for row in group if counts(row["contestant"])]
    if not rivals:
        return "-"
    best = min(rivals, key=lambda row: row["us"])
    return f"{best['contestant']}: {_number(best['us'])} µs, {best['us'] / ours['us']:.2f} x"


def share_of(row: Row, ceilings: Mapping[str, float]) -> tuple[float, str] | None:
    """The share of what limits the work: the tensor cores or the memory, whichever is nearer.

    Args:
        row: A timing.
        ceilings: Of `probes.measure_ceilings`, or empty.

    Returns:
        Share and "mma", "L2" or "memory"; None where there is no ceiling.
    """
    shares = []
    if "tflops" in row and ceilings.get("mma_tflops"):
        shares.append((row["tflops"] / ceilings["mma_tflops"], "mma"))
    bandwidth = ceilings.get("copy_gbps" if row["cache"] == "cold" else "cache_gbps")
    if "gbps" in row and bandwidth:
        shares.append((row["gbps"] / bandwidth, "memory" if row["cache"] == "cold" else "L2"))
    return max(shares, default=None)


def _share(row: Row, ceilings: Mapping[str, float]) -> str:
    found = share_of(row, ceilings)
    return ABSENT if found is None else f"{100 * found[0]:.0f} % ({found[1]})"


def _verdict(name: str, section: Any) -> str:
    if not section:
        return f"{name}: {ABSENT}"
    lines = [f"- {key}: {value}" for key, value in section.items() if isinstance(value, dict)]
    return f"{name}:\n\n" + "\n".join(lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def _is(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _number(value: Any) -> str:
    return ABSENT if value is None else f"{value:.4g}"


def _error(value: Any) -> str:
    return "-" if value is None else f"{value:.1e}"
