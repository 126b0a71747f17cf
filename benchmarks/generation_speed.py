"""How quickly does an exported decoder generate text, beside others on the same weights?

    python benchmarks/generation_speed.py CHECKPOINT [--rivals PYTHON] [--llama-cpp PYTHON]
        [--precisions float32 …]

CHECKPOINT is a Hugging Face folder of a decoder, SmolLM2-135M for example. The interpreter of the
rivals has torch and transformers, the other one llama-cpp-python. Every side is a process of its
own that greedily puts 64 tokens behind prompts of 32; they take turns, in another order each round,
and the median of the ratios counts. Ours is the SavedModel in a V1 session without XLA, as
TensorFlow Serving runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from generation_rivals import Call, answer
from gguf_files import write_gguf

PROMPT, NEW = 32, 64  # tokens
WORDS = "The quick brown fox went down to the river, where an old man sat and told of the sea. "


def export(checkpoint: Path, folder: Path, precisions: list[str]) -> list[str]:
    """Writes a SavedModel in each precision; returns prompts of `PROMPT` tokens."""
    import keras
    import keras_hub
    from tokenizers import Tokenizer

    from textmill.models.decoder_serving_weights import decoder_serving_weights
    from textmill.prompt_frame import PromptFrame
    from textmill.serving.decoder import Decoder
    from textmill.serving.detokenizer import Detokenizer
    from textmill.serving.generation import Endings
    from textmill.serving.generator import write_generator
    from textmill.serving.graph_tokenizer import graph_tokenizer
    from textmill.serving.precision import PRECISIONS, precision_named
    from textmill.serving.prompts import Prompts

    config = json.loads((checkpoint / "config.json").read_text())
    keras.config.set_floatx("float32")
    backbone = keras_hub.models.Backbone.from_preset(str(checkpoint))
    weights = decoder_serving_weights(backbone, longest=config["max_position_embeddings"])
    weights = weights._replace(epsilon=config.get("rms_norm_eps", weights.epsilon))
    file = checkpoint / "tokenizer.json"
    end = config["eos_token_id"]
    for name in precisions:
        decoder = Decoder(weights, PRECISIONS[precision_named(name)])
        write_generator(
            folder / name,
            decoder=decoder,
            prompts=Prompts(graph_tokenizer(file), PromptFrame([], "", "", []), start=end),
            detokenizer=Detokenizer(file),
            endings=Endings((end,)),
        )
        size = sum(f.stat().st_size for f in (folder / name).rglob("*") if f.is_file())
        held = sum(v.dtype.size * v.shape.num_elements() for v in decoder.variables)
        print(f"{name}: {size / 1e6:.1f} MB, {size / held:.3f} of its parameters", flush=True)
    tokenizer = Tokenizer.from_file(str(file))
    words, prompts = (WORDS * 8).split(" "), []
    for row in range(8):
        ids = tokenizer.encode(" ".join(words[row:]), add_special_tokens=False).ids[:PROMPT]
        prompts.append(tokenizer.decode(ids))
    return prompts


def ours(folder: Path) -> Call:
    """Returns an exported model in a V1 session."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))
    import session
    import tensorflow as tf

    session.disable_xla()
    opened = tf.compat.v1.Session(graph=tf.Graph())
    with opened.graph.as_default():
        meta = tf.compat.v1.saved_model.load(opened, ["serve"], str(folder))

    def call(prompts: list[str], new: int) -> list[str]:
        numbers = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0}
        numbers |= {"min_new_tokens": new, "max_new_tokens": new, "seed": 1}
        inputs = {"prompt": prompts, **{name: [value] for name, value in numbers.items()}}
        request = {"signature": "generate", "inputs": inputs}
        found = opened.run(*session.asked(meta, request))
        assert all(found["tokens_generated"] == new)
        return [each.decode() for each in found["text"]]

    return call


class Side:
    """A process that generates text when it is asked."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env=os.environ | environment,
        )  # fmt: skip
        assert self.process.stdout
        self.said: Any = json.loads(self.process.stdout.readline() or "null")

    def ask(self, rows: int, new: int) -> float:
        """Returns the seconds of a call."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{rows} {new}\n")
        self.process.stdin.flush()
        return float(json.loads(self.process.stdout.readline()))


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--rivals", type=Path)
    parser.add_argument("--precisions", nargs="*", default=["float32", "bfloat16"])
    parser.add_argument("--llama-cpp", type=Path)
    parser.add_argument(
        "--kinds", nargs="*", default=["F32", "Q8_0"], help="of llama.cpp's weights"
    )
    parser.add_argument("--rows", nargs="*", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--answer", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.answer:
        prompts = json.loads((given.answer.parent / "job.json").read_text())["prompts"]
        answer(lambda: ours(given.answer), prompts)
        return
    import machine

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        prompts = export(given.checkpoint, folder, given.precisions)
        (folder / "job.json").write_text(json.dumps({"prompts": prompts}))
        sides: dict[str, Side] = {}
        here = Path(__file__)
        frozen = {"TF_ONEDNN_ASSUME_FROZEN_WEIGHTS": "1"}
        for name in given.precisions:
            command = [sys.executable, str(here), str(given.checkpoint), "--answer"]
            sides[name] = Side([*command, str(folder / name)], {})
            if name != "float32":
                sides[f"{name}, frozen"] = Side([*command, str(folder / name)], frozen)
        rival, job = str(here.with_name("generation_rivals.py")), str(folder / "job.json")
        for kind in given.kinds if given.llama_cpp else []:
            write_gguf(given.checkpoint, folder / f"{kind}.gguf", kind)
            name = f"llama.cpp:{kind}"
            sides[name] = Side([str(given.llama_cpp), rival, name, str(folder), job], {})
        if given.rivals:  # the last one, which the others are compared with
            name = "transformers:float32"
            sides[name] = Side([str(given.rivals), rival, name, str(given.checkpoint), job], {})
        for name, side in sides.items():
            print(f"{name}: {side.said}", flush=True)
        print(machine.describe())
        print(f"\n| rows | side | tokens/s | ÷ {list(sides)[-1]} | ms a token |")
        print("|---|---|---|---|---|")
        for rows in given.rows:
            times: dict[str, list[float]] = {name: [] for name in sides}
            short: dict[str, list[float]] = {name: [] for name in sides}
            for _ in range(given.rounds):
                for name in random.sample(list(sides), len(sides)):
                    short[name].append(sides[name].ask(rows, 2))
                    times[name].append(sides[name].ask(rows, NEW))
            last = times[list(sides)[-1]]
            for name in sides:
                ratio = statistics.median(b / a for a, b in zip(times[name], last, strict=True))
                speed = rows * NEW / statistics.median(times[name])
                apart = statistics.median(times[name]) - statistics.median(short[name])
                each = 1000 * apart / (NEW - 2)
                print(f"| {rows} | {name} | {speed:.1f} | {ratio:.2f} | {each:.1f} |", flush=True)
        for name in given.precisions:
            early, middle, late = (
                min(sides[name].ask(1, n) for _ in range(3)) for n in (10, 110, 500)
            )
            first, rest = (middle - early) / 100, (late - middle) / 390
            print(f"{name}: {1000 * first:.1f} ms a token from 10 on, {1000 * rest:.1f} up to 500")
        for side in sides.values():
            side.process.terminate()


if __name__ == "__main__":
    began = time.time()
    main()
