"""Relation distillation (MiniLMv2) from a teacher before its fine-tuning, on the corpus."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from kdrun.config.architectures import titles
from kdrun.config.model import PretrainConfig
from kdrun.errors import ModelError
from kdrun.models import families, padding, relations
from kdrun.models.bundle import BuildContext, ModelBundle
from kdrun.models.parameters import body_fingerprint
from kdrun.models.text_limits import check_positions
from kdrun.models.tokenizers import same_vocabulary

SETTING = "student.pretrain.objective=relations"


class RelationObjective:
    """Learn the relations of queries, keys and values in a layer of the teacher, which needs no label and no head.

    Args:
        config: layer, relation heads, steps and batch size.
        tokenizer: the student's.
        context: holds the teacher before its fine-tuning.
        student: sizes of the student.
        start: body whose weights the student starts from; None for random ones.

    Attributes:
        unit: unit of the mean loss, in words.
        term: name of the loss term.
        source: layer and relation heads, in words.
        teacher: the teacher's body, frozen.

    Raises:
        ModelError: teacher and student do not fit each other.
    """

    unit, term = "per token", "relations"

    def __init__(
        self,
        config: PretrainConfig,
        tokenizer: PreTrainedTokenizerBase,
        context: BuildContext,
        student: PreTrainedConfig,
        start: PreTrainedModel | None,
    ) -> None:
        bundle = _teacher(context, student, tokenizer, config.max_length)
        self.config, self.start, self.teacher = config, start, _body(bundle.model)
        assert isinstance(tokenizer.pad_token_id, int)
        self.pad = tokenizer.pad_token_id
        with torch.device("meta"):  # without weights, so that misfits are found before the corpus is read
            self._pair = self._paired(AutoModel.from_config(student))
        tuned = ", whose checkpoint was fine-tuned on this task already" if bundle.has_head else ""
        layer, heads = self._pair.layers[1], self._pair.heads
        self.source = f"relations of layer {layer} of {bundle.name} in {heads} relation heads{tuned}"

    def _paired(self, student: PreTrainedModel) -> relations.RelationPair:
        layer, heads = self.config.teacher_layer, self.config.relation_heads
        return relations.pair_layers(student, self.teacher, layer, heads, "student.pretrain")

    def settings(self, config: PretrainConfig) -> dict[str, Any]:
        """The settings of pretraining that matter, with the weights that it depends on; part of the cache key."""
        return {name: getattr(config, name) for name in ("steps", "batch_size", "max_length", "lr")} | {
            "objective": "relations",
            "teacher": body_fingerprint(self.teacher),
            "teacher_layer": self._pair.layers[1],
            "relation_heads": self._pair.heads,
            "start": None if self.start is None else body_fingerprint(self.start),
        }

    def new(self, settings: PreTrainedConfig) -> PreTrainedModel:
        """The student's body, with random weights or those it starts from."""
        model: PreTrainedModel = AutoModel.from_config(settings)
        if self.start is not None:
            model.load_state_dict(self.start.state_dict(), strict=False)  # a classifier's body may lack the pooler
        self._pair = self._paired(model)
        self._pair.check(model.eval(), self.teacher)
        return model

    def loss(self, model: PreTrainedModel, ids: Tensor, seed: int, phase: str, step: int) -> tuple[Tensor, int]:
        """Divergence of the relations of a batch: those of queries, of keys and of values together.

        Args:
            model: from `new`, on the teacher's device.
            ids: rows padded to one length, [batch, length], on the CPU.
            seed: unused, like the next two: nothing is random.
            phase: name of the random streams.
            step: number of the batch.

        Returns:
            The sum over the rows in nats, each a mean over its tokens, and the number of rows.
        """
        ids = ids.to(model.device)
        inputs = {"input_ids": ids, "attention_mask": ids.ne(self.pad).long()}
        divergences = self._pair.divergences((model, self.teacher), (inputs, inputs))
        return torch.stack(list(divergences.values())).sum(), len(ids)


def _teacher(
    context: BuildContext, student: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> ModelBundle:
    """The teacher, which reads what the student reads.

    Raises:
        ModelError: there is none, one of the two is a text-to-text model, or they read texts differently.
    """
    teacher = context.teacher
    if teacher is None:
        raise ModelError(f"{SETTING}, and there is no teacher; set student.pretrain.steps=0")
    for role, config in (("student", student), ("teacher", teacher.model.config)):
        if families.is_text_to_text(config):
            raise ModelError(
                f"{SETTING} compares layers of encoders, and the {role} is a text-to-text model; take a {titles()} "
                "model"
            )
    padding.check_states(teacher.model, "teacher", SETTING)
    if not same_vocabulary(tokenizer, teacher.tokenizer):
        raise ModelError(
            f"{SETTING} compares teacher and student token by token, and the vocabularies of the student "
            f"({len(tokenizer)} entries) and of the teacher ({teacher.name}, {len(teacher.tokenizer)} entries) differ; "
            "set student.tokenizer=teacher"
        )
    for role, config in (("student", student), ("teacher", teacher.model.config)):
        check_positions(config, tokenizer, max_length, f"the {role}", "student.pretrain.max_length")
    return teacher


def _body(model: PreTrainedModel) -> PreTrainedModel:
    body = model.base_model
    assert isinstance(body, PreTrainedModel)
    return body
