"""Hashes that name cache entries on disk."""

import hashlib
from pathlib import Path

from kdrun.storage.hashing import digest, file_digest


def test_the_digest_of_plain_data_is_fixed_and_independent_of_key_order() -> None:
    value = {"b": [1, 2.5, None], "a": "ä"}
    expected = hashlib.sha256(rb'{"a":"\u00e4","b":[1,2.5,null]}').hexdigest()
    assert digest(value) == digest(dict(reversed(value.items()))) == expected
    assert digest([1]) != digest(["1"])


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert file_digest(path) == hashlib.sha256(b"x" * 100_000).hexdigest()
