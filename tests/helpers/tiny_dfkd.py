"""DFKD-T3 on tiny models, for each type of generator and reader."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast, T5Config

from kdrun import losses
from kdrun.config.task import TaskConfig
from kdrun.data.batch import Batch
from kdrun.data.tokenization import TextTokenizer
from kdrun.generation.types import SharedVocabulary
from kdrun.methods.base import MethodContext
from kdrun.methods.dfkd_t3 import DFKDT3, DFKDT3Config, Mode
from kdrun.methods.phases import Turn
from kdrun.models.t5_label_scoring import T5LabelScorer
from tests.helpers.tiny_t5 import t5

LETTERS = [chr(ord("a") + i) for i in range(20)]
ENTRIES = [
    "[PAD]",
    "[CLS]",
    "[SEP]",
    "[UNK]",
    *LETTERS,
    "<extra_id_0>",
    "<extra_id_1>",
    "<extra_id_2>",
    "no",
    "yes",
    "no:",
    "yes:",
    "sst2",
    "mrpc",
]
VOCAB = len(ENTRIES)
OFF: dict[str, Any] = {
    "specificity_weight": 0,
    "class_balance_weight": 0,
    "token_diversity_weight": 0,
    "adversarial_weight": 0,
    "reference_kl_weight": 0,
}
STUDENT, GENERATOR = Turn("student"), Turn("generator")
SINGLE = TaskConfig(name="sst2", text=["sentence"], labels=["bad", "good"], prompts=["a b"], label_words=["no", "yes"])
PAIR = TaskConfig(
    name="mrpc", text=["one", "two"], labels=["bad", "good"], prompts=["a b", "c d"], label_words=["no", "yes"]
)
TEXTS = {1: [("c d e f g h",), ("i j k l m",), ("n o p q r s t a",)],
         2: [("c d e f", "g h i"), ("j k", "l m n"), ("o p q", "r s t a b")]}  # fmt: skip


def tokenizer(entries: list[str], frame: str) -> PreTrainedTokenizerFast:
    """Words in one space-separated text; framed as an encoder's rows (`[CLS] … [SEP]`) or a T5's (`… [SEP]`)."""
    backend = Tokenizer(models.WordLevel({entry: i for i, entry in enumerate(entries)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()  # pyright: ignore[reportAttributeAccessIssue]
    ids = [(token, entries.index(token)) for token in ("[CLS]", "[SEP]")]
    single = {"encoder": "[CLS] $A [SEP]", "t5": "$A [SEP]"}[frame]
    backend.post_processor = processors.TemplateProcessing(  # pyright: ignore[reportAttributeAccessIssue]
        single=single, pair=f"{single} $B [SEP]", special_tokens=ids
    )
    special = {"cls_token": "[CLS]"} if frame == "encoder" else {"eos_token": "[SEP]"}
    sentinels = [entry for entry in entries if entry.startswith("<extra")] if frame == "t5" else []
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", sep_token="[SEP]",
        extra_special_tokens=sentinels, model_input_names=["input_ids", "attention_mask"], **special,
    )  # fmt: skip


def bert(seed: int, entries: int = VOCAB) -> BertForSequenceClassification:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"vocab_size": entries, "pad_token_id": 0, "num_labels": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(**sizes))
    return larger(model, 8)


def text_to_text(seed: int, task: TaskConfig, text_tokenizer: PreTrainedTokenizerFast) -> T5LabelScorer:
    torch.manual_seed(seed)
    sizes: dict[str, Any] = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "dropout_rate": 0.0}
    sizes |= {"vocab_size": VOCAB, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 0}
    model = T5LabelScorer(T5Config(**sizes))
    model.configure_for_task(task, text_tokenizer)
    return larger(model, 3)


def larger(model: Any, times: float) -> Any:
    """Answers that differ clearly; frozen and without dropout, as out of its turn."""
    for p in model.parameters():
        p.data.mul_(times)
    return model.requires_grad_(False).eval()


def build_method(
    task: TaskConfig = SINGLE, teacher: str = "encoder", *, other_vocabulary: bool = False, **settings: Any
) -> DFKDT3:
    """The method, its generator's gradient on.

    Args:
        task: of one text or of two.
        teacher: `encoder`, or `t5`, which reads prompts; the student is an encoder.
        other_vocabulary: whether the readers have another vocabulary.
        **settings: of the method.
    """
    t5_words, encoder_words = tokenizer(ENTRIES, "t5"), tokenizer(ENTRIES, "encoder")
    if other_vocabulary:
        encoder_words = tokenizer(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *reversed(LETTERS)], "encoder")
    generator = t5(vocab=VOCAB)
    size = len(encoder_words)
    roles: dict[str, nn.Module] = {
        "generator": generator,
        "teacher": bert(1, size) if teacher == "encoder" else text_to_text(1, task, t5_words),
        "student": bert(2, size),
    }
    for name in ("teacher", "student"):
        roles[name].requires_grad_(False)
    generator.requires_grad_(True)
    prompts = task.prompts if teacher == "t5" else []
    readers = {
        "generator": TextTokenizer(t5_words, 32),
        "teacher": TextTokenizer(t5_words if teacher == "t5" else encoder_words, 32, prompts),
        "student": TextTokenizer(encoder_words, 32),
    }
    special = [i for i, entry in enumerate(ENTRIES) if entry.startswith(("[", "<"))]
    shared = None if other_vocabulary else SharedVocabulary(None, torch.tensor(special))
    parts = MethodContext(
        roles, task, losses.kl_divergence, losses.hard_loss(False), 1, torch.device("cpu"), shared, readers
    )
    return DFKDT3(DFKDT3Config(**settings), parts)


def batch(method: DFKDT3, step: int = 0, progress: float = 0.0) -> Batch:
    texts = TEXTS[len(method.context.task.text)]
    inputs = {role: reader.batch(texts) for role, reader in method.context.tokenizers.items()}
    with torch.no_grad():
        taught = method.roles["teacher"](**inputs["teacher"]).logits
    return Batch(torch.arange(len(texts)), inputs, None, taught, "train", step, progress)


def answers(method: DFKDT3, inputs: Mapping[str, dict[str, Tensor]]) -> tuple[Tensor, Tensor]:
    teacher, student = (method.roles[role](**inputs[role]).logits for role in ("teacher", "student"))
    return teacher, student


WAYS = [
    pytest.param({"mode": Mode.infill}, id="infill"),
    pytest.param({"mode": Mode.decode, "max_tokens": 6}, id="decode"),
]
