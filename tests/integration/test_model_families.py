"""Checkpoints of many families against plain transformers, row by row."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from kdrun import losses
from kdrun.data.batch import Batch
from kdrun.data.splits import Split
from kdrun.data.tokenization import TokenizedSplit, tokenize
from kdrun.errors import ModelError
from kdrun.methods.base import Method, MethodContext
from kdrun.methods.kd import KD, KDConfig
from kdrun.methods.kd_freelb import KDFreeLB, KDFreeLBConfig
from kdrun.methods.phases import Turn
from kdrun.models.bundle import ModelBundle
from kdrun.models.padding import check_embeddings
from kdrun.models.row_groups import grouping_of
from kdrun.tasks.predictor import Predictor
from tests.helpers.tiny_families import DECODERS, ENCODER_DECODERS, FAMILIES, save_checkpoint
from tests.helpers.tiny_models import MNLI, build_context, from_path

ROWS = [
    ("the cat sees the dog", "the dog follows the cat"),
    ("the teacher", "a horse"),
    ("the student remembers the river and the garden and the mountain", "the owner is happy"),
    ("cat", "the dog crosses the river, and the café's owner paints the mountain"),
]
GROUPED = {
    **dict.fromkeys(("convbert", "fnet", "mobilebert", "nystromformer", "xlnet", "yoso"), "length"),
    **dict.fromkeys(DECODERS, "length_of_embeddings"),
    **dict.fromkeys(ENCODER_DECODERS, "end_tokens"),
}
"""Families whose rows do not all fit into one pass, and which rows do."""
TAKES_NO_EMBEDDINGS = {*ENCODER_DECODERS, "ibert", "longformer"}
NO_FUSED_ATTENTION = {
    *("big_bird", "bloom", "convbert", "deberta", "deberta-v2", "flaubert", "fnet", "funnel", "gemma2", "gpt_neo"),
    *("gptj", "ibert", "longformer", "megatron-bert", "mpnet", "mvp", "nystromformer", "openai-gpt", "rembert"),
    *("roformer", "squeezebert", "xlm", "xlnet", "yoso"),
}


def split_of(bundle: ModelBundle, rows: Sequence[tuple[str, str]]) -> TokenizedSplit:
    first, second = zip(*rows, strict=True)
    table = pa.table({"text": list(first), "text_pair": list(second)})
    return tokenize(Split("rows", table, "rows", str(hash(tuple(rows)))), bundle.tokenizer, 64)


def probabilities(bundle: ModelBundle, rows: Sequence[tuple[str, str]], batch_size: int = 8) -> np.ndarray:
    logits = Predictor(Accelerator(cpu=True), batch_size).logits(bundle.model, split_of(bundle, rows), 3)
    return torch.from_numpy(logits).softmax(dim=-1).numpy()


def plain_probabilities(folder: Path, rows: Sequence[tuple[str, str]]) -> np.ndarray:
    """Probabilities by transformers alone, one row at a time and without padding."""
    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder).eval(), load_tokenizer(folder)
    with torch.no_grad():
        return np.stack(
            [model(**tokenizer(*row, return_tensors="pt")).logits.softmax(dim=-1)[0].numpy() for row in rows]
        )


def load_tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.usefixtures("run_env")
@pytest.mark.parametrize("model_type", sorted(FAMILIES))
def test_a_row_alone_and_in_a_padded_batch_has_the_output_of_transformers(model_type: str, tmp_path: Path) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model")
    bundle = from_path(folder, build_context("teacher", max_length=64))
    assert bundle.has_head
    together = probabilities(bundle, ROWS)
    assert np.ptp(together, axis=0).max() > 0.02, "the rows must differ"
    np.testing.assert_allclose(probabilities(bundle, ROWS, batch_size=1), together, rtol=0, atol=1e-5)
    np.testing.assert_allclose(together, plain_probabilities(folder, ROWS), rtol=0, atol=1e-5)
    assert grouping_of(bundle.model) == GROUPED.get(model_type)
    assert any("attention implementation eager" in note for note in bundle.notes) == (model_type in NO_FUSED_ATTENTION)
    assert any("padding changes the output" in note for note in bundle.notes) == (grouping_of(bundle.model) == "length")
    check_reading_of_embeddings(bundle, model_type)


def check_reading_of_embeddings(bundle: ModelBundle, model_type: str) -> None:
    """Without noise the first losses of kd_freelb equal those of kd; or embeddings are refused."""
    if model_type in TAKES_NO_EMBEDDINGS:
        with pytest.raises(ModelError, match=rf"method=kd_freelb .*the student, and {type(bundle.model).__name__}"):
            check_embeddings(bundle.model, bundle.tokenizer, "student", "kd_freelb")
    else:
        check_embeddings(bundle.model, bundle.tokenizer, "student", "kd_freelb")
        torch.testing.assert_close(
            first_loss(KDFreeLB, KDFreeLBConfig(passes=1, init_magnitude=0.0), bundle),
            first_loss(KD, KDConfig(), bundle),
            rtol=1e-4,
            atol=1e-5,
        )


def first_loss(method_class: type[Method], config: Any, bundle: ModelBundle) -> torch.Tensor:
    """Loss of a method on the rows, with random teacher logits."""
    inputs = split_of(bundle, ROWS).batch(np.arange(len(ROWS)))
    stream = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.arange(len(ROWS)),
        {"student": inputs},
        torch.tensor([0, 1, 2, 1]),
        torch.randn(len(ROWS), 3, generator=stream),
        "train",
    )
    device = torch.device("cpu")
    context = MethodContext({"student": bundle.model}, MNLI, losses.kl_divergence, losses.hard_loss(False), 1, device)
    return method_class(config, context).step(batch, Turn("student")).loss


@pytest.mark.parametrize(
    ("model_type", "sizes", "message"),
    [
        ("funnel", {"block_sizes": [1, 1, 1]}, "FunnelForSequenceClassification cannot classify short texts"),
        ("nystromformer", {"num_landmarks": 4}, "NystromformerForSequenceClassification cannot classify short texts"),
        ("reformer", {}, "ReformerForSequenceClassification gives two outputs for one text"),
    ],
)
def test_a_model_that_cannot_be_batched_is_refused(
    model_type: str, sizes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = save_checkpoint(model_type, tmp_path / "model", **sizes)
    with pytest.raises(ModelError, match=rf"teacher\.path=.*{message}"):
        from_path(folder, build_context("teacher", max_length=64))
