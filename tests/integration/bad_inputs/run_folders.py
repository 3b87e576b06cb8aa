"""Damaged model folders, run folders, checkpoints and ledgers: one defect per case."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.integration.bad_inputs.case import SMOKE, Case

Harm = Callable[[Path], object]


def put(name: str, content: str | bytes) -> Harm:
    """Another content for a file."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(data)


def edit(name: str, **changes: object) -> Harm:
    """Other values in a JSON file; None takes one out."""

    def harm(folder: Path) -> None:
        content = json.loads((folder / name).read_text()) | changes
        (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))

    return harm


def without(*names: str) -> Harm:
    return lambda folder: [(folder / name).unlink() for name in names]


def cut(name: str, size: int) -> Harm:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def model(name: str, harm: Harm, *says: str) -> Case:
    """The student of the run as a teacher's folder."""

    def make(here: Path, run: Path) -> None:
        shutil.copytree(run / "student", here / "model")
        harm(here / "model")

    words = (*SMOKE, "method=kd", "teacher=pretrained", "teacher.path={here}/model")
    return Case(name, words, ("teacher.path=", *says), make=make)


def run_folder(name: str, harm: Harm, words: str, *says: str, code: int = 2) -> Case:
    """The run's folder without its result, as after a crash."""

    def make(here: Path, run: Path) -> None:
        shutil.copytree(run, here / "run")
        (here / "run" / "result.json").unlink()
        harm(here / "run")

    return Case(name, tuple(words.split(" ")), says, code=code, make=make)


def other(name: str, path: str, content: str, words: str, *says: str, code: int = 1) -> Case:
    def make(here: Path, run: Path) -> None:
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_text(content)

    return Case(name, tuple(words.split(" ")), says, code=code, make=make)


AGAIN = "resume={here}/run"
CASES: list[Case] = [
    Case("a model folder that is not there", (*SMOKE, "teacher=pretrained", "teacher.path={here}/model"),
         ("no such folder", "save_pretrained")),
    model("an empty model folder", lambda f: [p.unlink() for p in f.iterdir()], "is missing", "holds nothing"),
    model("no config.json", without("config.json"), "config.json is missing", "save_pretrained"),
    model("a config.json that is no JSON", put("config.json", "{"), "config.json is not JSON", "copy it again"),
    model("a config.json that is no object", put("config.json", "[]"), "JSON object"),
    model("an unknown architecture", edit("config.json", model_type="bort"), "model_type 'bort'", "cannot be used"),
    model("no architecture", edit("config.json", model_type=None), "config.json", "cannot be used"),
    model("sizes that are words", edit("config.json", hidden_size="big"), "cannot be used"),
    model("custom code", edit("config.json", auto_map={"AutoModel": "m.M"}), "which kdrun never runs"),
    model("pickles", lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "can run code", "convert"),
    model("no weights", without("model.safetensors"), "no safetensors weights", "config.json"),
    model("weights that were cut off", cut("model.safetensors", 900), "weights are damaged", "copy the folder again"),
    model("weights that are a pointer", put("model.safetensors", "version https://git-lfs"), "the weights are damaged"),
    model("weights of another size", edit("config.json", intermediate_size=48), "different shape in config.json"),
    model("no tokenizer", without("tokenizer.json"), "no tokenizer", "tokenizer.save_pretrained"),
    model("a tokenizer that is no JSON", put("tokenizer.json", "x"), "tokenizer.json is not JSON", "copy it again"),
    model("a tokenizer of nothing", put("tokenizer.json", "{}"), "contains no tokenizer"),
    model("a tokenizer of something else", put("tokenizer.json", '{"model": {"type": "x"}}'), "cannot be read"),
    model("a vocabulary that is too small", edit("config.json", vocab_size=7), "entries, the model 7 embeddings"),
    model("room for fewer tokens", edit("config.json", max_position_embeddings=8), "room for 8 tokens", "max_length=8"),
    model("a head of other classes", edit("config.json", id2label={"0": "x", "1": "y"}, label2id={"x": 0, "y": 1}),
          "does not fit the task", "teacher.fine_tune=always"),
    run_folder("run_dir holds something else", without("run.json"), " ".join((*SMOKE, "run_dir={here}/run")),
               "is not an empty folder", "choose another"),
    run_folder("run_dir of another run", lambda f: None, " ".join((*SMOKE, "run_dir={here}/run", "optim.lr=0.5")),
               "belongs to another run", "optim.lr was", "now 0.5"),
    run_folder("a folder of no run", without("run.json"), AGAIN, "it has no run.json"),
    run_folder("run.json that was cut off", cut("run.json", 50), AGAIN, "was not written by a run", "start a new run"),
    run_folder("run.json that is a list", put("run.json", "[]"), AGAIN, "run.json was not written by a run"),
    run_folder("run.json without a command", edit("run.json", command=None), AGAIN, "not written by a run", "command"),
    run_folder("run.json of other code", edit("run.json", code="0123"), AGAIN, "code of kdrun", "was 0123"),
    run_folder("run.json of other data", edit("run.json", found={"data": "x"}), AGAIN, ": data was x"),
    run_folder("run.json of other versions", lambda f: edit("run.json", found=json.loads((f / "run.json").read_text())[
        "found"] | {"torch": "1.0"})(f), AGAIN, ": torch was 1.0", "start a new run"),
    run_folder("a command that cannot be read", edit("run.json", command="kdrun 'x"), AGAIN, "closed quotes"),
    run_folder("two folders to resume", lambda f: None, f"{AGAIN} resume=x", "name one folder"),
    run_folder("a damaged checkpoint", cut("checkpoints/last/model.safetensors", 99), AGAIN,
               "checkpoints/last is damaged: model.safetensors has 99 bytes", "using the previous checkpoint", code=0),
    run_folder("a log that was cut off", put("metrics.jsonl", ""), AGAIN,
               "does not match the run's other files: metrics.jsonl has 0", "using the previous checkpoint", code=0),
    run_folder("a result that was cut off", put("result.json", '{"a'), AGAIN, "result.json", "not JSON"),
    other("a file for a run folder", "run", "x", " ".join((*SMOKE, "run_dir={here}/run")), "not an empty folder",
          code=2),
    other("a file for an output folder", "out", "x", " ".join(SMOKE), "out", "Not a directory", "output_dir"),
    other("a ledger that is no JSON", "out/ledger.jsonl", "x\n", "runs output_dir={here}/out", "is not a ledger"),
    other("a ledger of lists", "out/ledger.jsonl", "[1]\n", "runs output_dir={here}/out", "is not a ledger"),
    other("a ledger without keys", "out/ledger.jsonl", "{}\n", "table output_dir={here}/out", "is not a ledger"),
    other("a run next to a broken ledger", "out/ledger.jsonl", "x\n", " ".join(SMOKE), "is not a ledger"),
]  # fmt: skip
