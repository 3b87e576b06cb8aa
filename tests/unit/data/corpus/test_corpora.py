"""Corpora from folders, the hub and the package."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdrun import registry
from kdrun.config.data import CorpusConfig, FolderCorpusConfig, HubCorpusConfig
from kdrun.data import embedded, hub_datasets
from kdrun.data.corpus.cleaning import clean_wikitext
from kdrun.data.corpus.corpora import Corpus
from kdrun.errors import DataError


def folder(path: Path, max_lines: int | None = None) -> Corpus:
    return registry.build("corpus", "folder", FolderCorpusConfig("folder", max_lines, str(path)))


@pytest.mark.parametrize(
    ("line", "cleaned"),
    [
        (" = Robert = \n", ""),
        (" = = Early life = = \n", ""),
        (" \n", ""),
        (" a state @-@ run firm of 1 @,@ 200 men , 2 @.@ 5 % \n", "a state-run firm of 1,200 men , 2.5 %"),
        (" The <unk> of <unk> , he said . \n", "The <unk> of <unk> , he said ."),
        (" x = 3 and y = 4 . \n", "x = 3 and y = 4 ."),
        (" me @ home \n", "me @ home"),
    ],
)
def test_wikitext_marks_are_cleaned(line: str, cleaned: str):
    assert clean_wikitext(line) == cleaned


def test_folder_reads_files_by_name_and_drops_blank_lines(tmp_path: Path):
    (tmp_path / "b.txt").write_bytes("two @-@ one\u2028still\r\n\r\n  three  ".encode())
    (tmp_path / "a.tokens").write_text(" = Head = \n two @-@ one \n")
    (tmp_path / "c.md").write_text("not read\n")
    corpus = folder(tmp_path)
    assert list(corpus.lines()) == ["two-one", "two @-@ one\u2028still", "three"]
    assert list(corpus.lines()) == ["two-one", "two @-@ one\u2028still", "three"]
    assert list(folder(tmp_path, 2).lines()) == ["two-one", "two @-@ one\u2028still"]
    assert list(folder(tmp_path / "a.tokens").lines()) == ["two-one"]
    assert not corpus.synthetic
    assert corpus.name == tmp_path.name


def test_the_rare_word_mark_is_dropped_by_default(tmp_path: Path):
    (tmp_path / "a.tokens").write_text(" The <unk> of <unk> , he said . \n <unk> \n Done . \n")
    assert list(folder(tmp_path).lines()) == ["The of , he said .", "Done ."]
    assert list(folder(tmp_path).lines(keep_unknown=True)) == ["The <unk> of <unk> , he said .", "<unk>", "Done ."]


def test_a_byte_order_mark_is_no_text(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone\n")
    assert list(folder(tmp_path).lines()) == ["one"]


def test_lines_are_a_stream(tmp_path: Path):
    (tmp_path / "a.txt").write_bytes(b"one\ntwo\n\xff\n")
    lines = folder(tmp_path).lines()
    assert [next(lines), next(lines)] == ["one", "two"]
    with pytest.raises(DataError, match=r"a\.txt is not UTF-8: byte 0xff in line 3"):
        next(lines)
    # what is not read is not judged
    assert list(folder(tmp_path, 2).lines()) == ["one", "two"]


def test_fingerprint_follows_content_and_limit(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    first = folder(tmp_path).fingerprint
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert folder(tmp_path).fingerprint == first
    assert folder(tmp_path, 1).fingerprint != first
    (tmp_path / "b.txt").rename(tmp_path / "b.tokens")
    assert folder(tmp_path).fingerprint != first
    (tmp_path / "b.tokens").rename(tmp_path / "b.txt")
    (tmp_path / "b.txt").write_text("one\ntwo!\n")
    assert folder(tmp_path).fingerprint != first


def test_bad_folders_are_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere, which does not exist; .* corpus=embedded"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"which holds nothing; expected a folder of \.txt or \.tokens files"):
        folder(tmp_path)
    (tmp_path / "a.csv").write_text("text\n")
    with pytest.raises(DataError, match=r"which holds a\.csv;"):
        folder(tmp_path)
    with pytest.raises(DataError, match=r"is the file .*a\.csv;"):
        folder(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(DataError, match=r"every file of corpus\.dir=.* is empty"):
        folder(tmp_path)
    (tmp_path / "a.txt").write_text("\n \n")
    with pytest.raises(DataError, match="has no lines of text"):
        list(folder(tmp_path).lines())


def test_embedded_corpus_is_one_paragraph_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedded, "corpus", lambda: [["One.", "Two."], ["Three."]])
    corpus = registry.build("corpus", "embedded", CorpusConfig())
    assert list(corpus.lines()) == ["One. Two.", "Three."]
    assert corpus.synthetic
    assert "synthetic" in corpus.name
    short = registry.build("corpus", "embedded", CorpusConfig(max_lines=1))
    assert list(short.lines()) == ["One. Two."]
    assert short.fingerprint != corpus.fingerprint


def test_a_corpus_of_the_hub_is_read_from_a_folder_in_the_same_form(tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "repo" / "raw").mkdir(parents=True)
    rows = {"text": [" = Head = \n", "", " One , two . \n", " Three \n"]}
    datasets.Dataset.from_dict(rows).to_parquet(tmp_path / "repo" / "raw" / "train.parquet")
    card = json.dumps({"configs": [{"config_name": "raw", "data_files": [{"split": "train", "path": "raw/*"}]}]})
    (tmp_path / "repo" / "README.md").write_text(f"---\n{card}\n---\n")

    def corpus(**more: Any) -> Corpus:
        values = {"name": "hub", "repo": str(tmp_path / "repo"), "subset": "raw", **more}
        return registry.build("corpus", "hub", HubCorpusConfig(**values))

    assert list(corpus().lines()) == ["One , two .", "Three"]
    assert list(corpus(max_lines=1).lines()) == ["One , two ."]
    assert corpus().fingerprint != corpus(max_lines=1).fingerprint
    with pytest.raises(DataError, match=r"has no split 'dev'; corpus\.split is one of train"):
        list(corpus(split="dev").lines())
    with pytest.raises(DataError, match=r"has no column 'words'; corpus\.column is one of text"):
        list(corpus(column="words").lines())


def test_without_the_hub_other_corpora_are_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_datasets, "_hub_answers", lambda: False)
    corpus = registry.build("corpus", "hub", HubCorpusConfig("hub", None, "kdrun-test/no-such-text", "raw"))
    with pytest.raises(DataError, match=r"does not answer .* corpus=folder corpus\.dir=PATH .* corpus=embedded"):
        list(corpus.lines())
