"""Text and metadata of the model card of a student."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from tokenizers import Tokenizer

from kdrun import registry
from kdrun.config.prompt_template import default_template
from kdrun.data.template_tokenization import start_ids
from kdrun.deployment.card_facts import CardFacts
from kdrun.formatting import (
    NOT_MEASURED,
    SYNTHETIC_NOTE,
    count,
    join_words,
    named_rows,
    param_count,
    percent,
)
from kdrun.reporting.cost_table import COLUMNS, cost_rows, machine_facts
from kdrun.reporting.html import agreement
from kdrun.reporting.tables import metric_format
from kdrun.reporting.tables.publish import clean_command
from kdrun.storage.cost_card import CostCard

MARK = "<!-- written by `kdrun publish` -->"
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
HASHES = (("config", "config_hash"), ("data", "data_hash"))
METRIC_TYPES = {"mcc": "matthews_correlation", "pearson": "pearsonr", "spearman": "spearmanr"}
"""Names of metrics on the hub, where they differ."""


def _hub_model(section: Mapping[str, Any] | None) -> str | None:
    """The hub's name of a section's model; None for folders and scratch models."""
    if not section or section.get("path") or section.get("name") != "pretrained":
        return None
    hub = section.get("hub")
    return hub if isinstance(hub, str) and hub and not Path(hub).exists() else None


def card_data(facts: CardFacts) -> ModelCardData:
    """The metadata of the card; base models are hub names only, and only of a pretrained student."""
    config, result = facts.config, facts.result
    student = config.get("student") or {}
    teacher = _hub_model(config.get("teacher")) if result["teacher"] else None
    start = teacher if student.get("name") == "layers_of" and not student.get("path") else _hub_model(student)
    bases = list(dict.fromkeys(name for name in (start, teacher) if name)) if start else []
    data = config.get("data") or {}
    tags = ["knowledge-distillation", "kdrun", f"method:{result['method']}"]
    options: dict[str, Any] = {
        "library_name": "kdrun" if facts.needs_kdrun else "transformers",
        "tags": tags + (["synthetic-data"] if result["data"]["synthetic"] else []),
        "model_name": facts.title,
        "eval_results": eval_results(facts),
    }
    if not facts.is_text_to_text:
        options["pipeline_tag"] = facts.task_type
    if facts.saved.task.name in GLUE:
        options["language"] = "en"
    if facts.license:
        options["license"] = facts.license
    if bases:
        options |= {"base_model": bases, "base_model_relation": "finetune"}
    if data.get("name") == "hub" and not Path(str(data.get("repo"))).exists():
        options["datasets"] = [data["repo"]]
    return ModelCardData(**options)


def eval_results(facts: CardFacts) -> list[EvalResult]:
    """Every defined score of the student."""
    result, data = facts.result, facts.config.get("data") or {}
    task = facts.saved.task.name
    is_hub = data.get("name") == "hub"
    source = str(data.get("repo")) if is_hub else f"{'synthetic' if result['data']['synthetic'] else 'local'}-{task}"
    results = []
    for split, metrics in result["student"]["metrics"].items():
        for metric, value in metrics.items():
            if value is not None:
                results.append(
                    EvalResult(
                        task_type=facts.task_type,
                        dataset_type=source,
                        dataset_name=result["data"]["name"],
                        dataset_config=task if is_hub else None,
                        dataset_split="validation" if is_hub and split == "dev" else split,
                        metric_type=METRIC_TYPES.get(metric, metric),
                        metric_name=metric,
                        metric_value=round(value, 6),
                    )
                )
    return results


def card_text(facts: CardFacts) -> str:
    """The whole README.md."""
    metadata = card_data(facts).to_yaml().rstrip("\n")
    parts = [
        f"---\n{metadata}\n---\n\n{MARK}\n\n# {facts.title}",
        _lead(facts),
        f"## Use\n\n```{'bash' if facts.needs_kdrun else 'python'}\n{_snippet(facts)}\n```",
        f"## Results\n\n{_results(facts)}",
        f"## Training\n\n{_training(facts)}",
        *([f"## Cost\n\n{_cost(facts.cost)}"] if facts.cost else []),
        f"## Intended use and limits\n\n{_limits(facts)}",
        f"## Reproduce\n\n{_reproduce(facts)}",
    ]
    return "\n\n".join(parts) + "\n"


def _lead(facts: CardFacts) -> str:
    result, task = facts.result, facts.saved.task
    answers = "free text" if task.is_free_text else join_words(task.labels or task.entities) or "a score"
    teacher = result["teacher"]
    origin = f"distilled from {teacher['name']} with `{result['method']}`" if teacher else "trained without a teacher"
    student, size = result["student"]["name"], param_count(result["student"]["params"])
    text = f"A {student} ({size} parameters) for `{task.name}` ({answers}), {origin} by kdrun {result['kdrun']}."
    if result["data"]["synthetic"]:
        text += f"\n\n**The data is {SYNTHETIC_NOTE}.**"
    return text


def _snippet(facts: CardFacts) -> str:
    """A few lines with plain transformers, or with kdrun for a model that it lacks."""
    task, name = facts.saved.task, facts.repo
    if facts.needs_kdrun:
        texts = " ".join(['"some text"', '"another text"'][: len(task.text)])
        return f"hf download {name} --local-dir student\nkdrun predict student {texts}"
    if facts.is_decoder:
        return _decoder_snippet(facts)
    if facts.is_text_to_text:
        prompts = " ".join(f"{prompt} some text" for prompt in task.prompts)
        return (
            "from transformers import AutoModelForSeq2SeqLM, AutoTokenizer\n\n"
            f'tokenizer = AutoTokenizer.from_pretrained("{name}")\n'
            f'model = AutoModelForSeq2SeqLM.from_pretrained("{name}")\n'
            f'inputs = tokenizer("{prompts}", return_tensors="pt")\n'
            "print(tokenizer.decode(model.generate(**inputs)[0], skip_special_tokens=True))"
        )
    text = '{"text": "first text", "text_pair": "second text"}' if len(task.text) > 1 else '"some text"'
    options = ', function_to_apply="none"' if task.is_regression else ", top_k=None" if task.is_multi_label else ""
    length = f", truncation=True, max_length={facts.saved.max_length}" if facts.saved.max_length else ""
    return (
        "from transformers import pipeline\n\n"
        f'classify = pipeline("text-classification", "{name}"{options})\nprint(classify({text}{length}))'
    )


def _decoder_snippet(facts: CardFacts) -> str:
    """A few lines with plain transformers for a causal language model, which continues a prompt."""
    template = default_template(facts.saved.task)
    assert template is not None, "tasks that are answered with text have prompts"
    backend = Tokenizer.from_file(str(facts.saved.folder / "tokenizer.json"))
    start = "".join(backend.id_to_token(index) or "" for index in start_ids(backend))
    prompt = start + template.fill(["some text"] * len(facts.saved.task.prompts))
    return (
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f'tokenizer = AutoTokenizer.from_pretrained("{facts.repo}")\n'
        f'model = AutoModelForCausalLM.from_pretrained("{facts.repo}")\n'
        f'inputs = tokenizer({json.dumps(prompt, ensure_ascii=False)}, return_tensors="pt", add_special_tokens=False)\n'
        'inputs.pop("token_type_ids", None)\n'
        'answer = model.generate(**inputs)[0, inputs["input_ids"].shape[1] :]\n'
        "print(tokenizer.decode(answer, skip_special_tokens=True))"
    )


def _results(facts: CardFacts) -> str:
    result = facts.result
    teacher, rows = result["teacher"], []
    for split, metrics in result["student"]["metrics"].items():
        for metric, value in metrics.items():
            of_teacher = teacher["metrics"].get(split, {}).get(metric) if teacher else None
            baseline = (result.get("guess") or {}).get(split, {}).get(metric)
            retention = percent(value / of_teacher if value is not None and of_teacher else None)
            rows.append([f"{metric} on {split}", percent(value), percent(of_teacher), percent(baseline), retention])
    text = markdown_table(["score", "student", "teacher", "majority baseline", "retention"], rows)
    checkpoint, split = result.get("checkpoint"), result["headline"]["split"]
    chosen = checkpoint["split"] if checkpoint else None
    if chosen == split:
        text += f"\n\nThe checkpoint was chosen on {chosen}, the split reported, so the scores are optimistic."
    if "rows" in result["headline"]:
        text += f"\n\n`{split}`: {result['headline']['rows']}."
    return f"{text}\n\n{_seeds(facts)}"


def _seeds(facts: CardFacts) -> str:
    record, run = facts.comparison, facts.saved.run
    assert run is not None
    if record is None:
        return f"These are scores of one run, with seed {facts.result['seed']}; scores of other seeds differ."
    confidence, metric, rows = record.get("confidence"), record["metric"], []
    for arm in record["arms"]:
        values = [value for value in arm["scores"].values() if value is not None]
        interval = agreement.interval(values, confidence) if confidence is not None and values else None
        ends = " to ".join(metric_format.score(metric, end) for end in interval or ()) or "n/a"
        is_this = run.record["run_id"] in (arm.get("runs") or {}).values()
        name = f"**{arm['name']}** (this model is one of its seeds)" if is_this else arm["name"]
        rows.append([name, str(len(values)), metric_format.score_sd(metric, arm["mean"], arm["sd"]), ends])
    share = "" if confidence is None else f"{100 * confidence:g} % "
    table = markdown_table(["method", "seeds", "mean ± sd", f"{share}interval of the mean"], rows)
    verdicts = [f"- {pair['a']} {pair['word']} {pair['b']}" for pair in record["pairs"]]
    intro = (
        f"In a comparison over seeds ({record['metric']} on {named_rows(record['split'], record.get('rows_text'))}):"
    )
    return "\n\n".join([intro, table, *(["\n".join(verdicts)] if verdicts else [])])


def _training(facts: CardFacts) -> str:
    result = facts.result
    data, teacher = result["data"], result["teacher"]
    needs = registry.get("method", result["method"]).target.requires
    steps = ", ".join(f"{role} {count(number)}" for role, number in (result.get("steps") or {}).items())
    rows: list[list[str]] = [
        ["method", f"`{result['method']}`"],
        ["teacher", teacher["name"] if teacher else "none"],
        ["student", result["student"]["name"]],
        *([["generator", _generator(facts.config)]] if needs.generator else []),
        ["data", f"{data['name']} ({data['source']})"],
        [
            "rows read by the student",
            f"{count(data.get('train_rows_read'))}, labels of {count(data.get('labels_read'))}",
        ],
        *([f"{kind} rows read", count(number)] for kind, number in _other_rows(data) if number),
        ["optimizer steps", steps],
        ["seed", str(result["seed"])],
        ["tokens per row", str(facts.saved.max_length)],
    ]
    return markdown_table(["", "value"], rows)


def _other_rows(data: Mapping[str, Any]) -> list[tuple[str, int | None]]:
    return [("out-of-domain", data.get("ood_rows_read")), ("generated", data.get("generated_rows_read"))]


def _generator(config: Mapping[str, Any]) -> str:
    section = config.get("generator") or {}
    return _hub_model(section) or f"{section.get('architecture', 'model')} ({section.get('name')})"


def _cost(card: CostCard) -> str:
    facts = "; ".join(f"{name}: {value}" for name, value in machine_facts(card))
    return f"{markdown_table(COLUMNS, cost_rows(card))}\n\nMeasured on a CPU: {facts}."


def _limits(facts: CardFacts) -> str:
    result, task = facts.result, facts.saved.task
    points = [
        f"The model answers one question, that of `{task.name}`; it was trained and scored on {result['data']['name']} "
        "only. On text of another origin its scores are unknown.",
        "It has the errors and the biases of its teacher and its data, and was not examined for them.",
        f"Texts of more than {facts.saved.max_length} tokens are cut.",
    ]
    if result["data"]["synthetic"]:
        points.insert(0, "It was trained on sentences of a grammar, as an example; it is of no use on real text.")
    if task.labels:
        points.append("Its probabilities were not calibrated.")
    return "\n".join(f"- {point}" for point in points)


def _reproduce(facts: CardFacts) -> str:
    """Command, versions and hashes; an older result may lack some of them."""
    origin: Mapping[str, Any] = facts.result.get("provenance") or {}
    names = ("python", "torch", "transformers")
    versions = [("kdrun", facts.result["kdrun"]), *((name, origin.get(name) or NOT_MEASURED) for name in names)]
    command, commit = origin.get("command"), origin.get("git")
    text = f"```\n{clean_command(command)}\n```\n\n" if command else ""
    text += ", ".join(f"{name} {version}" for name, version in versions)
    if commit:
        text += f"; kdrun at commit {commit}{' with changes' if origin.get('dirty') else ''}"
    hashes = [f"{name} {str(origin[key])[:16]}" for name, key in HASHES if origin.get(key)]
    return "; ".join([text, *hashes]) + "."


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; bars and line breaks of cells are escaped."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
