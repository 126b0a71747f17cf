"""Export a model that writes as a SavedModel that answers texts with texts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from textmill.artifact import Examples, Model, Saved, write_json
from textmill.components.export import STRANGE
from textmill.components.golden_texts import golden_texts
from textmill.components.writer import SEQ2SEQ, writer
from textmill.models.chat import asked_first
from textmill.quiet import import_tensorflow
from textmill.serving import savedmodel
from textmill.serving.defaults import Defaults
from textmill.serving.generator import PROMPT, write_generator
from textmill.serving.heads import CONVERSATION
from textmill.serving.precision import Name
from textmill.serving.servers import oldest_server
from textmill.serving.signatures import WRITES, signatures_of
from textmill.serving.text_questions import Inputs
from textmill.serving.warmup import write_warmup

FORMAT = 1
ROWS = 12  # test rows among the golden ones
LONG = "a text of many words "  # again and again: more than a model reads,
LONGEST = 2048  # or this many tokens: Keras's layers need much memory for more
PART = 200  # characters of a document that are a prompt
WARM = 4  # tokens that a warmup request asks for
# By how much the log-probability of a token may differ from the trained model's, in nats.
TOLERANCES: dict[Name, float] = {
    "float32": 1e-3,
    "bfloat16_weights": 0.1,
    "bfloat16": 0.2,
    "int8_weights": 0.3,
}
KEPT = (
    *("task", "max_length", "max_source_length", "max_target_length", "cleaning", "begin", "end"),
    *("stop", "start", "framing", "target_begin", "chat_template", "processors"),
)


def export_generation(
    out: Saved,
    model: Model,
    examples: Examples | None = None,
    *,
    precision: Name = "float32",
    defaults: Defaults | None = None,
    stop: tuple[str, ...] = (),
) -> None:
    """Writes `model` to `out` as a SavedModel, with a manifest that says what it should answer.

    The graph holds the cleaning that the training texts went through, what stands around a prompt,
    tokenization, the network with its caches, the loop that decodes, and detokenization; its
    signatures are those of `textmill.serving.generator`. `assets.extra/manifest.json` is as
    `export` writes it; a golden row is a prompt with the likeliest tokens behind it, see
    `golden_texts`.

    Args:
        out: Where to write.
        model: What was trained.
        examples: Where prompts of golden rows come from, beside strange ones.
        precision: In what numbers weights are stored and multiplied; logits are float32 always.
        defaults: How texts are decoded where a request says nothing; None: as the model's own files
            say, or else by the likeliest tokens, as many as `most_new` says.
        stop: Strings with which a text ends, beside the tokens of the model.

    Raises:
        UserError: The model is of a kind that can't be served, or a default can't be.
    """
    import_tensorflow()
    import keras

    # As in `export`: one model must give the same bytes whatever this process did before.
    keras.utils.clear_session()
    made = writer(model, precision, stop=stop)
    about, asked = made.about, Inputs(made.asks)
    converses = "chat_template" in about
    defaults = defaults or made.defaults
    write_generator(
        out.path,
        decoder=made.decoder,
        prompts=made.prompts,
        detokenizer=made.detokenizer,
        endings=made.endings,
        processors=made.processors,
        defaults=defaults,
        converses=converses,
    )
    real = _prompts(examples, about)
    prompts = [*real, *STRANGE, LONG * (min(made.longest, LONGEST) // LONG.count(" "))]
    near = TOLERANCES[precision]
    golden = golden_texts(
        made.trained,
        prompts,
        made.drafts,
        endings=made.endings,
        processors=made.processors,
        certain=4 * near,  # both of two tokens may be off, and what stood before them
    )
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "kind": WRITES,
        **{key: about[key] for key in KEPT if key in about},
        "asks": made.asks,
        "stop_strings": list(made.endings.strings),
        "longest": made.decoder.longest,
        "defaults": defaults._asdict(),
        "made_from": {
            name: given.digest
            for name, given in {"model": model, "examples": examples}.items()
            if given
        },
        "versions": {name: version(name) for name in ("textmill", "keras", "tensorflow")},
        **savedmodel.describe(out.path),
        "precision": precision,
        "tolerance": near,
        "minimum_server": oldest_server(out.path),
        "server_flags": [],
        "real_rows": len(real),
        "golden": golden,
    }
    if converses:
        for row in golden:
            row[CONVERSATION] = made.conversation(row[PROMPT])
    write_json(out.path / "assets.extra" / "manifest.json", manifest)
    wanted = signatures_of(manifest)
    write_warmup(out.path, wanted, [_warm(row, asked) for row in golden], few=list(wanted))


def _prompts(examples: Examples | None, about: dict[str, Any]) -> list[str]:
    """Returns texts of all lengths to ask: beginnings of documents, what users said, sources."""
    if examples is None:
        return []
    texts: Sequence[str] = examples.texts("test")["text"].to_pylist()
    if "chat_template" in about:
        texts = [asked_first(text) for text in texts]
    elif about["task"] != SEQ2SEQ:
        texts = [text[:PART] for text in texts]
    found = sorted({text for text in texts if text}, key=lambda text: (len(text), text))
    last = len(found) - 1
    places = sorted({last * i // (ROWS - 1) for i in range(ROWS)}) if found else []
    return [found[i] for i in places]


def _warm(row: dict[str, Any], asked: Inputs) -> dict[str, Any]:
    """Returns what a client sends to all signatures for a golden row."""
    rows = [row | {"max_new_tokens": WARM}]
    given = asked.by_beams(rows) | asked.greedily(rows) | asked.answers(rows)
    if CONVERSATION in row:
        given |= asked.conversations(rows)
    return {name: values[0] for name, values in given.items()}
