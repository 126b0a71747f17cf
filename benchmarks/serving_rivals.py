"""What others serve a classifier with, and how a side of `serving_speed.py` answers.

It is run by that script, in an environment that has torch, transformers and ONNX Runtime but not
Textmill: python benchmarks/serving_rivals.py SIDE FOLDER [BATCHES.json]
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Call = Callable[[list[str]], Any]  # from raw texts to scores, [texts, classes]


def answer(load: Callable[[], Call], batches: dict[str, list[str]]) -> None:
    """Reads "NAME CALLS" from standard input, a line a turn, and prints the seconds of each call.

    First it prints how long loading took and what comes of each batch. A turn begins with a call
    that does not count: it wakes the threads, and brings the weights into the caches.
    """
    began = time.perf_counter()
    call = load()
    loaded = time.perf_counter() - began
    scores = {name: [list(map(float, row)) for row in call(batches[name])] for name in batches}
    print(json.dumps({"loaded": loaded, "scores": scores}), flush=True)
    for line in sys.stdin:
        name, _, calls = line.rpartition(" ")
        texts, times = batches[name], []
        for _ in range(int(calls) + 1):
            began = time.perf_counter()
            call(texts)
            times.append(time.perf_counter() - began)
        print(json.dumps(times[1:]), flush=True)


def prepare(folder: Path) -> None:
    """Writes MiniLM with a random head: as a checkpoint, and as ONNX before and after fusion."""
    import torch
    from onnxruntime.transformers import optimizer
    from onnxruntime.transformers.fusion_options import FusionOptions
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    given = json.loads((folder / "given.json").read_text())
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        given["model"], num_labels=2, attn_implementation="eager"
    ).eval()
    torch.nn.init.normal_(model.classifier.weight, std=0.3)
    tokenizer = AutoTokenizer.from_pretrained(given["model"], model_max_length=512)
    for each in (model, tokenizer):
        each.save_pretrained(folder / "checkpoint")
    example = tokenizer(["a text", "and a longer one"], padding=True, return_tensors="pt")
    names = ["input_ids", "attention_mask", "token_type_ids"]  # in the order of `forward`
    torch.onnx.export(
        model,
        tuple(example[name] for name in names),
        str(folder / "plain.onnx"),
        input_names=names,
        output_names=["logits"],
        dynamic_axes={name: {0: "batch", 1: "time"} for name in names},
        opset_version=17,
        dynamo=False,
    )
    fused = optimizer.optimize_model(
        str(folder / "plain.onnx"),
        model_type="bert",
        num_heads=model.config.num_attention_heads,
        hidden_size=model.config.hidden_size,
        optimization_options=FusionOptions("bert"),
        opt_level=1,
    )
    fused.save_model_to_file(str(folder / "fused.onnx"))
    print(json.dumps(fused.get_fused_operator_statistics()))


def onnxruntime(folder: Path) -> Call:
    import onnxruntime as ort
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "checkpoint")
    session = ort.InferenceSession(folder / "fused.onnx", providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def call(texts: list[str]) -> Any:
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="np")
        (logits,) = session.run(["logits"], {name: given[name] for name in names})
        return _softmax(logits)

    return call


def _softmax(logits: Any) -> Any:
    import numpy as np

    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def torch_eager(folder: Path) -> Call:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "checkpoint")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "checkpoint").eval()

    @torch.inference_mode()
    def call(texts: list[str]) -> Any:
        given = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
        return model(**given).logits.softmax(-1).numpy()

    return call


SIDES = {"onnxruntime": onnxruntime, "torch": torch_eager}

if __name__ == "__main__":
    side, where = sys.argv[1], Path(sys.argv[2])
    if side == "prepare":
        prepare(where)
    else:
        answer(lambda: SIDES[side](where), json.loads((where / "batches.json").read_text()))
