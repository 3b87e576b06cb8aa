"""Requirements of a method, compared with the config by validation."""

from __future__ import annotations

from dataclasses import dataclass

from kdrun import registry
from kdrun.config.schema import RunConfig


@dataclass(frozen=True)
class Requirements:
    """Requirements of a method; validation checks them before anything heavy loads."""

    teacher: bool = True
    """A teacher that has learned the task."""
    labels: bool = True
    """The gold labels of the training rows."""
    data_free: bool = False
    """The student learns from out-of-domain text and never sees training rows or labels of the task."""
    generator: bool = False
    """A model that generates text."""
    teacher_logits: bool = False
    """The teacher's logits on the unmodified training text; computed once and cached."""
    hidden_states: bool = False
    """Hidden states of teacher and student."""
    attentions: bool = False
    """Attention maps of teacher and student, which fused attention does not give."""
    attention_vectors: bool = False
    """Queries, keys and values of one layer of teacher and student, from separate projections."""
    paired_layers: bool = False
    """A student whose number of layers divides the teacher's: every r-th layer of the teacher has a counterpart."""
    domains: bool = False
    """Rows with domains: a task that has domains, under its by-domain protocol."""
    meta_teacher: bool = False
    """A meta-teacher, with its domain classifier and the rows' transferability."""
    row_gradients: bool = False
    """Gradients of the losses of single rows, with the student's weights replaced in a forward pass."""
    shared_vocabulary: bool = False
    """One vocabulary for all models: soft tokens pass between them, or they are compared token by token."""
    text_between: bool = False
    """A text-to-text generator and readers of any vocabulary: soft tokens with a shared vocabulary, else plain text."""
    embeddings: tuple[str, ...] = ()
    """The roles whose models are given embeddings instead of token ids; with `text_between` if they share a vocabulary.
    """
    regression: bool = True
    """Whether tasks with a score instead of classes are possible."""
    multi_label: bool = False
    """Whether tasks with any number of classes per row are possible: labels are then 0 or 1 per class."""
    extraction: bool = False
    """Whether tasks that are answered with a text are possible: logits and labels are then per token of the answer."""
    only_text: bool = False
    """Whether no other tasks than those that are answered with a text are possible."""
    unlabeled: bool = False
    """Whether rows without labels (`data.unlabelled`) can be mixed in: only `MethodContext.hard_loss` reads labels, and
    it is zero for such rows."""
    inputs: tuple[str, ...] = ("student",)
    """The roles whose model inputs a batch carries."""

    @property
    def compares_states(self) -> bool:
        """Whether the method compares states inside teacher and student."""
        return self.hidden_states or self.attentions or self.attention_vectors

    @property
    def uses_of_teacher_tokens(self) -> list[str]:
        """Uses of the teacher's own tokens and states, as sentences; empty if logits of texts suffice."""
        uses = {
            "it computes gradients through the teacher": "teacher" in self.embeddings and not self.text_between,
            "it compares hidden states": self.hidden_states,
            "it compares attention maps": self.attentions,
            "it compares queries, keys and values": self.attention_vectors,
            "its teacher is a meta-teacher": self.meta_teacher,
            "all models share one vocabulary": self.shared_vocabulary,
        }
        return [text for text, applies in uses.items() if applies]

    @property
    def uses_of_teacher_model(self) -> list[str]:
        """Uses of the teacher besides its logits on the training rows, as sentences; empty if these suffice."""
        uses = {
            "it computes gradients through the teacher": "teacher" in self.embeddings,
            "it compares hidden states": self.hidden_states,
            "it compares attention maps": self.attentions,
            "it compares queries, keys and values": self.attention_vectors,
            "its teacher is a meta-teacher": self.meta_teacher,
            "the teacher reads generated text": self.generator and "teacher" in self.inputs,
        }
        named = [text for text, applies in uses.items() if applies]
        return named or (["the teacher reads every batch"] if "teacher" in self.inputs else [])

    @property
    def obstacles_to_bag_of_words(self) -> list[str]:
        """Uses of parts of the student that a bag of words lacks, as sentences; empty if its logits suffice."""
        uses = {
            "it compares hidden states": self.hidden_states,
            "it compares attention maps": self.attentions,
            "it compares queries, keys and values": self.attention_vectors,
            "it gives the student embeddings instead of tokens": "student" in self.embeddings and not self.text_between,
            "it learns from answers in text": self.only_text,
        }
        return [text for text, applies in uses.items() if applies]

    def obstacles_to_sharding(self, role: str) -> list[str]:
        """Uses of a model besides its whole forward pass, which alone gathers divided weights, as sentences."""
        uses = {
            "it generates text, and the first process draws samples of it alone": self.generator,
            f"it computes with the word embeddings of the {role}": role in self.embeddings,
            "it trains a projection together with the student": role == "student" and self.hidden_states,
            "its loss reads queries, keys and values": role == "student" and self.attention_vectors,
            "its teacher is a meta-teacher with a classifier of domains": role == "teacher" and self.meta_teacher,
            "it computes gradients of single rows": role == "student" and self.row_gradients,
        }
        return [text for text, applies in uses.items() if applies]

    def obstacles_to_placement(self, *, passes_text: bool) -> list[str]:
        """Uses of a teacher besides its forward pass, which alone loads spread weights, as sentences.

        Args:
            passes_text: whether a generator passes text instead of soft tokens.
        """
        uses = {
            "it computes gradients through the teacher": "teacher" in self.embeddings and not passes_text,
            "its teacher is a meta-teacher, which kdrun trains": self.meta_teacher,
        }
        return [text for text, applies in uses.items() if applies]


def requirements_of(config: RunConfig) -> Requirements:
    """The requirements of the configured method."""
    return registry.get("method", config.method.name).target.requires
