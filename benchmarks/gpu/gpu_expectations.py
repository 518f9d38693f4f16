"""What was expected of the kernels on an H100, written down before any of it was measured.

Times are estimates from the roofline (kernels/README.md); ratios are the goals. A figure that is
off by more than 1.5 either way is to be explained before anything is tuned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]
DEVICE = "one H100, inputs in the L2 cache, launches in a CUDA graph"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Best rival's time over ours, for every piece of work of a section.

    Attributes:
        statement: For people.
        section: Name of the section.
        bound: At least so much.
        rivals: Tells the rivals that count by name.
        works: Tells the work that counts.
        ours: Who of ours.
    """

    statement: str
    section: str
    bound: float
    rivals: Callable[[str], bool]
    works: Callable[[Row], bool] = lambda _: True
    ours: tuple[str, ...] = ("ours", "ours, auto")


RATIOS = (
    Ratio(
        "attention from packed QKV, N = 197: best torch path over ours",
        "attention",
        1.3,
        lambda name: name.endswith("packed") and not name.startswith("triton"),
        lambda row: row["tokens"] == 197,
    ),
    Ratio(
        "attention, N = 197: best bare torch kernel over ours",
        "attention",
        0.95,
        lambda name: name.endswith("bare"),
        lambda row: row["tokens"] == 197,
    ),
    Ratio(
        "channel attention: best of unfused, compiled and SDPA over ours",
        "channel_attention",
        2.0,
        lambda name: "unfused" in name or "sdpa" in name,
    ),
    Ratio(
        "INT8 attention with its quantisation, N = 577: our fp16 over it (else it is dropped)",
        "attention",
        1.0,
        lambda name: name == "ours, auto",
        lambda row: row["tokens"] == 577,
        ours=("ours, int8 with quantisation",),
    ),
    Ratio(
        "residual + layer norm: torch.compile over ours", "layer_norm", 0.95, lambda n: "com" in n
    ),
)

MICROSECONDS = {  # median, hot: (from, to)
    "attention B1 N197 H12 D64": (2.5, 4.0),
    "attention B8 N197 H12 D64": (9.0, 12.0),
    "attention B1 N577 H12 D64": (6.0, 8.0),
    "channel attention B1 C768, 4-way key split": (3.0, 4.0),
    "channel attention B1 C768, single pass": (7.0, 9.0),
    "residual + layer norm 197x384": (1.5, 2.5),
    "frame views, 1080p NV12, both views of glint-edge": (3.0, 6.0),
    "frame views, 4K NV12, both views of glint-edge": (4.0, 9.0),
}

MODELS = {
    "glint-edge, batch 1": "1.00-1.05 x plain torch in a graph: two blocks of three heads",
    "glintiqa, batch 1": "1.1-1.3 x: ten blocks and five channel attentions",
    "scores": "within 0.3 % of their spread, as fp16 without our kernels",
}


def expectation() -> dict[str, Any]:
    """All of it, for the head of the results."""
    return {
        "device": DEVICE,
        "ratios": {ratio.statement: f"at least {ratio.bound:g} x" for ratio in RATIOS},
        "microseconds": {name: list(span) for name, span in MICROSECONDS.items()},
        "models": MODELS,
    }


def judge(sections: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each ratio with the worst that was measured; None where nothing was."""
    found = []
    for ratio in RATIOS:
        rows = sections.get(ratio.section, {}).get("rows", [])
        timed = [row for row in rows if row.get("cache") == "hot" and "us" in row]
        hot = [row for row in timed if ratio.works(row)]
        worst = min(_ratios(ratio, hot), default=None)
        kept = None if worst is None else worst >= ratio.bound
        found.append(
            {
                "statement": ratio.statement,
                "bound": f"at least {ratio.bound:g} x",
                "measured": worst,
                "kept": kept,
            }
        )
    return found


def _ratios(ratio: Ratio, rows: Iterable[Row]) -> list[float]:
    """Best rival over our default, for each piece of work."""
    by_work: dict[str, list[Row]] = {}
    for row in rows:
        by_work.setdefault(work_of(row), []).append(row)
    ratios = []
    for group in by_work.values():
        rivals = [row["us"] for row in group if ratio.rivals(row["contestant"])]
        ours = [row["us"] for row in group if row["contestant"] in ratio.ours]
        if rivals and ours:
            ratios.append(float(f"{min(rivals) / min(ours):.3g}"))
    return ratios


_WORK = (
    "kernel", "batch", "tokens", "heads", "head_dim", "dtype", "channels", "positions", "rows",
    "format", "width", "height", "views",
)  # fmt: skip


def work_of(row: Row) -> str:
    """The piece of work a row is about."""
    return " ".join(f"{row[key]}" for key in _WORK if key in row)
