"""`framescore engine`: build engines and look after them; the work is in `export.engine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdk.cli.exits import EXIT_OK, exits_cleanly, say

if TYPE_CHECKING:
    from export.engine.entry import Entry
    from export.engine.plan import Engine

app = typer.Typer(
    help="Build engines for TensorRT and TensorRT-RTX, and look after them.",
    no_args_is_help=True,
    add_completion=False,
)

_PLAN = "The plan"
_SHORT = {"tensorrt": "TRT", "tensorrt_rtx": "RTX"}
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Plugins = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Library with operators, to put into the plan; may be repeated.",
        rich_help_panel=_PLAN,
    ),
]
_Attention = Annotated[
    str,
    typer.Option(
        metavar="A",
        help="native: TensorRT's own; fused: ours, by --plugin or within the plan; auto: "
        "whichever is faster here.",
    ),
]


@app.command()
@exits_cleanly
def build(
    bundle: Annotated[
        str, typer.Argument(metavar="BUNDLE", help="Bundle file, or name of a packaged model.")
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="T",
            help="this: the GPU of this machine; jetson-orin; rtx: all that TensorRT-RTX builds "
            "for by itself; or a compute capability, sm_75 to sm_121.",
        ),
    ] = "this",
    precision: Annotated[str, typer.Option(metavar="P", help="fp16, fp32, bf16 or int8.")] = "fp16",
    batch: Annotated[
        str,
        typer.Option(
            metavar="LIST", help="Frames at once: one number, or smallest and largest, 1,8."
        ),
    ] = "1",
    timing_cache: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep the builder's measurements there."),
    ] = None,
    plugin: _Plugins = None,
    attention: _Attention = "native",
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="Let later TensorRT versions of the same major run it.",
            rich_help_panel=_PLAN,
        ),
    ] = False,
    hardware_compat: Annotated[
        bool,
        typer.Option(
            "--hardware-compat",
            help="Let every GPU from Ampere on run it, somewhat slower.",
            rich_help_panel=_PLAN,
        ),
    ] = False,
    strip: Annotated[
        bool,
        typer.Option("--strip", help="Leave the weights out.", rich_help_panel=_PLAN),
    ] = False,
    json: _JSON = False,
) -> int:
    """Build an engine, or take it from the cache.

    The bundle's graph decides the arithmetic; TensorRT is given its types as they are.
    """
    from export.cli.progress import show_stages
    from export.engine import build as build_engine

    with show_stages() as progress:
        engine = build_engine(
            bundle,
            target=target,
            precision=precision,
            batch=_parse_batch(batch),
            timing_cache=timing_cache,
            version_compatible=version_compatible,
            strip=strip,
            hardware_compat=hardware_compat,
            plugins=plugin or (),
            attention=attention,
            progress=progress,
        )
    _print(_engine_json(engine) if json else _engine_text(engine))
    if engine.choice and not json:
        say(f"attention: {engine.attention}, for {engine.choice}")
    if engine.fusion.unfused and not json:
        _say_unfused(engine)
    return EXIT_OK


@app.command("list")
@exits_cleanly
def list_engines(json: _JSON = False) -> int:
    """List the engines in the cache, and which of them are of no use any more."""
    from export.engine.cache import PlanCache
    from export.engine.stale import staleness

    cache = PlanCache()
    entries = [(entry, staleness(entry)) for entry in cache.entries()]
    if not entries and not json:
        say(f"No engine is in {cache.folder}.", "Build one: framescore engine build BUNDLE")
    elif json:
        _print(_as_json({"folder": str(cache.folder), "engines": [_entry(*x) for x in entries]}))
    else:
        _print(_table(entries))
    return EXIT_OK


@app.command()
@exits_cleanly
def prune(
    everything: Annotated[bool, typer.Option("--all", help="Remove every engine.")] = False,
    stale: Annotated[
        bool,
        typer.Option(
            "--stale", help="Remove those of another TensorRT, GPU or driver, and damaged ones."
        ),
    ] = False,
    older_than: Annotated[
        float | None,
        typer.Option(min=0, metavar="DAYS", help="Remove those built longer ago."),
    ] = None,
) -> int:
    """Remove engines from the cache, and what builds left that were killed."""
    from export.engine.cache import PlanCache
    from export.engine.stale import age_days, staleness
    from sdk.errors import UsageError

    if not (everything or stale or older_than is not None):
        raise UsageError(
            "Nothing says what to remove.", hint="Give --stale, --older-than or --all."
        )
    cache = PlanCache()
    freed = 0
    for entry in cache.entries():
        old = older_than is not None and age_days(entry) > older_than
        if everything or old or (stale and staleness(entry)):
            freed += entry.size
            cache.remove(entry)
            _print(f"removed {entry.path.name}\n")
    cache.sweep()
    say(f"{freed / 2**20:.1f} MiB freed in {cache.folder}.")
    return EXIT_OK


@app.command("export-plan")
@exits_cleanly
def export_plan(
    name: Annotated[
        str,
        typer.Argument(
            metavar="BUNDLE|ENTRY", help="An engine as `list` calls it, or the bundle it is of."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the plan goes.")
    ],
) -> int:
    """Copy a plan out of the cache, as TensorRT wrote it: trtexec --loadEngine takes it."""
    from export.engine.cache import PlanCache
    from export.engine.export_plan import copy_plan, find_entry

    entry = find_entry(PlanCache().entries(), name)
    copy_plan(entry, output)
    say(f"{output}: {entry.path.name}, {output.stat().st_size / 2**20:.1f} MiB")
    return EXIT_OK


def _parse_batch(text: str) -> tuple[int, ...]:
    from sdk.errors import UsageError

    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--batch {text!r} is no list of numbers.", hint="For example --batch 1,8"
        ) from None


def _engine_json(engine: Engine) -> str:
    import msgspec

    fields = msgspec.to_builtins(engine.info)
    places = {"plan": str(engine.path), "log": str(engine.log), "from_cache": engine.from_cache}
    attention = {"attention": str(engine.fusion), "choice": engine.choice}
    return _as_json({**fields, **places, **attention})


def _engine_text(engine: Engine) -> str:
    from sdk.sinks.output import Output
    from sdk.sinks.table import make_table, render

    table = make_table("engine", "")
    table.columns[1].no_wrap = False
    for key, value in _facts(engine).items():
        table.add_row(key, value)
    page: list[Any] = [table]
    if engine.path is not None:
        page += [f"plan: {engine.path}", f"log:  {engine.log}"]
    return render(page, Output().stream)


def _facts(engine: Engine) -> dict[str, str]:
    from export.engine.api import BACKENDS

    recipe = engine.info.recipe
    built_by = f"{BACKENDS[recipe.backend]} {recipe.version}"
    capabilities = ", ".join(f"sm_{number}" for number in recipe.capabilities)
    smallest, _, largest = recipe.batch
    return {
        "model": recipe.model,
        "precision": f"{recipe.precision}, {recipe.profile}",
        "backend": built_by,
        "target": f"{recipe.target} ({recipe.device or capabilities or 'the default'})",
        "batch": str(largest) if smallest == largest else f"{smallest} to {largest}",
        "inputs": ", ".join(f"{x.name} {x.type} {list(x.shape)}" for x in engine.inputs),
        "outputs": ", ".join(f"{x.name} {x.type} {list(x.shape)}" for x in engine.outputs),
        "attention": str(engine.fusion),
        "layers": f"{engine.info.built.layers} parsed",
        "size": f"{engine.info.size / 2**20:.1f} MiB",
        "built": "earlier, from the cache" if engine.from_cache else f"in {engine.seconds:.1f} s",
    }


def _say_unfused(engine: Engine) -> None:
    reason = (
        "Kernels for that exist in FP16 and BF16 only."
        if engine.precision == "fp32"
        else "It runs as several kernels, slower; the log names them."
    )
    say(f"warning: attention is not fused at {', '.join(engine.fusion.unfused)}.", reason)


def _entry(entry: Entry, stale: str) -> dict[str, Any]:
    import msgspec

    info = None if entry.info is None else msgspec.to_builtins(entry.info)
    return {"name": entry.path.name, "bytes": entry.size, "stale": stale, "info": info}


def _table(entries: list[tuple[Entry, str]]) -> str:
    from sdk.sinks.output import Output
    from sdk.sinks.table import make_table, render

    table = make_table("engine", "built by", "on", "MiB", "state", right=("MiB",))
    table.columns[-1].no_wrap = False  # why a plan is stale may take a line or two
    for entry, stale in entries:
        recipe = entry.info.recipe if entry.info else None
        table.add_row(
            entry.path.name,
            f"{_SHORT[recipe.backend]} {'.'.join(recipe.version.split('.')[:3])}" if recipe else "",
            entry.info.created[:10] if entry.info else "",
            f"{entry.size / 2**20:.1f}",
            stale or "ready",
        )
    return render([table], Output().stream)


def _as_json(fields: dict[str, Any]) -> str:
    import json

    return json.dumps({"schema": 1, **fields}, indent=2, ensure_ascii=False) + "\n"


def _print(text: str) -> None:
    from sdk.sinks.output import Output

    Output().write(text)
