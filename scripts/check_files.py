"""Check that YAML files parse and that no file is large.

    .venv/bin/python scripts/check_files.py PATH …

Exit code 1 with one line per problem.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

LIMIT_KIB = 4096


def problems_of(path: Path) -> list[str]:
    """Problems of one file, as sentences."""
    size = path.stat().st_size / 1024
    problems = [f"{path}: {size:.0f} KiB, more than {LIMIT_KIB}"] if size > LIMIT_KIB else []
    if path.suffix in (".yaml", ".yml"):
        try:
            list(yaml.safe_load_all(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            problems.append(f"{path}: {' '.join(str(error).split())}")
    return problems


def main(paths: list[str]) -> int:
    """Print the problems of all files.

    Returns:
        The exit code.
    """
    problems = [problem for path in paths if Path(path).is_file() for problem in problems_of(Path(path))]
    print(*problems, sep="\n", end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
