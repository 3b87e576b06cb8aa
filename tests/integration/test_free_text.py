"""Free text through the real entry point: a decoder on rows of a JSON-lines file, its scores, folder and card."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from kdrun.config import compose
from kdrun.config.runtime import Device
from kdrun.data.text_overlap import mean, rouge_l
from kdrun.deployment.card_facts import gather
from kdrun.deployment.model_card import card_text
from kdrun.deployment.predict import SavedPredictor
from kdrun.deployment.saved_folder import find_saved
from kdrun.deployment.saved_model import load_saved
from kdrun.errors import ConfigError
from tests.helpers.runs import finish, read_lines

GPT2 = "{hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 16}"
T5 = "{d_model: 16, d_kv: 8, num_heads: 2, d_ff: 16, num_layers: 1, num_decoder_layers: 1}"

pytestmark = pytest.mark.usefixtures("run_env")


def rows(folder: Path, answers: tuple[Any, ...] = ("by train", "by bus", "on a red bus")) -> Path:
    path = folder / "rows.jsonl"
    lines = [
        {"question": f"how did number {i} get to the town of rome?", "answer": answers[i % len(answers)]}
        for i in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def overrides(folder: Path, *more: str) -> list[str]:
    return [
        "task=own", "task.kind=text", "data=files", f"data.train={rows(folder)}", "data.dev=0.2", "preset=t5_writer",
        "task.answer_tokens=6", "data.max_length=40", "teacher.finetune_optim.steps=2", "teacher.allow_weak=true",
        "teacher.finetune_optim.batch_size=8", "optim.steps=3", "optim.batch_size=8", "runtime.log_every=1",
        "teacher.vocab_size=500", "student.vocab_size=500", f"output_dir={folder}/out", *more,
    ]  # fmt: skip


def sizes(form: str) -> list[str]:
    if form == "t5":
        return [f"teacher.sizes={T5}", f"student.sizes={T5}"]
    return ["teacher=gpt2_writer", "student=gpt2_writer", f"teacher.sizes={GPT2}", f"student.sizes={GPT2}"]


@pytest.mark.parametrize(
    ("method", "form"),
    [("gkd", "gpt2"), *(pytest.param(*case, marks=pytest.mark.slow) for case in (("kd_ood", "gpt2"), ("gkd", "t5")))],
)
def test_a_run_leaves_answers_scores_and_a_model_that_writes(method: str, form: str, tmp_path: Path) -> None:
    corpus = []
    if method == "kd_ood":
        (tmp_path / "corpus").mkdir()
        (tmp_path / "corpus" / "a.txt").write_text("".join(f"How do the {i} dogs go to town?\n" for i in range(200)))
        corpus = ["corpus=folder", f"corpus.dir={tmp_path}/corpus", "ood.rows=40"]
    result, folder, console = finish(
        compose.load_config(overrides(tmp_path, f"method={method}", "report=true", *sizes(form), *corpus))
    )
    assert result["headline"] == {"metric": "rouge_l", "split": "dev"}
    lines = read_lines(folder / "predictions.jsonl")
    answers, gold = ([line[key] for line in lines] for key in ("prediction", "gold"))
    assert len(gold) == 8
    assert result["student"]["metrics"]["dev"]["rouge_l"] == mean(rouge_l, answers, gold)
    assert result["guess"]["dev"]["exact_match"] == max(map(gold.count, gold)) / 8
    assert ("words, at most 4" in console) == (method != "kd_ood")  # without the training rows no answers are counted
    name = {"gpt2": "AutoModelForCausalLM", "t5": "AutoModelForSeq2SeqLM"}[form]
    assert f"{name}.from_pretrained" in console
    assert "student&#39;s ROUGE-L" in (folder / "report.html").read_text().replace("'", "&#39;")
    saved = SavedPredictor(load_saved(folder), 3, Device.cpu, None)
    assert saved.answers([[line["text"] for line in lines]]).columns["prediction"] == answers
    card = card_text(gather(find_saved(folder), str(folder / "student"), None))
    with redirect_stdout(io.StringIO()) as printed:
        exec(card.partition("```python\n")[2].partition("```")[0], {})
    assert printed.getvalue().rstrip("\n") == saved.answers([["some text"]]).columns["prediction"][0]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["data.unlabelled=rest", "data.max_train_rows=8"], r"data\.unlabelled=rest: .*is answered with text"),
        (["student=smoke"], r"student\.architecture=bert: an encoder generates no text"),
    ],
)
def test_settings_that_do_not_fit_are_an_error(more: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        compose.load_config(overrides(tmp_path, "method=kd", *more))


def test_lists_of_answers_are_an_error(tmp_path: Path) -> None:
    words = overrides(tmp_path, "method=kd")
    rows(tmp_path, (["by train"],))
    with pytest.raises(ConfigError, match=r"answer has lists, and task\.kind=text needs one text per row"):
        finish(compose.load_config(words))
