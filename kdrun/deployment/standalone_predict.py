"""Classify a text: python predict.py TEXT [SECOND_TEXT]."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

FACTS = json.loads(Path(__file__).with_name("export.json").read_text(encoding="utf-8"))
TOKENIZER = Tokenizer.from_file(str(Path(__file__).with_name("tokenizer.json")))  # truncates and pads
TOKENIZER.encode_special_tokens = FACTS["split_special_tokens"]
SESSION = onnxruntime.InferenceSession(str(Path(__file__).with_name(FACTS["file"])), providers=["CPUExecutionProvider"])
FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


def predict(rows: list) -> list:
    """Probabilities by label, or the score, per row; a row is a text or a pair of texts."""
    encoded = TOKENIZER.encode_batch(rows)
    feed = {i.name: np.array([getattr(e, FIELDS[i.name]) for e in encoded], np.int64) for i in SESSION.get_inputs()}
    return [dict(zip(FACTS["labels"], row, strict=True)) for row in np.asarray(SESSION.run(None, feed)[-1]).tolist()]


if __name__ == "__main__":
    print(json.dumps(predict([tuple(sys.argv[1:]) if len(sys.argv) > 2 else sys.argv[1]])[0]))
