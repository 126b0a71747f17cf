"""A trained model that writes, put together as it is served: prompts in, texts out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textmill.artifact import Model
from textmill.components.cleaning import Cleaning
from textmill.components.cleaning_graph import clean_graph
from textmill.components.golden_texts import Trained
from textmill.components.trained_texts import trained_decoder, trained_encoder_decoder
from textmill.models import causal_lm, seq2seq
from textmill.models.causal_tokenizer import id_of
from textmill.models.decoder_serving_weights import decoder_serving_weights
from textmill.models.encoder_decoder_serving_weights import encoder_decoder_serving_weights
from textmill.models.tokenizer import read_tokenizer
from textmill.progress import advance
from textmill.prompt_frame import PromptFrame, stripped
from textmill.serving.decoder import Decoder
from textmill.serving.defaults import GREEDY, Defaults, decoded, most_new
from textmill.serving.detokenizer import Detokenizer
from textmill.serving.encoder_decoder import EncoderDecoder
from textmill.serving.endings import Endings, cut
from textmill.serving.generation import generate
from textmill.serving.generator import PROMPT, SOURCE
from textmill.serving.graph_tokenizer import graph_tokenizer
from textmill.serving.precision import PRECISIONS, Name
from textmill.serving.processors import Processors
from textmill.serving.prompts import Prompts, special_tokens

if TYPE_CHECKING:
    import tensorflow as tf
    from tokenizers import Tokenizer

SEQ2SEQ = "seq2seq"  # the task of models that read one text and write another
BATCH = 16  # prompts that are answered at once


@dataclass(frozen=True)
class Writer:
    """The parts of a model that writes.

    Attributes:
        decoder: What predicts the next token.
        prompts: Makes token ids of prompts.
        detokenizer: Makes text of token ids.
        endings: With what a text ends.
        processors: What is done to logits, whatever a request says.
        about: `task.json` of the model.
        tokenizer: What the model was trained with.
        trained: The model as Keras has it.
    """

    decoder: Decoder | EncoderDecoder
    prompts: Prompts
    detokenizer: Detokenizer
    endings: Endings
    processors: Processors
    about: dict[str, Any]
    tokenizer: Tokenizer
    trained: Trained

    @property
    def asks(self) -> str:
        """What it is given is called."""
        return SOURCE if isinstance(self.decoder, EncoderDecoder) else PROMPT

    @property
    def longest(self) -> int:
        """Tokens that it reads of what it is given, at most."""
        if isinstance(self.decoder, EncoderDecoder):
            return self.decoder.longest_source
        return self.decoder.longest

    @property
    def defaults(self) -> Defaults:
        """How it decodes where nobody says anything: as a checkpoint says, or else greedily."""
        alone = isinstance(self.decoder, EncoderDecoder)
        usual = GREEDY._replace(max_new_tokens=most_new(self.decoder.longest, alone=alone))
        found = usual._replace(**self.about.get("defaults", {}))
        return found._replace(max_new_tokens=max(found.max_new_tokens, found.min_new_tokens))

    def conversation(self, prompt: str) -> str:
        """Returns a prompt with what stands around it, special tokens as text."""
        frame = self.prompts.frame
        before, after = (
            self.tokenizer.decode(ids, skip_special_tokens=False)
            for ids in (frame.before, frame.after)
        )
        return before + frame.before_text + stripped(prompt, frame.strip) + frame.after_text + after

    def answers(self, prompts: Sequence[str], how: Defaults = GREEDY) -> list[str]:
        """Returns what the model puts behind each prompt.

        Args:
            prompts: Raw texts, as a client sends them.
            how: How all of them are decoded.
        """
        import tensorflow as tf

        kind = tf.TensorSpec([None], tf.string)
        texts = [text.encode() for text in prompts]
        return self._in_batches(texts, kind, tf.constant, self.prompts, how)

    def continued(self, prompts: Sequence[Sequence[int]], how: Defaults = GREEDY) -> list[str]:
        """Returns what the model puts behind tokens, such as those of a whole conversation.

        Args:
            prompts: Token ids, one at least in each, with all that stands around a prompt.
            how: How all of them are decoded.
        """
        import tensorflow as tf

        kind = tf.RaggedTensorSpec([None, None], tf.int32, 1, tf.int64)

        def packed(some: Sequence[Sequence[int]]) -> tf.RaggedTensor:
            return tf.ragged.constant(some, tf.int32, 1, row_splits_dtype=tf.int64)

        return self._in_batches(prompts, kind, packed, lambda ids: ids, how)

    def _in_batches(
        self,
        prompts: Sequence[Any],
        kind: Any,
        packed: Callable[[Sequence[Any]], Any],
        read: Callable[[Any], tf.RaggedTensor],
        how: Defaults,
    ) -> list[str]:
        """Returns what the model puts behind prompts.

        Args:
            prompts: Of any kind that has a length.
            kind: Of a batch of them.
            packed: Makes a batch.
            read: Makes token ids of it.
            how: How all of them are decoded.
        """
        import tensorflow as tf

        def written(some: Any) -> tf.Tensor:
            ids = read(some)
            found, _ = decoded(*self.decoder.begun(ids), how, self.endings, self.processors)
            return cut(self.detokenizer(found), self.endings)

        ask = tf.function(written, input_signature=[kind])
        # Prompts of about one length share a batch: it goes on until its last row has ended.
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found = [""] * len(prompts)
        for first in range(0, len(order), BATCH):
            advance(first, len(order), "writing")
            some = order[first : first + BATCH]
            texts = ask(packed([prompts[i] for i in some])).numpy()
            for i, text in zip(some, texts, strict=True):
                found[i] = text.decode()
        return found

    def drafts(self, prompts: Sequence[str], most: Sequence[int]) -> list[list[int]]:
        """Returns the likeliest tokens behind each prompt, one after the other.

        Args:
            prompts: Raw texts.
            most: How many tokens, of each.
        """
        import tensorflow as tf

        def drawn(some: tf.Tensor, most: tf.Tensor) -> tf.Tensor:
            wishes = GREEDY.rows(tf.size(some))._replace(max_new_tokens=most)
            ids = self.prompts(some)
            return generate(*self.decoder.begun(ids), wishes, self.endings, self.processors)[0]

        specs = [tf.TensorSpec([None], kind) for kind in (tf.string, tf.int32)]
        ask = tf.function(drawn, input_signature=specs)
        found: list[list[int]] = []
        for first in range(0, len(prompts), BATCH):
            some = slice(first, first + BATCH)
            texts = tf.constant([text.encode() for text in prompts[some]])
            found += ask(texts, tf.constant(most[some], tf.int32)).to_list()
        return found


def writer(model: Model, precision: Name = "float32", *, stop: tuple[str, ...] = ()) -> Writer:
    """Returns the parts of a model that writes, as they are served.

    Args:
        model: As `train_generation` or `train_seq2seq` leaves it.
        precision: In what numbers weights are kept and multiplied.
        stop: Strings with which a text ends, beside the tokens of the model.

    Raises:
        UserError: The model is of a kind that can't be served.
    """
    about, file, kind = model.task(), model.tokenizer_file, PRECISIONS[precision]
    tokenizer, detokenizer = read_tokenizer(file), Detokenizer(file)
    rules = Cleaning(**about["cleaning"])
    start = about.get("start", id_of(tokenizer, about["end"]))
    decoder: Decoder | EncoderDecoder
    if about["task"] == SEQ2SEQ:
        network, most_read = seq2seq.load(model.path), about["max_source_length"]
        pair = encoder_decoder_serving_weights(
            network.backbone, longest_source=most_read, longest=about["max_target_length"]
        )
        decoder = EncoderDecoder(pair, about["target_begin"], kind)
        trained = trained_encoder_decoder(network, tokenizer, about, start=start)
    else:
        network, most_read = causal_lm.load(model.path), None
        weights = decoder_serving_weights(network.backbone, longest=about["longest"])
        decoder = Decoder(weights, kind)
        trained = trained_decoder(network, tokenizer, about, decoder.longest, start=start)
    prompts = Prompts(
        graph_tokenizer(file),
        PromptFrame(**about["framing"]),
        start=start,
        # Only whole conversations have special tokens in them; BART's <mask> is one that takes
        # spaces along, which no graph does.
        special={} if about["task"] == SEQ2SEQ else special_tokens(file),
        clean=lambda texts: clean_graph(texts, rules),
        longest=most_read,
    )
    strings = tuple(dict.fromkeys([*about.get("stop_strings", ()), *stop]))
    endings = Endings(tuple(about["stop"]), strings, detokenizer.of_tokens if strings else ())
    processors = Processors(**about.get("processors", {}))
    return Writer(decoder, prompts, detokenizer, endings, processors, about, tokenizer, trained)
