"""Writes a decoder as a SavedModel that answers texts with texts and that any server loads."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from textmill.errors import UserError
from textmill.serving.decoder import Decoder
from textmill.serving.detokenizer import Detokenizer
from textmill.serving.generation import Endings, cut, generate
from textmill.serving.heads import PREDICT, Form
from textmill.serving.prompts import Prompts
from textmill.serving.sampling import Wishes
from textmill.serving.savedmodel import finish, read
from textmill.serving.scoring import score

if TYPE_CHECKING:
    import tensorflow as tf

DEFAULT, GENERATE, SCORE = "serving_default", "generate", "score"
PROMPT = "prompt"


class Defaults(NamedTuple):
    """How a row is decoded whose request says nothing; see `textmill.serving.sampling.Wishes`."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    min_new_tokens: int = 0
    max_new_tokens: int = 128
    seed: int = -1


GREEDY = Defaults()


def generator_forms(more: Collection[str] = ()) -> dict[str, Form]:
    """Returns the signatures of a model that generates text.

    Args:
        more: Which it has beyond those that every model has.

    Example:
        >>> list(generator_forms())
        ['serving_default', 'generate', 'score']
    """
    text = {PROMPT: "string [batch]"}
    answer = {"text": "string [batch]", "tokens_generated": "int32 [batch]"}
    wishes = {
        name: f"{'float32' if isinstance(value, float) else 'int32'} [batch]"
        for name, value in GREEDY._asdict().items()
    }
    likely = {"log_probability": "float32 [batch]", "tokens": "int32 [batch]"}
    return {
        DEFAULT: Form(PREDICT, text, answer),
        GENERATE: Form(PREDICT, text | wishes, answer),
        SCORE: Form(PREDICT, text | {"continuation": "string [batch]"}, likely),
    }


def write_generator(
    folder: Path,
    *,
    decoder: Decoder,
    prompts: Prompts,
    detokenizer: Detokenizer,
    endings: Endings,
    defaults: Defaults = GREEDY,
) -> None:
    """Writes a SavedModel with tokenizer, decoding and detokenizer inside and every weight once.

    Its signatures are those of `generator_forms`, the batch free in each.
    - `serving_default` decodes as `defaults` say.
    - `generate` takes a number a row for each of them, or one for all rows. The defaults are in the
      signature too, and servers that read them there fill in what a request leaves out.
    - `score` says how likely the model finds a continuation of a prompt; their tokens are made
      apart from each other.

    A prompt is cut at its beginning if it is too long; see `textmill.serving.generation.room`. A
    text ends with `max_new_tokens`, with a token or a string of `endings`, which it is without, or
    when a row is as long as can be. `tokens_generated` counts the token that ended it.

    Args:
        folder: Where to write; made if missing.
        decoder: The trained model.
        prompts: Makes its token ids.
        detokenizer: Makes text of them.
        endings: With what a text ends.
        defaults: How a row is decoded.

    Raises:
        UserError: A default can't be.
    """
    import tensorflow as tf

    check_defaults(defaults, longest=decoder.longest)
    text = tf.TensorSpec([None], tf.string, name=PROMPT)
    numbers = {
        name: tf.TensorSpec([None], tf.float32 if isinstance(value, float) else tf.int32, name)
        for name, value in defaults._asdict().items()
    }

    def answer(prompt: tf.Tensor, *wishes: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(prompt)
        each = _possible(Wishes(*(tf.broadcast_to(number, rows) for number in wishes)))
        found, drawn = generate(decoder.network(), prompts(prompt), each, endings)
        return {"text": cut(detokenizer(found), endings), "tokens_generated": drawn}

    # One function for both signatures, so that the graph holds the decoder once.
    answered = tf.function(answer, input_signature=[text, *numbers.values()], autograph=False)

    def by_default(prompt: tf.Tensor) -> dict[str, tf.Tensor]:
        found: dict[str, tf.Tensor] = answered(
            prompt,
            *(tf.constant([value], numbers[name].dtype) for name, value in _items(defaults)),
        )
        return found

    def by_wish(prompt: tf.Tensor, **wishes: tf.Tensor) -> dict[str, tf.Tensor]:
        found: dict[str, tf.Tensor] = answered(prompt, *(wishes[name] for name in numbers))
        return found

    def scored(prompt: tf.Tensor, continuation: tf.Tensor) -> dict[str, tf.Tensor]:
        found, tokens = score(decoder.network(), prompts(prompt), prompts.inside(continuation))
        return {"log_probability": found, "tokens": tokens}

    served = tf.Module(name="served")
    served.weights = list(decoder.variables)
    served.tables = dict(prompts.tokenizer.tables)
    after = tf.TensorSpec([None], tf.string, name="continuation")
    signatures = {
        DEFAULT: tf.function(by_default, input_signature=[text], autograph=False),
        GENERATE: tf.function(by_wish, autograph=False).get_concrete_function(text, **numbers),
        SCORE: tf.function(scored, input_signature=[text, after], autograph=False),
    }
    tf.saved_model.save(served, str(folder), signatures=signatures)
    methods = {name: form.method for name, form in generator_forms().items()}
    finish(folder, prompts.tokenizer.digest, methods)
    _tell_defaults(folder, defaults)


def check_defaults(defaults: Defaults, *, longest: int) -> None:
    """Refuses numbers that no text can be decoded with.

    Args:
        defaults: What is asked for.
        longest: How many tokens a row may hold.

    Raises:
        UserError: One of them lies outside of its range.
    """
    most = defaults.max_new_tokens
    for name, holds, expected in (
        ("temperature", defaults.temperature >= 0, "0 for the likeliest tokens, or more"),
        ("top_k", defaults.top_k >= 0, "0 for all tokens, or more"),
        ("top_p", 0 < defaults.top_p <= 1, "more than 0, and 1 at most"),
        ("repetition_penalty", defaults.repetition_penalty > 0, "more than 0; 1 for none"),
        ("max_new_tokens", 0 < most < longest, f"1 to {longest - 1}"),
        ("min_new_tokens", 0 <= defaults.min_new_tokens <= most, f"0 to {most}"),
    ):
        if not holds:
            value = getattr(defaults, name)
            raise UserError(
                f"{name} = {value} can't be",
                expected=expected,
                received=str(value),
                fix=f"set {name} to a number of that range",
            )


def _possible(wishes: Wishes) -> Wishes:
    """Returns what a client wishes for, each number brought into its range."""
    import tensorflow as tf

    penalty = wishes.repetition_penalty
    return wishes._replace(
        temperature=tf.maximum(wishes.temperature, 0.0),
        top_k=tf.maximum(wishes.top_k, 0),
        repetition_penalty=tf.where(penalty > 0, penalty, 1.0),
    )


def _items(defaults: Defaults) -> list[tuple[str, Any]]:
    return list(defaults._asdict().items())


def _tell_defaults(folder: Path, defaults: Defaults) -> None:
    """Writes into the signature `generate` what a request may leave out."""
    import tensorflow as tf

    saved = read(folder)
    (meta,) = saved.meta_graphs
    signature = meta.signature_def[GENERATE]
    for name, value in _items(defaults):
        kind = tf.as_dtype(signature.inputs[name].dtype)
        signature.defaults[name].CopyFrom(tf.make_tensor_proto([value], kind))
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString(deterministic=True))
