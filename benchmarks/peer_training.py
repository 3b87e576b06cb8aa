"""Distill a student with another library; a program of `benchmarks.peer_runs`, which gives the settings as JSON.

    python -m benchmarks.peer_training '{"library": "transformers", …}'

Does not import kdrun, whose import would count as the library's. Prints `step 40: dev accuracy 81.2 %` per evaluation.
"""

from __future__ import annotations

import csv
import importlib
import itertools
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from transformers import AutoModelForSequenceClassification, AutoTokenizer

WARMUP, WEIGHT_DECAY, MAX_NORM, HARD_WEIGHT = 0.1, 0.01, 1.0, 0.5
"""kdrun's defaults."""


@dataclass(frozen=True)
class Settings:
    """What every library trains.

    Attributes:
        library: transformers, textbrewer or torchdistill.
        rows: folder with `train.tsv` and `dev.tsv` of a GLUE task with one text.
        teacher: folder of the fine-tuned teacher.
        student: folder of the student before its training.
        steps: optimizer steps.
        eval_every: steps between two evaluations.
        batch_size: rows per step.
        lr: peak learning rate.
        temperature: of the distillation loss.
        max_length: most tokens per row.
        threads: threads of PyTorch.
        pads_to_maximum: whether `transformers` pads all rows to `max_length`, the default of its run_glue.py.
    """

    library: str
    rows: str
    teacher: str
    student: str
    steps: int
    eval_every: int
    batch_size: int
    lr: float
    temperature: float
    max_length: int
    threads: int
    pads_to_maximum: bool

    def learning_rate_factor(self, step: int) -> float:
        """Linear warm-up, then a straight line to zero."""
        warmup = round(WARMUP * self.steps)
        return step / warmup if step < warmup else (self.steps - step) / (self.steps - warmup)


class Rows(Dataset[Any]):
    """Tokenized rows of a split with their labels."""

    def __init__(self, settings: Settings, split: str) -> None:
        with Path(settings.rows, f"{split}.tsv").open(encoding="utf-8", newline="") as file:
            table = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        tokenizer = AutoTokenizer.from_pretrained(settings.teacher)
        texts = [row["sentence"] for row in table]
        self.ids = tokenizer(texts, truncation=True, max_length=settings.max_length)["input_ids"]
        self.labels, self.pad_id = [int(row["label"]) for row in table], tokenizer.pad_token_id

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[list[int], int]:
        return self.ids[row], self.labels[row]

    def collate(self, examples: list[Any]) -> dict[str, Tensor]:
        """A batch padded to its longest row."""
        return collate(examples, self.pad_id)


def collate(examples: list[Any], pad_id: int) -> dict[str, Tensor]:
    """A batch of (token ids, label, …), padded to its longest row."""
    width = max(len(ids) for ids, *_ in examples)
    ids = torch.tensor([ids + [pad_id] * (width - len(ids)) for ids, *_ in examples])
    labels = torch.tensor([label for _, label, *_ in examples])
    return {"input_ids": ids, "attention_mask": ids.ne(pad_id).long(), "labels": labels}


def forever(loader: Any) -> Iterator[Any]:
    """Iterate over the loader's batches without end."""
    return itertools.chain.from_iterable(loader for _ in itertools.count())


def report(step: int, accuracy: float) -> None:
    """Print a score."""
    print(f"step {step}: dev accuracy {100 * accuracy:.1f} %", flush=True)


def evaluator(settings: Settings) -> Callable[[torch.nn.Module, int], None]:
    """A function that scores a model on the dev rows, in the order of their file."""
    dev = Rows(settings, "dev")
    loader = DataLoader(dev, 128, collate_fn=dev.collate)

    def evaluate(model: torch.nn.Module, step: int) -> None:
        model.eval()
        with torch.inference_mode():
            batches = [(model(**b).logits.argmax(-1) == b["labels"]).float() for b in loader]
        model.train()
        report(step, float(torch.cat(batches).mean()))

    return evaluate


def load(folder: str) -> Any:
    """A model of a folder."""
    return AutoModelForSequenceClassification.from_pretrained(folder)


def with_transformers(settings: Settings) -> None:
    """Train as run_glue.py does, with a distillation loss in the Trainer."""
    import datasets
    from torch.nn.functional import cross_entropy, kl_div
    from transformers import (
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
        default_data_collator,
    )

    tokenizer, teacher = AutoTokenizer.from_pretrained(settings.teacher), load(settings.teacher).eval()
    files = {split: str(Path(settings.rows, f"{split}.tsv")) for split in ("train", "dev")}
    raw = datasets.load_dataset("csv", data_files=files, delimiter="\t", quoting=csv.QUOTE_NONE)
    padding = "max_length" if settings.pads_to_maximum else False

    def tokenize(examples: dict[str, Any]) -> Any:
        return tokenizer(examples["sentence"], padding=padding, max_length=settings.max_length, truncation=True)

    rows: Any = raw.map(tokenize, batched=True)
    temperature = settings.temperature

    class Distillation(Trainer):
        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            out = model(**inputs)
            with torch.no_grad():
                target = (teacher(**inputs).logits / temperature).softmax(-1)
            soft = kl_div((out.logits / temperature).log_softmax(-1), target, reduction="batchmean") * temperature**2
            hard = cross_entropy(out.logits, inputs["labels"])
            loss = HARD_WEIGHT * hard + (1 - HARD_WEIGHT) * soft
            return (loss, out) if return_outputs else loss

    class Report(TrainerCallback):
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
            report(state.global_step, metrics["eval_accuracy"])

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder,
            per_device_train_batch_size=settings.batch_size,
            per_device_eval_batch_size=128,
            learning_rate=settings.lr,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=MAX_NORM,
            max_steps=settings.steps,
            warmup_steps=round(WARMUP * settings.steps),
            eval_strategy="steps",
            eval_steps=settings.eval_every,
            save_strategy="steps",
            save_steps=settings.eval_every,
            save_total_limit=1,
            load_best_model_at_end=True,
            metric_for_best_model="accuracy",
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = Distillation(
            load(settings.student),
            arguments,
            default_data_collator if settings.pads_to_maximum else DataCollatorWithPadding(tokenizer),
            rows["train"],
            rows["dev"],
            compute_metrics=lambda p: {"accuracy": float((np.argmax(p.predictions, -1) == p.label_ids).mean())},
            callbacks=[Report()],
        )
        trainer.train()
        trainer.save_model()


def with_textbrewer(settings: Settings) -> None:
    """Train with TextBrewer's loop; it caches no logits where a number of steps is given."""
    from textbrewer import (  # pyright: ignore[reportMissingImports]
        DistillationConfig,
        GeneralDistiller,
        TrainingConfig,
    )

    train, evaluate = Rows(settings, "train"), evaluator(settings)
    student = load(settings.student)
    loader = DataLoader(train, settings.batch_size, sampler=RandomSampler(train), collate_fn=train.collate)

    def adapt(batch: Any, out: Any) -> dict[str, Any]:
        return {"logits": out.logits, "losses": out.loss}

    with tempfile.TemporaryDirectory() as folder:
        training = TrainingConfig(device="cpu", output_dir=folder, log_dir=folder, ckpt_steps=settings.eval_every)
        weights = DistillationConfig(
            temperature=settings.temperature, hard_label_weight=HARD_WEIGHT, kd_loss_weight=1 - HARD_WEIGHT
        )
        distiller = GeneralDistiller(training, weights, load(settings.teacher), student, adapt, adapt)
        optimizer = torch.optim.AdamW(student.parameters(), lr=settings.lr, weight_decay=WEIGHT_DECAY)
        with distiller:
            distiller.train(
                optimizer,
                loader,
                num_steps=settings.steps,
                scheduler_class=torch.optim.lr_scheduler.LambdaLR,
                scheduler_args={"lr_lambda": settings.learning_rate_factor},
                max_grad_norm=MAX_NORM,
                callback=evaluate,
            )


class NoImages(MetaPathFinder, Loader):
    """Replace torchvision, which torchdistill imports only for image models: every name is `nn.Module`."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find torchvision and its submodules."""
        return ModuleSpec(fullname, self, is_package=True) if fullname.split(".")[0] == "torchvision" else None

    def exec_module(self, module: ModuleType) -> None:
        """Define every requested name."""
        vars(module)["__getattr__"] = lambda name: torch.nn.Module


def torchdistill_box(
    rows: Dataset[Any], models: tuple[Any, Any], batch_size: int, lr: float, temperature: float, pad_id: int
) -> Any:
    """A box of torchdistill, which has its loader, forward pass and step.

    Args:
        rows: of (token ids, label).
        models: teacher and student.
        batch_size: rows per step.
        lr: learning rate.
        temperature: of the distillation loss.
        pad_id: padding token.
    """
    sys.meta_path.append(NoImages())
    for part in ("datasets", "models", "transforms"):  # torchdistill looks up their classes at import
        importlib.import_module(f"torchvision.{part}")
    from torchdistill.core.distillation import get_distillation_box  # pyright: ignore[reportMissingImports]
    from torchdistill.core.interfaces.registry import (  # pyright: ignore[reportMissingImports]
        register_forward_proc_func,
    )
    from torchdistill.datasets.registry import register_collate_func  # pyright: ignore[reportMissingImports]

    @register_collate_func
    def bench_collate(examples: list[Any]) -> tuple[dict[str, Tensor], Tensor, dict[str, Any]]:
        batch = collate(examples, pad_id)
        return batch, batch.pop("labels"), {}

    @register_forward_proc_func
    def bench_forward(network: Any, batch: dict[str, Tensor], *_: Any, **__: Any) -> Any:
        return network(**batch).logits

    del bench_collate, bench_forward
    loss = {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": ".", "student_module_io": "output",
            "teacher_module_path": ".", "teacher_module_io": "output",
            "temperature": temperature, "alpha": HARD_WEIGHT, "reduction": "batchmean",
        },
    }  # fmt: skip
    loader = {
        "dataset_id": "rows", "requires_supp": True, "sampler": {"class_or_func": RandomSampler},
        "collate_fn": "bench_collate", "kwargs": {"batch_size": batch_size},
    }  # fmt: skip
    optimizer = {"key": "AdamW", "kwargs": {"lr": lr, "weight_decay": WEIGHT_DECAY}, "max_grad_norm": MAX_NORM}
    config = {
        "num_epochs": 1,
        "train_data_loader": loader,
        "teacher": {"forward_proc": "bench_forward", "requires_grad": False},
        "student": {"forward_proc": "bench_forward", "requires_grad": True},
        "optimizer": optimizer,
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"criterion": loss, "weight": 1.0}}}},
    }
    box = get_distillation_box(*models, {"rows": rows}, config, torch.device("cpu"), None, False, 1.0)
    box.teacher_model.eval()
    box.student_model.train()
    return box


def with_torchdistill(settings: Settings) -> None:
    """Train with torchdistill's box."""
    train, evaluate = Rows(settings, "train"), evaluator(settings)
    models = load(settings.teacher), load(settings.student)
    box = torchdistill_box(train, models, settings.batch_size, settings.lr, settings.temperature, train.pad_id)
    batches = itertools.islice(forever(box.train_data_loader), settings.steps)
    for step, (batch, targets, extra) in enumerate(batches):
        for group in box.optimizer.param_groups:
            group["lr"] = settings.lr * settings.learning_rate_factor(step)
        box.post_forward_process(loss=box.forward_process(batch, targets=targets, supp_dict=extra))
        if (step + 1) % settings.eval_every == 0 or step + 1 == settings.steps:
            evaluate(box.student_model, step + 1)


LIBRARIES = {"transformers": with_transformers, "textbrewer": with_textbrewer, "torchdistill": with_torchdistill}


def main() -> None:
    """Train as the settings say."""
    settings = Settings(**json.loads(sys.argv[1]))
    torch.set_num_threads(settings.threads)
    torch.manual_seed(1)
    LIBRARIES[settings.library](settings)


if __name__ == "__main__":
    main()
