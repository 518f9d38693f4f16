"""The documentation says what is so: links, code, command lines, schemas, versions."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import typer

import sdk
from iqa.__main__ import app as iqa_app
from iqa.saqt.__main__ import app as saqt_app
from sdk import manifest
from sdk.bundle import DEFAULT_MODEL, packaged_models
from sdk.cli.app import app as framescore_app
from sdk.io.layout import RAW_FORMATS
from sdk.io.suffixes import FLOAT_SUFFIXES, IMAGE_SUFFIXES, RAW_SUFFIXES
from sdk.pooling import POOL_METHODS
from sdk.results import FrameScore, Latency, Segment, VideoScore
from sdk.sinks.csv import COLUMNS

ROOT = Path(__file__).resolve().parent.parent
DOCS = sorted((ROOT / "docs").rglob("*.md"))
GUIDE = [ROOT / "README.md", *DOCS]
PAGES = sorted({*ROOT.glob("*.md"), *(ROOT / "benchmarks").rglob("*.md"), *DOCS})
FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
PROGRAMS = {
    ("framescore",): framescore_app,
    ("python", "-m", "iqa"): iqa_app,
    ("python", "-m", "iqa.saqt"): saqt_app,
}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return SPAN.sub("", FENCE.sub("", page.read_text()))


def fences(page: Path, language: str) -> list[tuple[int, str]]:
    """The blocks of one language, each with the line that its first line stands on."""
    text = page.read_text()
    return [
        (text.count("\n", 0, match.start(2)), match[2])
        for match in FENCE.finditer(text)
        if match[1].strip() == language
    ]


def spans(page: Path) -> list[str]:
    return SPAN.findall(FENCE.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in words}


def broken_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


@pytest.fixture(scope="module")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the `frame.png`, `clip.mp4` and rated `site/` that code in the pages uses."""
    folder = tmp_path_factory.mktemp("footage")
    noise = np.random.default_rng(0).integers(0, 256, (180, 320, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(noise, (0, 0), 2)
    assert cv2.imwrite(str(folder / "frame.png"), picture)
    codec = cv2.VideoWriter.fourcc(*"mp4v")
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.CAP_FFMPEG, codec, 10, (320, 180))
    for shift in range(30):
        writer.write(np.roll(picture, 4 * shift, axis=1))
    writer.release()
    _write_site(folder / "site", noise)
    return folder


def _write_site(folder: Path, noise: Any) -> None:
    """Pictures ever more blurred, and a labels.csv that likes them less and less."""
    folder.mkdir()
    lines = ["file,mos"]
    for number in range(24):
        picture = cv2.GaussianBlur(noise, (0, 0), 0.5 + number / 8)
        assert cv2.imwrite(str(folder / f"{number}.png"), picture)
        lines.append(f"{number}.png,{5 - number / 6}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.mark.skipif(
    DEFAULT_MODEL not in packaged_models(), reason="the default model is not packaged yet"
)
@pytest.mark.parametrize("page", [p for p in GUIDE if fences(p, "python")], ids=name_of)
def test_code_runs(page: Path, footage: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page's blocks run one after another and share their names, as a reader would type them."""
    monkeypatch.chdir(footage)
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, block in fences(page, "python"):
        exec(compile("\n" * line + block, str(page), "exec"), names)


def command_lines(page: Path) -> Iterator[list[str]]:
    """Every call of our programs in a page's shell blocks and code spans, split into words."""
    texts = [block for _, block in fences(page, "sh")]
    for text in [*texts, *(span for span in spans(page) if " " in span)]:
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.shlex(line, posix=True, punctuation_chars="();<>|&")
            words.whitespace_split = True
            call: list[str] = []
            for word in [*words, ";"]:
                if word[0] not in "();<>|&":
                    call.append(word)
                    continue
                if any(tuple(call[: len(p)]) == p and len(call) > len(p) for p in PROGRAMS):
                    yield call
                call = []


def parse(call: list[str]) -> None:
    """Parse a command line as the program would, without running it.

    Raises:
        click.UsageError: The program would refuse it.
    """
    program = next(p for p in PROGRAMS if tuple(call[: len(p)]) == p)
    command: Any = typer.main.get_command(PROGRAMS[program])
    rest = call[len(program) :]
    while hasattr(command, "list_commands"):
        _, command, rest = command.resolve_command(command.context_class(command), rest)
    command.make_context(" ".join(program), list(rest))


@pytest.mark.parametrize("page", [p for p in GUIDE if any(command_lines(p))], ids=name_of)
def test_command_lines_are_accepted(page: Path) -> None:
    for call in command_lines(page):
        try:
            parse(call)
        except Exception as error:
            pytest.fail(f"{shlex.join(call)}: {getattr(error, 'message', error)}")


def known_options() -> set[str]:
    commands: list[Any] = [typer.main.get_command(app) for app in PROGRAMS.values()]
    for command in commands:  # grows as groups are met
        if hasattr(command, "list_commands"):
            context = command.context_class(command)
            commands += [command.get_command(context, x) for x in command.list_commands(context)]
    return {option for command in commands for param in command.params for option in param.opts}


@pytest.mark.parametrize("page", GUIDE, ids=name_of)
def test_options_exist(page: Path) -> None:
    mentioned = {span.split()[0] for span in spans(page) if span.startswith("--")}
    assert mentioned - known_options() == set()


def test_a_refused_command_line_is_noticed() -> None:
    with pytest.raises(Exception, match="--frobnicate"):
        parse(["framescore", "score", "clip.mp4", "--frobnicate"])


def words_in_code(page: str) -> set[str]:
    path = ROOT / page
    code = [*spans(path), *(match[2] for match in FENCE.finditer(path.read_text()))]
    return set(re.findall(r"[\w.+-]*\w", " ".join(code)))


def keys_of(value: Any) -> set[str]:
    """Every key of a JSON object and of those inside it."""
    if isinstance(value, Mapping):
        return set(value).union(*map(keys_of, value.values()))
    return set().union(*map(keys_of, value)) if isinstance(value, list) else set()


LATENCY = Latency(queue=0, pre=0, infer=0, post=0)
FRAME = FrameScore(50.0, 3.0, 2.0, {}, 0, 0.0, LATENCY, "m@1", "openvino", "fp32").to_dict()
STRETCH = Segment(start_index=0, end_index=0, start_s=0.0, end_s=0.0, mean=50.0)
VIDEO = VideoScore("clip", 1, 50, 50, 50, 50, 50, 50, worst=(STRETCH,), model="m@1").to_dict()


def test_output_page_names_every_key() -> None:
    named = words_in_code("docs/output.md")
    assert keys_of(FRAME) | keys_of(VIDEO) | {"kind", *COLUMNS, *POOL_METHODS} <= named


def test_output_page_shows_lines_as_they_are_written() -> None:
    [(_, block)] = fences(ROOT / "docs/output.md", "jsonl")
    kinds = {}
    for line in block.splitlines():
        record = json.loads(line)
        kinds[record["kind"]] = set(record) - {"kind"}
    assert kinds == {"frame": set(FRAME), "summary": set(VIDEO)}


def test_bundle_page_names_every_field() -> None:
    structs = [
        value
        for name, value in vars(manifest).items()
        if isinstance(value, type) and issubclass(value, msgspec.Struct) and name[0] != "_"
    ]
    fields = {field.name for struct in structs for field in msgspec.structs.fields(struct)}
    assert {"schema_version", "opset", "role"} <= fields
    assert fields - words_in_code("docs/bundle.md") == set()


def test_sources_page_names_every_format() -> None:
    text = (ROOT / "docs/sources.md").read_text().lower()
    endings = {*IMAGE_SUFFIXES, *FLOAT_SUFFIXES, *RAW_SUFFIXES}
    assert [suffix for suffix in sorted(endings) if f"`{suffix}`" not in text] == []
    assert set(RAW_FORMATS) - words_in_code("docs/sources.md") == set()


def test_third_parties_are_complete() -> None:
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_bytes())["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.match(r"[\w-]+", entry)[0] for group in groups for entry in group}
    text = (ROOT / "THIRD_PARTY.md").read_text()
    assert [
        name for name in sorted(names) if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)
    ] == []


def test_changelog_has_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    entry = rf"^## \[{re.escape(sdk.__version__)}\] - \d{{4}}-\d\d-\d\d$"
    assert re.search(entry, text, re.MULTILINE)
