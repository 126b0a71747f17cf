"""How quickly does an exported decoder generate text, beside others on the same weights?

    python benchmarks/generation_speed.py CHECKPOINT [--rivals PYTHON] [--llama-cpp PYTHON]
        [--precisions float32 …]

CHECKPOINT is a Hugging Face folder of a decoder, SmolLM2-135M for example. The interpreter of the
rivals has torch and transformers, the other one llama-cpp-python. Every side is a process of its
own that greedily puts 64 tokens behind prompts of 32; they take turns, in another order each round,
and the median of the ratios counts. A round of one row has another prompt than the one before.
Ours is the SavedModel in a V1 session without XLA, as TensorFlow Serving runs it.
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
PROSE = """
The ferry was late again, and by the time the last of the passengers had come ashore the cafe on the
pier had closed its shutters. Marta put down her bag and looked for someone who could tell her the

To keep bread fresh for longer, let it cool on a rack before you wrap it in a clean cotton cloth. Do
not put it into the fridge, because there the starch changes more quickly than it does

Photosynthesis happens in two stages. In the first one, pigments in the leaves of a plant take up
light and split molecules of water; in the second, the energy that was won serves to

Dear Mr. Okafor, thank you for your letter of the third of May, in which you ask if our workshop
could repair the clock of your grandmother. We would be glad to have a look at

When the city council voted to close the old swimming pool, nobody expected that two thousand people
would march through the centre on a rainy Tuesday. The organisers said that

A hash table stores pairs of keys and values. To find a value, the key is turned into a number by a
function, and this number says in which bucket one has to look. If two keys

The patient is a retired teacher of seventy-one who came to us with pain in her left shoulder. She
had fallen from a ladder three weeks earlier while picking cherries, and since then

Of all the instruments in the orchestra the oboe gives the note to which the others tune. One reason
is that its pitch is steady; another, older than most concert halls, is that it
"""
AGAIN = "The quick brown fox went down to the river, where an old man sat and told of the sea. "


def export(checkpoint: Path, folder: Path, precisions: list[str]) -> list[str]:
    """Writes a SavedModel in each precision.

    Returns prompts of `PROMPT` tokens: eight of prose, and eight that repeat themselves.
    """
    import keras
    import keras_hub
    from tokenizers import Tokenizer

    from textmill.models.decoder_serving_weights import decoder_serving_weights
    from textmill.prompt_frame import PromptFrame
    from textmill.serving.decoder import Decoder
    from textmill.serving.detokenizer import Detokenizer
    from textmill.serving.endings import Endings
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
    words = (AGAIN * 8).split(" ")
    prompts = []
    prose = PROSE.strip().replace("\n", " ").split("  ")
    for text in [*prose, *(" ".join(words[row:]) for row in range(8))]:
        ids = tokenizer.encode(text, add_special_tokens=False).ids[:PROMPT]
        assert len(ids) == PROMPT
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

    def ask(self, first: int, rows: int, new: int) -> float:
        """Returns the seconds of a call with so many prompts from the first on."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{first} {rows} {new}\n")
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
    parser.add_argument("--rounds", type=int, default=8)
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
        # The last one is what the others are compared with.
        for name in ("transformers:float32:lookup", "transformers:float32") if given.rivals else ():
            sides[name] = Side([str(given.rivals), rival, name, str(given.checkpoint), job], {})
        for name, side in sides.items():
            print(f"{name}: {side.said}", flush=True)
        print(machine.describe())
        print(f"\n| rows | side | tokens/s | ÷ {list(sides)[-1]} | ms a token |")
        print("|---|---|---|---|---|")
        for case, first, rows in (("1", 0, 1), ("1, repeating", 8, 1), ("8", 0, 8)):
            times: dict[str, list[float]] = {name: [] for name in sides}
            short: dict[str, list[float]] = {name: [] for name in sides}
            for turn in range(given.rounds):
                place = first + turn % 8 if rows == 1 else first
                for name in random.sample(list(sides), len(sides)):
                    short[name].append(sides[name].ask(place, rows, 2))
                    times[name].append(sides[name].ask(place, rows, NEW))
            last = times[list(sides)[-1]]
            for name in sides:
                ratio = statistics.median(b / a for a, b in zip(times[name], last, strict=True))
                speed = rows * NEW / statistics.median(times[name])
                apart = statistics.median(times[name]) - statistics.median(short[name])
                each = 1000 * apart / (NEW - 2)
                print(f"| {case} | {name} | {speed:.1f} | {ratio:.2f} | {each:.1f} |", flush=True)
        for name in given.precisions:
            # Of three rows nothing is guessed: each token takes a step.
            early, middle, late = (
                min(sides[name].ask(0, 3, n) for _ in range(3)) for n in (10, 110, 500)
            )
            before, rest = (middle - early) / 100, (late - middle) / 390
            print(f"{name}: {1000 * before:.1f} ms a step from 10 on, {1000 * rest:.1f} up to 500")
        for side in sides.values():
            side.process.terminate()


if __name__ == "__main__":
    began = time.time()
    main()
