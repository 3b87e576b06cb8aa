"""Layout of the project: layers, sizes, first lines of docstrings, imports."""

import ast
import re
import tomllib
from pathlib import Path

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


TESTS_IMPORT = re.compile(r"^[ \t]*((?:from tests\b[\w.]* import (?:\([^)]*\)|[^(\n]*)|import tests\b[^\n]*))", re.M)


def imported_tests(path: Path) -> set[str]:
    """Modules of `tests` that a file imports anywhere, also for types and inside functions."""
    names: set[str] = set()
    for statement in TESTS_IMPORT.findall(path.read_text()):
        (node,) = ast.parse(statement).body
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_imports_of_tests_are_found_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    inside = "def f():\n    from tests.b import (\n        test_c, d)\n"
    file.write_text(f"import tests.a\n{inside}from testsuite import x\n")
    assert imported_tests(file) == {"tests.a", "tests.b", "tests.b.test_c", "tests.b.d"}


def test_rooms_and_top_modules() -> None:
    assert {path.stem for path in (ROOT / "kdrun").glob("*.py")} <= TOP
    assert {path.parent.name for path in (ROOT / "kdrun").glob("*/__init__.py")} == ROOMS


def test_contract_lists_every_method() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (listed,) = [contract["modules"] for contract in contracts if contract["type"] == "independence"]
    files = {path.stem for path in (ROOT / "kdrun" / "methods").glob("*.py")} - {"__init__", "base", "phases"}
    assert set(listed) == {f"kdrun.methods.{name}" for name in files}


def test_package_inits_hold_docstring_and_reexports_only() -> None:
    others = []
    for path in (path for path in MODULES if path.name == "__init__.py"):
        for node in ast.parse(path.read_text()).body:
            is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            is_name = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in {"__all__", "__version__"}
            if not (is_docstring or is_name or isinstance(node, ast.Import | ast.ImportFrom)):
                others.append((name_of(path), ast.unparse(node)[:80]))
    assert others == []


def layout_problems(path: Path) -> list[str]:
    """What is wrong with the length of a module, of its functions, or with its first line."""
    text = path.read_text()
    tree = ast.parse(text)
    first = (ast.get_docstring(tree) or "").split("\n")[0]
    problems = [] if 0 < len(first.split()) <= MOST_WORDS else [f"first line of {len(first.split())} words: {first}"]
    problems += [f"first line: {first}"] * first.startswith(("What ", "Who ", "Where ", "How "))
    if len(text.splitlines()) > MOST_LINES:
        problems.append(f"{len(text.splitlines())} lines")
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno >= MOST_FUNCTION_LINES:
                problems.append(f"{node.name} has {node.end_lineno - node.lineno + 1} lines")
    return problems


def test_modules_are_short_and_open_with_one_plain_phrase() -> None:
    problems = {name_of(path): layout_problems(path) for path in MODULES}
    assert len(problems) > 300
    assert {name: found for name, found in problems.items() if found} == {}


def test_no_test_module_is_imported_and_scripts_import_no_tests() -> None:
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "kdrun").rglob("*.py")]:
        names = {name for name in imported_tests(path) if ".test_" in name}
        assert not names, f"{name_of(path)} imports {names}"
    for folder in ("kdrun", "scripts", "benchmarks", "examples"):
        for path in (ROOT / folder).rglob("*.py"):
            assert imported_tests(path) == set(), name_of(path)


def test_light_modules_import_without_torch() -> None:
    code = f"import importlib, sys\nfor name in {WITHOUT_TORCH!r}:\n    importlib.import_module(name)\n"
    code += "from kdrun import registry\nregistry.entries('method')\nassert 'torch' not in sys.modules"
    done = forked.without_torch().run(code, cwd=ROOT)
    assert done.returncode == 0, done.stderr
