"""Causal language model as classifier: scores label words after a prompt."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from kdrun.config.prompt_template import PromptTemplate
from kdrun.config.task import TaskConfig
from kdrun.config.teacher import PromptedTeacherConfig, template_of
from kdrun.data.tokenization import TextTokenizer
from kdrun.errors import ModelError
from kdrun.formatting import shorten
from kdrun.models import label_alignment, padding, weights
from kdrun.models.answer_decoder import pad_left
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.hub_files import download, read_config, read_tokenizer
from kdrun.models.label_words import LabelWords, lay_out, tokens_after
from kdrun.models.parameters import model_fingerprint
from kdrun.models.text_limits import check_positions, check_vocabulary
from kdrun.storage.hashing import digest

TOLERANCE = 1e-4
"""Largest change of a logit, relative to the largest one, that a later token may cause in a causal model."""


class PromptedClassifier(PreTrainedModel):
    """Scores each class by the log-likelihood of its label word after a prompt, divided by a temperature.

        logit_c = (Σᵢ log P(wᵢ | prompt, w₍<ᵢ₎) − b_c) / T

    The sum runs over the tokens of the word of class c, without a correction for its length: of two words with equal
    log-likelihoods per token the shorter one scores higher. b_c is zero, or the same sum after the prompt of an empty
    text (calibration). A task with a score gets the mean of the numbers that its words name, weighted by their softmax.

    Words with one continuation, such as words of one token, need one pass per prompt, padded on the right, where a
    causal model does not look. With several continuations the prompt is read once into the model's cache, padded on the
    left, and the continuations are read behind it. Positions and results are those of a row alone.

    Args:
        language_model: the model.
        template: of the prompts.
        words: tokens of the label words.
        task: gives the classes.
        temperature: T.
        values: the numbers that words name, for a task with a score.

    Attributes:
        uses_cache: whether continuations are read behind the cached prompt, not with the prompt.
    """

    bias: Tensor
    config_class = PreTrainedConfig
    _supports_sdpa = True
    _supports_flash_attn = True

    def __init__(
        self,
        language_model: PreTrainedModel,
        template: PromptTemplate,
        words: LabelWords,
        task: TaskConfig,
        temperature: float,
        values: list[float] | None = None,
    ) -> None:
        config: PreTrainedConfig = copy.deepcopy(language_model.config)
        label_alignment.set_labels(config, task)
        super().__init__(config)
        self.language_model, self.template, self.words, self.temperature = language_model, template, words, temperature
        self._inputs = set(inspect.signature(language_model.forward).parameters)
        self._keeps_logits = "logits_to_keep" in self._inputs
        self.uses_cache = len(words.continuations) > 1 and {"past_key_values", "use_cache"} <= self._inputs
        self.register_buffer("bias", torch.zeros(len(words.tokens)), persistent=False)
        answer_values = None if values is None else torch.tensor(values)
        self.answer_values: Tensor | None
        self.register_buffer("answer_values", answer_values, persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **_: Any) -> Any:
        """Logits of the classes, [batch, classes] in float32; or the score, [batch, 1].

        Args:
            input_ids: prompts, padded on the right, [batch, length].
            attention_mask: 1 on tokens, [batch, length].
        """
        logits = (self.log_likelihoods(input_ids, attention_mask) - self.bias) / self.temperature
        if self.answer_values is not None:
            logits = logits.softmax(dim=-1) @ self.answer_values.unsqueeze(1)
        return SequenceClassifierOutput(logits=logits)  # pyright: ignore[reportArgumentType]

    def log_likelihoods(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Log-likelihood of each label word after each prompt, in nats, [batch, words]."""
        if self.uses_cache:
            steps = self._cached_steps(input_ids, attention_mask)
        else:
            lengths = attention_mask.sum(dim=1)
            steps = [self._next_tokens(input_ids, lengths, one) for one in self.words.continuations]
        scores = []
        for word, source in zip(self.words.tokens, self.words.sources, strict=True):
            ids = torch.tensor(word, device=input_ids.device)
            chosen = steps[source][:, torch.arange(len(word), device=ids.device), ids]
            scores.append(chosen.sum(dim=1))
        return torch.stack(scores, dim=1)

    def _cached_steps(self, input_ids: Tensor, attention_mask: Tensor) -> list[Tensor]:
        """As `_next_tokens` for each continuation, with one pass over the prompts."""
        ids, mask = pad_left(input_ids, attention_mask)
        lengths = mask.sum(dim=1, keepdim=True)
        only_last = {"logits_to_keep": 1} if self._keeps_logits else {}
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        prompt = self._read(ids, mask, positions, **only_last)
        first = prompt.logits[:, -1:].float().log_softmax(dim=-1)
        steps, caches = [], prompt.past_key_values
        for number, continuation in enumerate(self.words.continuations, 1):
            # reading changes the cache
            cache = caches if number == len(self.words.continuations) else copy.deepcopy(caches)
            words = torch.tensor(continuation, device=ids.device).expand(len(ids), -1)
            whole = torch.cat([mask, torch.ones_like(words)], dim=1)
            places = lengths + torch.arange(words.shape[1], device=ids.device)
            logits = self._read(words, whole, places, past_key_values=cache).logits
            steps.append(torch.cat([first, logits.float().log_softmax(dim=-1)], dim=1))
        return steps

    def _read(self, ids: Tensor, mask: Tensor, positions: Tensor, **more: Any) -> Any:
        """One pass that returns the model's cache; positions follow from the mask in models without such an input."""
        if "position_ids" in self._inputs:
            more["position_ids"] = positions
        return self.language_model(input_ids=ids, attention_mask=mask, use_cache=True, **more)

    @torch.no_grad()
    def check_cache(self) -> None:
        """Read words with the prompt if the model's cache gives other scores, as with a cache that ignores masks."""
        if not self.uses_cache:
            return
        device = self.bias.device
        ids = torch.arange(1, 17, device=device).reshape(2, 8) % int(self.config.get_text_config().vocab_size)
        mask = torch.ones_like(ids)
        mask[1, 5:] = 0
        cached = self.log_likelihoods(ids, mask)
        self.uses_cache = False
        plain = self.log_likelihoods(ids, mask)
        self.uses_cache = bool((cached - plain).abs().max() <= TOLERANCE * plain.abs().max())

    def _next_tokens(self, input_ids: Tensor, lengths: Tensor, continuation: tuple[int, ...]) -> Tensor:
        """Log-probabilities of the tokens after a prompt and after each token of a continuation.

        Returns:
            [batch, 1 + continuation length, vocabulary], float32.
        """
        rows, extra = torch.arange(len(input_ids), device=input_ids.device)[:, None], len(continuation)
        places = lengths[:, None] + torch.arange(extra, device=lengths.device)
        ids = torch.nn.functional.pad(input_ids, (0, extra))
        ids[rows, places] = torch.tensor(continuation, device=ids.device, dtype=ids.dtype)
        mask = (torch.arange(ids.shape[1], device=ids.device) < lengths[:, None] + extra).long()
        first, last = int(lengths.min()) - 1, int(lengths.max()) + extra
        if self._keeps_logits:
            kept = torch.arange(first, last, device=ids.device)
            logits = self.language_model(input_ids=ids, attention_mask=mask, logits_to_keep=kept).logits
        else:
            logits = self.language_model(input_ids=ids, attention_mask=mask).logits[:, first:last]
        wanted = lengths[:, None] - 1 - first + torch.arange(extra + 1, device=ids.device)
        return logits[rows, wanted].float().log_softmax(dim=-1)

    @torch.no_grad()
    def calibrate(self, input_ids: Tensor, attention_mask: Tensor) -> None:
        """Set b to the log-likelihoods after the prompt of an empty text."""
        self.bias = self.log_likelihoods(input_ids, attention_mask)[0]


def build(config: PromptedTeacherConfig, context: BuildContext) -> ModelBundle:
    """Load a causal language model from a folder or the hub, as a classifier by its label words.

    Raises:
        ModelError: the model cannot be loaded or is not causal, or the label words cannot be told apart.
    """
    if config.path:
        folder, where = Path(config.path).expanduser(), f"teacher.path={config.path}"
    else:
        folder, where = download(config.hub, config.revision, context.role), f"teacher.hub={config.hub}"
    task, model_config, tokenizer = context.task, read_config(folder, where), read_tokenizer(folder, where)
    check_vocabulary(model_config, tokenizer, where)
    template = template_of(config, task)
    assert template is not None  # validation requires one
    label_words = config.words_for(task)
    words = lay_out(tokens_after(template, label_words, tokenizer))
    check_positions(model_config, tokenizer, context.max_length + words.longest - 1, where)
    notes = padding.fit_padding_ids(model_config, tokenizer, where)
    model, info = weights.load_model(AutoModelForCausalLM, folder, where, model_config, context, "sdpa")
    weights.check_missing_weights(set(info["missing_keys"]) | weights.mismatched_weights(info), where)
    check_causal(
        model,
        where,
        "teacher=prompted needs a causal language model (GPT-2, Llama, Qwen, …); an encoder is teacher=pretrained",
    )
    values = [float(word) for word in label_words] if task.is_regression else None
    classifier = PromptedClassifier(model.eval(), template, words, task, config.temperature, values).eval()
    classifier.check_cache()
    if config.calibrate:
        empty = TextTokenizer(tokenizer, context.max_length, template).batch([("",) * len(task.text)])
        classifier.calibrate(**empty)
    name = config.hub.rpartition("/")[2] if not config.path else folder.resolve().name
    fingerprint = {
        "model": model_fingerprint(model, tokenizer),
        "template": template.text,
        "words": words.tokens,
        "values": values,
        "temperature": config.temperature,
        "calibrate": config.calibrate,
    }
    notes.append(_note(classifier, label_words))
    return ModelBundle(classifier, tokenizer, f"{name} (prompted)", digest(fingerprint), has_head=True, notes=notes)


def _note(classifier: PromptedClassifier, label_words: list[str]) -> str:
    listed = shorten(", ".join(label_words), 120)
    count = len(classifier.words.continuations)
    passes = "1 pass" if count == 1 else f"{count} passes"
    if classifier.uses_cache:
        passes = f"1 pass over the prompt and {count} over the words"
    return f"it scores the words {listed} after {classifier.template.text!r}, in {passes} per row"


@torch.no_grad()
def check_causal(model: PreTrainedModel, where: str, remedy: str) -> None:
    """Check on two texts that differ in their last token that no token sees a later one.

    Args:
        model: a language model.
        where: config key and folder, for messages.
        remedy: end of the message.

    Raises:
        ModelError: the model is not causal, such as a BERT that was loaded as a decoder.
    """
    config: Any = model.config
    size = int(config.get_text_config().vocab_size)
    ids = torch.arange(1, 9)[None] % size
    other = ids.clone()
    other[0, -1] = (ids[0, -1] + 1) % size
    mask = torch.ones_like(ids)
    before, after = (model.eval()(input_ids=one, attention_mask=mask).logits[0, :-1].float() for one in (ids, other))
    if float((before - after).abs().max()) > TOLERANCE * float(before.abs().max()):
        raise ModelError(f"{where}: {type(model).__name__} reads text in both directions, and {remedy}")
