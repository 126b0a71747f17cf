"""Writes a model as a SavedModel that answers texts with texts and that any server loads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from textmill.serving.asking import Asking
from textmill.serving.beams import search
from textmill.serving.decoder import Decoder
from textmill.serving.defaults import GREEDY, Defaults, check_defaults, kind_of
from textmill.serving.detokenizer import Detokenizer
from textmill.serving.encoder_decoder import EncoderDecoder
from textmill.serving.endings import Endings, cut
from textmill.serving.generation import generate
from textmill.serving.heads import BEAMS, CONVERSATION, PREDICT, Form
from textmill.serving.processors import NONE, Processors
from textmill.serving.prompts import Prompts
from textmill.serving.sampling import Wishes
from textmill.serving.savedmodel import finish, read
from textmill.serving.scoring import score

if TYPE_CHECKING:
    import tensorflow as tf

DEFAULT, GENERATE, SCORE = "serving_default", "generate", "score"
PROMPT, SOURCE = "prompt", "text"  # what a decoder goes on with, an encoder-decoder writes of
OF_BEAMS = ("repetition_penalty", "min_new_tokens", "max_new_tokens", "length_penalty")


def generator_forms(more: Collection[str] = (), *, asks: str = PROMPT) -> dict[str, Form]:
    """Returns the signatures of a model that generates text.

    Args:
        more: Which it has beyond those that every model has.
        asks: The name of what it is given: `PROMPT`, or of an encoder-decoder `SOURCE`.

    Example:
        >>> list(generator_forms())
        ['serving_default', 'generate', 'score']
        >>> list(generator_forms(["beams"])["beams"].inputs)[:3]
        ['prompt', 'repetition_penalty', 'min_new_tokens']
        >>> generator_forms(asks="text")["score"].inputs
        {'text': 'string [batch]', 'continuation': 'string [batch]'}
    """
    text = {asks: "string [batch]"}
    answer = {"text": "string [batch]", "tokens_generated": "int32 [batch]"}
    numbers = {name: f"{kind_of(value)} [batch]" for name, value in GREEDY._asdict().items()}
    wishes = {name: numbers[name] for name in GREEDY.wishes()}
    likely = {"log_probability": "float32 [batch]", "tokens": "int32 [batch]"}
    found = {
        DEFAULT: Form(PREDICT, text, answer),
        GENERATE: Form(PREDICT, text | wishes, answer),
        SCORE: Form(PREDICT, text | {"continuation": "string [batch]"}, likely),
    }
    if CONVERSATION in more:
        found[CONVERSATION] = Form(PREDICT, {CONVERSATION: "string [batch]"} | wishes, answer)
    if BEAMS in more:
        found[BEAMS] = Form(PREDICT, text | {name: numbers[name] for name in OF_BEAMS}, answer)
    return found


def write_generator(
    folder: Path,
    *,
    decoder: Decoder | EncoderDecoder,
    prompts: Prompts,
    detokenizer: Detokenizer,
    endings: Endings,
    processors: Processors = NONE,
    defaults: Defaults = GREEDY,
    converses: bool = False,
) -> None:
    """Writes a SavedModel with tokenizer, decoding and detokenizer inside and every weight once.

    Its signatures are those of `generator_forms`, the batch free in each.
    - `serving_default` decodes as `defaults` say.
    - `generate` takes a number a row for each of `Defaults.wishes`, or one for all rows, and writes
      a token after the other. The defaults are in the signature too, and servers that read them
      there fill in what a request leaves out.
    - `beams` is there if the defaults have beams, whose number is the model's own: it decodes as
      `serving_default` does then, and takes a number a row for what beam search heeds.
    - `conversation` is there if the model `converses`: it is `generate` for clients that render the
      model's chat template themselves, and so have more than one turn. Special tokens in what they
      send are those tokens, where in a prompt they are text.
    - `score` says how likely the model finds a continuation of a prompt; their tokens are made
      apart from each other.

    A prompt is cut at its beginning if it is too long; see `textmill.serving.generation.room`. What
    an encoder-decoder is given is called `text`, and cut at its end. A text ends with
    `max_new_tokens`, with a token or a string of `endings`, which it is without, or when a row is
    as long as can be. `tokens_generated` counts the token that ended it, and those of an
    encoder-decoder that are forced at its beginning.

    Args:
        folder: Where to write; made if missing.
        decoder: The trained model.
        prompts: Makes token ids of what it is given. For an encoder-decoder it knows how many may
            be read, lest what stands behind a source is cut off.
        detokenizer: Makes text of them.
        endings: With what a text ends.
        processors: What is done to logits, whatever a request says.
        defaults: How a row is decoded.
        converses: Whether there is a signature for whole conversations.

    Raises:
        UserError: A default can't be.
    """
    import tensorflow as tf

    check_defaults(defaults, longest=decoder.longest)
    asks = SOURCE if isinstance(decoder, EncoderDecoder) else PROMPT
    text = tf.TensorSpec([None], tf.string, name=asks)

    def texts(found: tf.RaggedTensor, drawn: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"text": cut(detokenizer(found), endings), "tokens_generated": drawn}

    def written(ids: tf.RaggedTensor, *wishes: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.cast(ids.nrows(), tf.int32)
        each = _possible(Wishes(*(tf.broadcast_to(number, [rows]) for number in wishes)))
        return texts(*generate(*decoder.begun(ids), each, endings, processors))

    def searched(ids: tf.RaggedTensor, *wishes: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.cast(ids.nrows(), tf.int32)
        given = dict(zip(OF_BEAMS, (tf.broadcast_to(w, [rows]) for w in wishes), strict=True))
        longer = given.pop("length_penalty")
        each = _possible(GREEDY.rows(rows)._replace(**given))
        found = search(
            *decoder.begun(ids),
            each,
            endings,
            beams=defaults.num_beams,
            length_penalty=longer,
            processors=processors,
        )
        return texts(*found)

    def scored(prompt: tf.Tensor, continuation: tf.Tensor) -> dict[str, tf.Tensor]:
        found, tokens = score(*decoder.begun(prompts(prompt)), prompts.inside(continuation))
        return {"log_probability": found, "tokens": tokens}

    served = tf.Module(name="served")
    served.weights = list(decoder.variables)
    served.tables = dict(prompts.tokenizer.tables)
    after = tf.TensorSpec([None], tf.string, name="continuation")
    signatures = {SCORE: tf.function(scored, input_signature=[text, after], autograph=False)}
    drawing = Asking(written, defaults.wishes())
    signatures[DEFAULT] = drawing.by_default(text, prompts)
    signatures[GENERATE] = drawing.by_wish(text, prompts)
    if converses:
        whole = tf.TensorSpec([None], tf.string, name=CONVERSATION)
        signatures[CONVERSATION] = drawing.by_wish(whole, prompts.conversation)
    if defaults.num_beams > 1:
        searching = Asking(searched, {name: getattr(defaults, name) for name in OF_BEAMS})
        signatures[DEFAULT] = searching.by_default(text, prompts)
        signatures[BEAMS] = searching.by_wish(text, prompts)
    tf.saved_model.save(served, str(folder), signatures=signatures)
    forms = generator_forms(signatures, asks=asks)
    finish(folder, prompts.tokenizer.digest, {name: form.method for name, form in forms.items()})
    _tell_defaults(folder, defaults)


def _possible(wishes: Wishes) -> Wishes:
    """Returns what a client wishes for, each number brought into its range."""
    import tensorflow as tf

    penalty = wishes.repetition_penalty
    return wishes._replace(
        temperature=tf.maximum(wishes.temperature, 0.0),
        top_k=tf.maximum(wishes.top_k, 0),
        repetition_penalty=tf.where(penalty > 0, penalty, 1.0),
    )


def _tell_defaults(folder: Path, defaults: Defaults) -> None:
    """Writes into the signatures what a request may leave out."""
    import tensorflow as tf

    saved = read(folder)
    (meta,) = saved.meta_graphs
    for signature in meta.signature_def.values():
        for name, value in defaults._asdict().items():
            if name in signature.inputs:
                kind = tf.as_dtype(signature.inputs[name].dtype)
                signature.defaults[name].CopyFrom(tf.make_tensor_proto([value], kind))
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))
