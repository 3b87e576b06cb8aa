"""Links, names, commands, generated pages and code of the documentation."""

import dataclasses
import importlib
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdrun.cli import main, subcommands
from kdrun.cli.commands.label import LabelOptions
from kdrun.cli.commands.write import WriteOptions
from kdrun.cli.explain import reference_pages
from kdrun.config import compose, options
from kdrun.experiments.compare.options import CompareOptions
from kdrun.experiments.compare.plan import plan_arms
from kdrun.experiments.tune.options import TuneOptions
from kdrun.experiments.tune.space_checks import read_space
from kdrun.methods import Batch, MethodContext, Requirements, StepOutput
from tests.helpers.paths import ROOT

ROOT_PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "conf/experiment/README.md",
    "examples/README.md",
    "benchmarks/README.md",
]
PAGES = [*ROOT_PAGES, *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
GENERATED = {path.name: path for path in (ROOT / "docs" / "reference").glob("*.md")}
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"^(?:scripts/)?kdrun ((?:.*\\\n)*.*)$", re.MULTILINE)
TABLE = re.compile(r"^<!-- kdrun table .*?^<!-- /kdrun table -->", re.MULTILINE | re.DOTALL)
"""A generated table. Its commands are those of published runs, perhaps with keys of that time."""
PLACEHOLDER = re.compile(r"[A-Z]{2,}(?:_[A-Z]+)+|\bPATH\b|…|\bNAME\b|\bFOLDER\b|\bKEY\b|\bAXIS\b|\bFILE\b")


def prose(text: str) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", text)


def anchors(text: str) -> set[str]:
    """Anchors of the headings of a page, as the site and the usual Markdown viewers make them."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    slugs = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {form for slug in slugs for form in (re.sub(r"[\s-]+", "-", slug), slug.replace(" ", "-"))}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    problems = []
    for match in LINK.finditer(prose(text)):
        target = match[1] or match[2]
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        if not linked.exists():
            problems.append(f"{target}: no such file")
        elif page.startswith("docs/") and not linked.is_relative_to(ROOT / "docs"):
            problems.append(f"{target}: outside the site")
        elif anchor and anchor not in anchors(linked.read_text(encoding="utf-8")):
            problems.append(f"{target}: no such heading")
    assert not problems


def test_the_navigation_lists_every_page() -> None:
    def pages(item: object) -> list[str]:
        if isinstance(item, str):
            return [item]
        children = item.values() if isinstance(item, dict) else item
        return [page for child in children for page in pages(child)]  # pyright: ignore[reportGeneralTypeIssues]

    nav = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"])
    assert sorted(nav) == sorted(page.removeprefix("docs/") for page in PAGES if page.startswith("docs/"))


@pytest.mark.parametrize("page", PAGES)
def test_paths_and_names_exist(page: str) -> None:
    text = prose((ROOT / page).read_text(encoding="utf-8"))
    if page == "CHANGELOG.md":  # names of the past too
        return
    missing = []
    for name in re.findall(r"`((?:kdrun|conf|tests|scripts|examples|benchmarks|docs)/[\w./-]+)`", text):
        if not (ROOT / name).exists() and name not in EXAMPLES_OF_NAMES:
            missing.append(name)
    missing += [
        name for name in re.findall(r"`(kdrun\.[\w.]+)`", text) if name != "kdrun.plugins" and not is_name(name)
    ]
    assert not missing


EXAMPLES_OF_NAMES = {
    "conf/loss/total_variation.yaml", "conf/method/margin_kd.yaml", "kdrun/methods/margin_kd.py",
    "conf/method/mine.yaml", "kdrun/methods/mine.py", "conf/data/parquet.yaml", "kdrun/data/sources/parquet_folder.py",
}  # fmt: skip
"""Files that the documentation asks a reader to create."""


def is_name(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(value, part) and part not in getattr(value, "__annotations__", {}):
                return False
            value = getattr(value, part, None)
        return True
    return False


def commands(page: str) -> list[str]:
    text = TABLE.sub("", (ROOT / page).read_text(encoding="utf-8"))
    blocks = "\n".join(block for block in FENCE.findall(text) if block.startswith("```\n"))
    joined = [command.replace("\\\n", " ") for command in COMMAND.findall(blocks)]
    return [*joined, *re.findall(r"`kdrun ([^`…]+)`", prose(text))]


PAGE_OF = {command: page for page in reversed(PAGES) if page != "CHANGELOG.md" for command in commands(page)}
COMMANDS = sorted((page, command) for command, page in PAGE_OF.items())
"""Each command once, with the first page that has it."""


OWN_FILES = {
    "reviews.csv": "review,stars", "train.csv": "text,label", "dev.csv": "text,label", "test.csv": "text,label",
    "pairs.csv": "premise,hypothesis,gold", "comments.csv": "text,toxic,insult", "labeled.csv": "text,label",
}  # fmt: skip
"""Header of each file that the pages on own data name."""


@pytest.fixture
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working directory with the files of the guide."""
    for name, header in OWN_FILES.items():
        width = header.count(",") + 1
        rows = [",".join([f"a remark of number {i}", str(i % 2), str(i % 2)][:width]) for i in range(40)]
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
    lines = [json.dumps({"question": f"how is number {i}?", "answer": f"as number {i + 1}"}) for i in range(40)]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("more.txt", "unlabeled.txt"):
        (tmp_path / name).write_text("a new remark\n")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("page", "command"), COMMANDS)
@pytest.mark.usefixtures("own_files")
def test_commands_are_valid(page: str, command: str, tmp_path: Path) -> None:
    """Parsed and composed with placeholders replaced; nothing runs."""
    if any(name in command for name in PARTS_TO_ADD) or command.startswith(("resume=", "--help", "report ")):
        return
    words = shlex.split(command, comments=True)
    if words[0] == "explain":
        if not PLACEHOLDER.search(command) and "to=" not in command:
            assert main.run(words) == 0
        return
    words = [PLACEHOLDER.sub(str(tmp_path), word) for word in words]
    if words[0] == "compare":
        settings, words = options.parse_options(CompareOptions, words[1:], others=True)
        assert plan_arms([*settings.baselines, *settings.method], words)
    elif words[0] == "tune":
        spaces = [word.removeprefix("space=") for word in words if word.startswith("space=")]
        rest = [word for word in words[1:] if not word.startswith("space=")]
        settings, rest = options.parse_options(TuneOptions, rest, others=True)
        if rest or spaces:  # prose names the command alone
            assert read_space(spaces[0] if spaces else None, rest).ranges
            assert settings.trials > 0
    elif words[0] in ("label", "write"):
        if words[1:]:  # prose names the command alone
            schema = LabelOptions if words[0] == "label" else WriteOptions
            _, overrides = options.parse_options(schema, words[1:], others=True)
            assert not compose.validate_overrides(overrides, multirun=False)
    elif words[0] in subcommands.COMMANDS and words[0] != "check":
        schema = importlib.import_module(subcommands.COMMANDS[words[0]][0]).OPTIONS
        _, rest = options.parse_options(schema, words[1:], others=True)
        assert words[0] in TAKES_PATHS or not rest
        assert not [word for word in rest if "=" in word]
    else:
        overrides = [word for word in words if "=" in word and not word.startswith("config=")]  # a file of a run
        assert not compose.validate_overrides(overrides, multirun="-m" in words)


TAKES_PATHS = ("cost", "export", "glue", "predict", "publish")
"""Subcommands whose arguments are paths besides options."""
PARTS_TO_ADD = ("margin_kd", "=mine", "total_variation", "bhattacharyya", "parquet", "emotion", "quick")
"""Parts that the documentation asks a reader to add; the tests of the examples run them."""


@pytest.mark.parametrize("name", ["config.md", "commands.md", "methods.md", "result_schema.md"])
def test_reference_pages_are_up_to_date(name: str, tmp_path: Path) -> None:
    reference_pages.write_pages(tmp_path)
    message = "run: kdrun explain to=docs/reference"
    assert (tmp_path / name).read_text(encoding="utf-8") == GENERATED[name].read_text(encoding="utf-8"), message


@pytest.mark.parametrize("page", [page for page in PAGES if page.startswith("docs/extend/")])
def test_titled_blocks_are_the_example_files(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name, content in re.findall(r'^```\w+ title="(examples/[^"]+)"\n(.*?)^```', text, re.MULTILINE | re.DOTALL):
        assert content == (ROOT / name).read_text(encoding="utf-8"), name


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|<link[^>]*href)="https?:', page), "a page loads something from another host"


@pytest.mark.parametrize("part", [Requirements, Batch, MethodContext, StepOutput])
def test_the_python_api_lists_every_field(part: type) -> None:
    page = (ROOT / "docs" / "reference" / "python_api.md").read_text(encoding="utf-8")
    table = page.split(f"\n| `{part.__name__}`")[-1].split("\n\n", 1)[0]
    listed = {name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == {item.name for item in dataclasses.fields(part)}
