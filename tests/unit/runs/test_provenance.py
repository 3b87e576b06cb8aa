"""Provenance: versions and the digest of the code."""

from pathlib import Path

from kdrun.config import compose
from kdrun.runs import provenance


def test_provenance_contains_versions_and_code(tmp_path: Path) -> None:
    config = compose.load_config([f"output_dir={tmp_path}/out"])
    record = provenance.provenance(config, "abc", "kdrun task=rte")
    assert set(record) == {
        "code", "git", "dirty", "python", "torch", "transformers", "config_hash", "data_hash", "command", "processes",
    }  # fmt: skip
    assert record["data_hash"] == "abc"


def test_code_digest_ignores_comments_and_depends_on_code() -> None:
    bare = "def f(x):\n    return x + 1\n"
    documented = '"""A module."""\n\n\ndef f(x):\n    """Add one."""\n    # a comment\n    return x + 1\n'
    assert provenance._bare_code(bare) == provenance._bare_code(documented)
    assert provenance._bare_code(bare) != provenance._bare_code(bare.replace("+ 1", "+ 2"))


def test_non_computing_names_are_rooms_or_modules() -> None:
    for name in provenance.NON_COMPUTING:
        path = provenance.PACKAGE / name
        assert path.is_file() if name.endswith(".py") else path.is_dir(), name
