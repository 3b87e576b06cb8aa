"""Layout of the project: layers, sizes, first lines of docstrings, imports."""

import ast
import tomllib
from pathlib import Path

import pytest

from tests.helpers import forked
from tests.helpers.paths import ROOT

MODULES = sorted((ROOT / "kdrun").rglob("*.py"))
TOP = {
    "__init__", "__main__", "api", "cgroup", "console", "errors", "formatting", "lazy", "processor", "progress",
    "registry", "rng", "ranks", "sharding", "signals", "stage_times", "version",
}  # fmt: skip
ROOMS = {
    "cli", "config", "data", "deployment", "experiments", "generation", "losses", "methods", "models", "reporting",
    "runs", "storage", "tasks", "training",
}  # fmt: skip
WITHOUT_TORCH = [
    "kdrun.config.compose", "kdrun.config.validation.rules", "kdrun.reporting.html.report",
    "kdrun.reporting.tables.table", "kdrun.cli.main", "kdrun.cli.subcommands", "kdrun.data.entities",
    "kdrun.data.batch", "kdrun.generation.types", "kdrun.storage.claims", "kdrun.storage.files", "kdrun.storage.ledger",
    "kdrun.storage.serialization", "kdrun.storage.hashing", "kdrun.deployment.saved_folder",
    "kdrun.losses",
]  # fmt: skip
MOST_LINES, MOST_FUNCTION_LINES, MOST_WORDS = 300, 56, 12


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Modules that a file imports anywhere, also for types and inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_rooms_and_top_modules() -> None:
    assert {path.stem for path in (ROOT / "kdrun").glob("*.py")} <= TOP
    assert {path.parent.name for path in (ROOT / "kdrun").glob("*/__init__.py")} == ROOMS


def test_contract_lists_every_method() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (listed,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    files = {path.stem for path in (ROOT / "kdrun" / "methods").glob("*.py")} - {"__init__", "base", "phases"}
    assert set(listed) == {f"kdrun.methods.{name}" for name in files}


@pytest.mark.parametrize("path", [p for p in MODULES if p.name == "__init__.py"], ids=name_of)
def test_package_init_holds_docstring_and_reexports_only(path: Path) -> None:
    for node in ast.parse(path.read_text()).body:
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_name = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__all__", "__version__"}
        assert is_docstring or is_name or isinstance(node, ast.Import | ast.ImportFrom), ast.unparse(node)[:80]


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_module_is_short_and_opens_with_one_plain_phrase(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    first = (ast.get_docstring(tree) or "").split("\n")[0]
    assert 0 < len(first.split()) <= MOST_WORDS, first
    assert first.split()[0] not in {"What", "Who", "Where", "How"}, first
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < MOST_FUNCTION_LINES, node.name


def test_no_test_module_is_imported_and_scripts_import_no_tests() -> None:
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "kdrun").rglob("*.py")]:
        names = {n for n in imported(path) if n.startswith("tests.") and ".test_" in n}
        assert not names, f"{name_of(path)} imports {names}"
    for folder in ("kdrun", "scripts", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            assert not {n for n in imported(path) if n.split(".")[0] == "tests"}, name_of(path)


def test_light_modules_import_without_torch() -> None:
    code = f"import importlib, sys\nfor name in {WITHOUT_TORCH!r}:\n    importlib.import_module(name)\n"
    code += "from kdrun import registry\nregistry.entries('method')\nassert 'torch' not in sys.modules"
    done = forked.without_torch().run(code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
