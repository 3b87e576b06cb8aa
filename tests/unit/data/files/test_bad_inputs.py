"""Files as users bring them: each is read right, or refused with file and row.

A case is the content of a training file and, for a file that is read, the expected labels or texts.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from kdrun.config.data import Delimiter, FilesDataConfig
from kdrun.config.task import TaskConfig, TaskKind
from kdrun.data.files.dataset_files import OwnData, load_own_data
from kdrun.errors import ConfigError, DataError

HEADER = "text,label\n"
ROWS = "a good long film,pos\na bad dull film,neg\n"
DEV = HEADER + ROWS


@dataclass(frozen=True)
class Case:
    """A training file, the dev file, settings, and the expected outcome.

    Attributes:
        name: name of the case.
        content: the training file: text, bytes, or a function that writes it to a path.
        file: its name.
        dev: the dev file `dev.csv`, or a fraction.
        task: settings of the task.
        data: further settings of the data section.
        refused: what the error must contain; empty if the file is read.
        classes: the classes that must come out.
        texts: the first texts of train.
        labels: the labels of train, as class names.
        rows: the number of rows of train.
        notes: what the notes must contain.
    """

    name: str
    content: str | bytes | Callable[[Path], None]
    file: str = "train.csv"
    dev: str | float = DEV
    task: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    classes: list[str] | None = None
    texts: list[str] | None = None
    labels: list[str] | None = None
    rows: int | None = None
    notes: tuple[str, ...] = ()


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def parquet(**columns: Any) -> Callable[[Path], None]:
    return lambda path: pq.write_table(pa.table(columns), path)


TWO = ["a good long film", "a bad dull film"]
POS_NEG = ["neg", "pos"]
JSON_ROWS = ({"text": TWO[0], "label": "pos"}, {"text": TWO[1], "label": "neg"})

READ = [
    Case("plain", HEADER + ROWS, classes=POS_NEG, texts=TWO, labels=["pos", "neg"]),
    Case("byte order mark", codecs.BOM_UTF8 + (HEADER + ROWS).encode(), classes=POS_NEG, texts=TWO),
    Case("CRLF", (HEADER + ROWS).replace("\n", "\r\n"), classes=POS_NEG, texts=TWO, labels=["pos", "neg"]),
    Case("no line feed at the end", (HEADER + ROWS).rstrip("\n"), rows=2, classes=POS_NEG),
    Case("embedded comma and quotes", HEADER + '"a, b ""c"" d",pos\n' + ROWS, texts=['a, b "c" d'], rows=3),
    Case("embedded line feed", HEADER + '"a\nb c",pos\n' + ROWS, texts=["a\nb c"], rows=3),
    Case("embedded CRLF", HEADER + '"a\r\nb c",pos\r\n' + ROWS, texts=["a\r\nb c"], rows=3),
    Case("embedded tab", HEADER + "a\tb c,pos\n" + ROWS, texts=["a\tb c"], rows=3),
    Case("quotes inside an unquoted field", HEADER + 'the "best" film,pos\n' + ROWS, texts=['the "best" film'], rows=3),
    Case("single quotes", HEADER + "it's 'fine',pos\n" + ROWS, texts=["it's 'fine'"], rows=3),
    Case("empty lines", HEADER + "\n" + ROWS + "\n\n", rows=2),
    Case("blank rows", HEADER + ",\n" + ROWS + " , \n", rows=2, notes=("2 blank rows left out, the first on line 2",)),
    Case("repeated rows", HEADER + ROWS + ROWS, rows=4, notes=("2 of 4 rows of train.csv repeat",)),
    Case(
        "one text with two labels",
        HEADER + ROWS + "a good long film,neg\n",
        rows=3,
        notes=("1 text of train.csv with different labels", "line 2 (pos) and 4 (neg)"),
    ),
    Case("blanks around labels", HEADER + ROWS + "a fine film, pos \n", classes=POS_NEG, labels=["pos", "neg", "pos"]),
    Case(
        "labels in two spellings",
        HEADER + ROWS + "a fine film,Pos\na great film,pos\n",
        classes=POS_NEG,
        labels=["pos", "neg", "pos", "pos"],
        notes=("'pos' (2 rows) and 'Pos' (1 row) are one class, 'pos'",),
    ),
    Case(
        "NA is a class",
        HEADER + ROWS + "an odd film,NA\nanother film,NA\n",
        classes=["NA", "neg", "pos"],
        notes=("the label 'NA' (2 rows) is a class of this name",),
    ),
    Case("null is a class", HEADER + ROWS + "an odd film,null\n", classes=["neg", "null", "pos"]),
    Case("null is a text", HEADER + "null,pos\n" + ROWS, texts=["null"], rows=3),
    Case("leading zeros", HEADER + "a b c,01\nd e f,02\ng h i,10\n", dev=HEADER + "x,01\n", classes=["01", "02", "10"]),
    Case("numbers in order", HEADER + "a,10\nb,9\nc,1\n", dev=HEADER + "x,9\n", classes=["1", "9", "10"]),
    Case("integers as floats", HEADER + "a b,1.0\nb c,2.0\n", dev=HEADER + "x,1\n", classes=["1", "2"]),
    Case("booleans as text", HEADER + "a b,True\nb c,False\n", dev=HEADER + "x,true\n", classes=["False", "True"]),
    Case("once only", HEADER + ROWS + "an odd film,odd\n", rows=3, notes=("in train once only: neg, odd, pos",)),
    Case("a class missing in dev", HEADER + ROWS, dev=HEADER + "x,pos\n", notes=("dev has no row of neg",)),
    Case("semicolons", "text;label\na, b;pos\nc, d;neg\n", texts=["a, b", "c, d"], notes=("data.delimiter=semicolon",)),
    Case(
        "pipes by setting", "text|label\na|pos\nb|neg\n", data={"delimiter": "pipe"}, dev="text|label\nx|pos\n", rows=2
    ),
    Case("TSV with quoting", "text\tlabel\n" + '"a\tb"\tpos\nc\tneg\n', "train.tsv", texts=["a\tb", "c"]),
    Case(
        "TSV without quoting",
        'text\tlabel\n" a b \tpos\nc "d\tneg\n',
        "train.tsv",
        texts=['" a b', 'c "d'],
        notes=("quotes are part of the text",),
    ),
    Case("a header with blanks", "text , label\n" + ROWS, rows=2),
    Case("an index column", ",text,label\n0,a b,pos\n1,c d,neg\n", texts=["a b", "c d"]),
    Case(
        "columns by content",
        "id,remark,outcome\n"
        + "".join(f"{i},remark number {i} of many,{'yes' if i % 2 else 'no'}\n" for i in range(8)),
        dev="id,remark,outcome\n9,some other remark,no\n",
        classes=["no", "yes"],
        notes=("text in 'remark', label in 'outcome'",),
    ),
    Case("a pair", "premise,hypothesis,label\na,b,yes\nc,d,no\n", dev="premise,hypothesis,label\nx,y,no\n", rows=2),
    Case("a huge field", HEADER + "word " * 2_000_000 + ",pos\n" + ROWS, rows=3),
    Case("scores", HEADER + "".join(f"text {i},{i / 7:.3f}\n" for i in range(30)), dev=0.2, rows=24),
    Case("JSON lines", lines(*JSON_ROWS), "train.jsonl", classes=POS_NEG, texts=TWO),
    Case("JSON lines with a mark and CRLF", "\ufeff" + lines(*JSON_ROWS).replace("\n", "\r\n"), "train.jsonl", rows=2),
    Case("JSON array", json.dumps(list(JSON_ROWS)), "train.json", classes=POS_NEG, texts=TWO),
    Case(
        "JSON booleans",
        lines({"text": "a", "label": True}, {"text": "b", "label": False}),
        "train.jsonl",
        dev=HEADER + "x,true\n",
        classes=["false", "true"],
    ),
    Case(
        "JSON dates are text",
        lines({"text": "2020-01-01", "label": "a"}, {"text": "b", "label": "b"}),
        "train.jsonl",
        dev=HEADER + "x,a\n",
        texts=["2020-01-01", "b"],
    ),
    Case(
        "JSON lists of labels",
        lines({"text": "a", "label": ["x", "y"]}, {"text": "b", "label": []}),
        "train.jsonl",
        dev=lines({"text": "c", "label": ["y"]}),
        data={"dev_name": "dev.jsonl"},
        classes=["x", "y"],
    ),
    Case(
        "several columns of 0 and 1",
        "text,toxic,insult\na,1,0\nb,0,0\nc,1,1\n",
        dev="text,toxic,insult\nd,0,1\n",
        task={"label": ["toxic", "insult"]},
        classes=["toxic", "insult"],
    ),
    Case(
        "Parquet dictionary and large text",
        parquet(text=pa.array(TWO, pa.large_string()), label=pa.array(["pos", "neg"]).dictionary_encode()),
        "train.parquet",
        classes=POS_NEG,
        texts=TWO,
    ),
    Case(
        "Parquet floats with whole numbers",
        parquet(text=TWO, label=[1.0, 0.0]),
        "train.parquet",
        dev=HEADER + "x,1\n",
        classes=["0", "1"],
    ),
    Case("given classes keep their order", HEADER + ROWS, task={"labels": ["pos", "neg"]}, classes=["pos", "neg"]),
]

REFUSED = [
    Case("empty file", "", refused=("train.csv is empty",)),
    Case("only blanks", " \n\n", refused=("train.csv",)),
    Case("only a header", HEADER, refused=("train.csv has no rows",)),
    Case("a NUL byte", HEADER + "a\0b,pos\n" + ROWS, refused=("train.csv has a NUL byte on line 2",)),
    Case(
        "a NUL in JSON",
        lines({"text": "a\0b", "label": "x"}, *JSON_ROWS),
        "train.jsonl",
        refused=("line 1: text has a NUL",),
    ),
    Case(
        "latin-1",
        (HEADER + "caf\u00e9,pos\n").encode("latin-1") + ROWS.encode(),
        refused=("not UTF-8", "0xe9 on line 2", "iconv"),
    ),
    Case("UTF-16", (HEADER + ROWS).encode("utf-16"), refused=("train.csv is UTF-16",)),
    Case("UTF-16 without a mark", (HEADER + ROWS).encode("utf-16-le"), refused=("train.csv is UTF-16",)),
    Case("carriage returns alone", (HEADER + ROWS).replace("\n", "\r"), refused=("carriage return",)),
    Case(
        "ragged rows", HEADER + "a,b,pos\n" + ROWS + "c\n", refused=("row 1: 3 fields, expected 2", "row 4: 1 fields")
    ),
    Case("a quote that does not close", HEADER + ROWS + '"a b,pos\nc,neg\n', refused=("quote on line 4",)),
    Case("text behind a closing quote", HEADER + '"a" b,pos\n' + ROWS, refused=("quote on line 2",)),
    Case(
        "a missing label",
        HEADER + ROWS + "a film,\n",
        refused=("train.csv has 1 problem", "line 4: the label (label) is missing"),
    ),
    Case("a missing text", HEADER + ROWS + " ,pos\n", refused=("line 4: the text is empty",)),
    Case(
        "null in JSON",
        lines(*JSON_ROWS, {"text": None, "label": "pos"}),
        "train.jsonl",
        refused=("line 3: the text is empty",),
    ),
    Case("a key missing in JSON", lines(*JSON_ROWS, {"text": "x"}), "train.jsonl", refused=("line 3: the label",)),
    Case(
        "NaN label in Parquet",
        parquet(text=["a", "b", "c"], label=[1.0, float("nan"), 0.0]),
        "train.parquet",
        refused=("row 2: the label",),
    ),
    Case("one class", HEADER + "a film,pos\nb film,pos\n", refused=("only the class 'pos' in 2 rows",)),
    Case(
        "an unknown label in dev",
        HEADER + ROWS,
        dev=DEV + "x,post\n",
        refused=("dev.csv", "line 4: the label is 'post'; did you mean 'pos'?"),
    ),
    Case(
        "an unknown label in train",
        HEADER + ROWS,
        task={"labels": ["pos", "bad"]},
        refused=("train.csv", "line 3: the label is 'neg'"),
    ),
    Case(
        "no header",
        "a good long film,pos\na bad dull film,neg\nsome film,pos\nother film,pos\n",
        refused=("first line looks like a row",),
    ),
    Case(
        "a repeated column name",
        "text,text,label\na,b,pos\n",
        task={"text": ["text"]},
        refused=("more than one column 'text'",),
    ),
    Case(
        "a misspelt column",
        HEADER + ROWS,
        task={"text": ["txt"]},
        refused=("lacks the column 'txt'; did you mean 'text'",),
    ),
    Case(
        "ambiguous text columns",
        "review,comment,label\na,b,pos\n",
        refused=("name its text column", "review: text, 1 different value, e.g. 'a'"),
    ),
    Case("ambiguous labels", "text,stars,topic\na b c,1,x\n", refused=("task.label=COLUMN", "topic: text")),
    Case(
        "train and dev with other columns",
        HEADER + ROWS,
        dev="review,label\nx,pos\n",
        refused=("dev.csv lacks the column 'text'",),
    ),
    Case(
        "mixed types in JSON",
        lines(*JSON_ROWS, {"text": "x", "label": 3}),
        "train.jsonl",
        refused=("line 3: label is a number: 3",),
    ),
    Case("no JSON", lines(*JSON_ROWS) + '{"text": "x"\n', "train.jsonl", refused=("line 3: it is not JSON",)),
    Case("no objects in JSON", '["a"]\n["b"]\n', "train.jsonl", refused=("train.jsonl is not JSON",)),
    Case("an array of texts", '["a", "b"]', "train.json", refused=("row 1: expected an object",)),
    Case(
        "nested JSON",
        lines({"text": {"a": 1}, "label": "x"}, {"text": {"a": 2}, "label": "y"}),
        "train.jsonl",
        task={"text": ["text"]},
        refused=("text column 'text' has values of type struct",),
    ),
    Case("a key twice", '{"text": "a", "text": "b", "label": "x"}\n', "train.jsonl", refused=("twice",)),
    Case(
        "dates as labels",
        parquet(text=TWO, label=pa.array([1, 2], pa.timestamp("s"))),
        "train.parquet",
        refused=("label column 'label' has dates",),
    ),
    Case("no Parquet", "text,label\n", "train.parquet", refused=("train.parquet cannot be read",)),
    Case(
        "many whole numbers",
        HEADER + "".join(f"text {i},{i}\n" for i in range(150)),
        refused=("150 different whole numbers", "task.kind=classes or task.kind=score"),
    ),
    Case("few fractions", HEADER + "a b,0.5\nb c,1.5\n", refused=("2 different fractional numbers", "task.kind")),
    Case(
        "a label per row",
        HEADER + "".join(f"text {i},name {i}\n" for i in range(1100)),
        refused=("1100 different texts", "task.label=COLUMN"),
    ),
    Case(
        "a score that is no number",
        HEADER + "a b,0.5\nb c,high\n",
        task={"kind": TaskKind.score},
        refused=("line 3: the score is 'high'",),
    ),
    Case(
        "an infinite score",
        HEADER + "a b,0.5\nb c,inf\n",
        task={"kind": TaskKind.score},
        refused=("line 3: the score is 'inf'",),
    ),
    Case(
        "flags that are no 0 or 1",
        "text,a,b\nx,1,0\ny,2,0\n",
        task={"label": ["a", "b"]},
        refused=("line 3: a is '2'; expected 0 or 1",),
    ),
    Case(
        "label sets in one CSV column",
        HEADER + "a,x|y\nb,x\n",
        task={"kind": TaskKind.multi_label},
        refused=("task.kind=multi_label needs lists", "task.label=[A,B]"),
    ),
    Case("a zipped file", b"PK", "train.csv.gz", refused=("files of type .gz are not read; unpack it",)),
    Case("a text file", "a\nb\n", "train.txt", refused=("without labels", "data.unlabelled=FILE")),
    Case("another format", "a", "train.xlsx", refused=("files of type .xlsx are not read",)),
    Case("a folder", lambda path: path.mkdir(), "train", refused=("is a folder without state.json",)),
    Case("a missing file", lambda path: None, "trian.csv", refused=("trian.csv: no such file",)),
    Case(
        "too few rows for a fraction",
        HEADER + ROWS,
        dev=0.1,
        refused=("data.dev=0.1 of 2 different texts", "needs at least 2"),
    ),
    Case("a fraction above 1", HEADER + ROWS, dev=1.5, refused=("data.dev=1.5", "between 0 and 1")),
]


def load(case: Case, folder: Path) -> OwnData:
    """Write the files of a case and read them."""
    path = folder / case.file
    if callable(case.content):
        case.content(path)
    else:
        path.write_bytes(case.content if isinstance(case.content, bytes) else case.content.encode())
    settings = dict(case.data)
    dev: Any = case.dev
    if isinstance(dev, str):
        dev = folder / settings.pop("dev_name", "dev.csv")
        dev.write_text(str(case.dev))
    if "delimiter" in settings:
        settings["delimiter"] = Delimiter(settings["delimiter"])
    config = FilesDataConfig(name="files", train=str(path), dev=dev if isinstance(dev, float) else str(dev), **settings)
    return load_own_data(config, TaskConfig(**{"name": "own", "headline": "", **case.task}))


@pytest.mark.parametrize("case", READ, ids=[case.name for case in READ])
def test_files_that_are_read_right(case: Case, tmp_path: Path) -> None:
    data = load(case, tmp_path)
    train = data.splits["train"]
    if case.classes is not None:
        assert data.task.labels == case.classes
    if case.texts is not None:
        assert train.table.column("text").to_pylist()[: len(case.texts)] == case.texts
    if case.labels is not None:
        assert [data.task.labels[index] for index in train.labels()] == case.labels
    if case.rows is not None:
        assert train.num_rows == case.rows == data.task.rows["train"]
    notes = "\n".join(train.notes)
    assert [part for part in case.notes if part not in notes] == [], notes


@pytest.mark.parametrize("case", REFUSED, ids=[case.name for case in REFUSED])
def test_files_that_are_refused_with_file_and_row(case: Case, tmp_path: Path) -> None:
    with pytest.raises((DataError, ConfigError)) as caught:
        load(case, tmp_path)
    message = str(caught.value)
    assert [part for part in case.refused if part not in message] == [], message


def test_the_table_has_forty_kinds_at_least() -> None:
    names = [case.name for case in (*READ, *REFUSED)]
    assert len(names) == len(set(names)) >= 40
