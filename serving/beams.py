"""Beam search: of each text several beginnings are kept, and the likeliest whole one is the answer.

Which ends are kept, how lengths are weighed and when a row is done is as in Hugging Face's
`generate(num_beams=…)`, so that sequences are the same.

Source: https://arxiv.org/abs/1409.3215, section 3.2;
https://huggingface.co/docs/transformers/generation_strategies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from textmill.serving.endings import Endings, ended, without_ends
from textmill.serving.generation import counted_too, heeded
from textmill.serving.processors import NONE, Processors
from textmill.serving.read import following
from textmill.serving.room import Room, room
from textmill.serving.sampling import Wishes
from textmill.serving.steps import begun, stepped

if TYPE_CHECKING:
    import tensorflow as tf

    from textmill.serving.read import Caches, Reader

NEVER = -1e9  # the log-probability of what must not be taken


class _Ends(NamedTuple):
    """The best whole texts of each row so far, the best first.

    Attributes:
        new: int32 [rows, beams, most], their tokens, -1 where there is none.
        score: float32 [rows, beams], log-probability by length; `NEVER` where there is no text.
        there: bool [rows, beams], where there is one.
    """

    new: tf.Tensor
    score: tf.Tensor
    there: tf.Tensor


class _State(NamedTuple):
    """How far the rows are.

    Attributes:
        step: int32 [], the place among new tokens of the last ones.
        token: int32 [rows * beams], the last of each beginning.
        line: int32 [rows * beams], the beginning one step ago that each goes on from.
        new: int32 [rows, beams, most], tokens of the beginnings, -1 where there is none yet.
        score: float32 [rows, beams], their log-probabilities, falling.
        tail: string [rows, beams], their last bytes.
        ends: What is whole.
        open: bool [rows], in which rows a beginning may become better than the ends.
    """

    step: tf.Tensor
    token: tf.Tensor
    line: tf.Tensor
    new: tf.Tensor
    score: tf.Tensor
    tail: tf.Tensor
    ends: _Ends
    open: tf.Tensor


def search(
    network: Reader,
    prompts: tf.RaggedTensor,
    wishes: Wishes,
    endings: Endings,
    *,
    beams: int,
    length_penalty: tf.Tensor,
    processors: Processors = NONE,
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Returns the likeliest of what may come behind prompts, as far as beams find it.

    Args:
        network: Predicts the next token, in the graph where this is called.
        prompts: int32 [rows, (tokens)], one at least in each; of long ones the end is read, see
            `room`.
        wishes: The repetition penalty and the numbers of tokens are heeded. Nothing is drawn.
        endings: With what a text ends.
        beams: Beginnings that are kept.
        length_penalty: float32 [rows]; the log-probability of a whole text is divided by its length
            to this power: the larger, the longer texts are.
        processors: What is done to log-probabilities, and when the search ends.

    Returns:
        As `textmill.serving.generation.generate`.
    """
    import tensorflow as tf

    wanted, wishes = wishes, wishes.behind(network.counted)
    held = room(prompts, wishes.max_new_tokens, network.longest)
    rows, most, slots = tf.size(held.lengths), held.widest, held.slots
    step_of = _Step(
        held, wishes, endings, beams, length_penalty, processors, counted=network.counted
    )
    logits, caches = begun(network, held, slots)
    lines = tf.stack([rows, beams])
    nothing = tf.fill(tf.stack([rows, beams, most]), -1)
    state = _State(
        tf.constant(-1),
        tf.zeros([rows * beams], tf.int32),
        tf.range(rows * beams),
        nothing,
        # All begin alike, so that at first one of them counts.
        tf.tile([[0.0] + [NEVER] * (beams - 1)], [rows, 1]),
        tf.fill(lines, ""),
        _Ends(nothing, tf.fill(lines, NEVER), tf.fill(lines, False)),
        held.most > 0,
    )
    state = step_of(state, tf.gather(logits, step_of.row))
    caches = network.picked(caches, rows, state.line // beams)

    def body(state: _State, caches: Caches) -> tuple[_State, Caches]:
        places = tf.minimum(step_of.held.lengths + state.step, slots - 1)
        x, caches = network(state.token, following(places, slots), caches)
        state = step_of(state, network.logits(x))
        return state, network.picked(caches, rows * beams, state.line)

    state = stepped(lambda state: state.open, body, state, caches)
    found = without_ends(state.ends.new[:, 0], endings)
    return counted_too(network, prompts, wanted, *found)


class _Step:
    """What happens to beginnings when logits are there.

    Attributes:
        row: int32 [rows * beams], of which row a beginning is.
        held: The prompt of each beginning, rows * beams of them.
    """

    def __init__(
        self,
        held: Room,
        wishes: Wishes,
        endings: Endings,
        beams: int,
        length_penalty: tf.Tensor,
        processors: Processors,
        *,
        counted: int,
    ) -> None:
        import tensorflow as tf

        self.row = tf.repeat(tf.range(tf.size(held.lengths)), beams)
        self.held = Room(*(tf.gather(each, self.row) for each in held))
        self._wishes = Wishes(*(tf.gather(each, self.row) for each in wishes))
        self._most, self._endings = held.most, endings
        self._beams, self._length_penalty = beams, length_penalty[:, None]
        self._processors, self._counted = processors, counted

    def __call__(self, before: _State, logits: tf.Tensor) -> _State:
        """Returns the state a token later.

        Args:
            before: The state.
            logits: float32 [rows * beams, vocabulary], behind each beginning.
        """
        import tensorflow as tf

        step, size, beams = before.step + 1, logits.shape[-1], self._beams
        rows, most = tf.shape(before.new)[0], tf.shape(before.new)[2]
        since = tf.reshape(before.new, tf.stack([-1, most]))
        likely = logits - tf.reduce_logsumexp(logits, -1, keepdims=True)
        likely = heeded(
            likely, since, step, self.held, self._wishes, self._endings, self._processors
        )
        if self._processors.renormalize_logits:
            likely -= tf.reduce_logsumexp(likely, -1, keepdims=True)
        likely += tf.reshape(before.score, [-1, 1])
        # As many as must be looked at to find `beams` that go on, should all others end.
        looked = beams * max(2, 1 + len(self._endings.tokens))
        score, place = tf.math.top_k(tf.reshape(likely, tf.stack([rows, beams * size])), looked)
        beam, token = place // size, place % size
        new = tf.where(
            tf.range(most) == step, token[..., None], tf.gather(before.new, beam, batch_dims=1)
        )
        tail = tf.gather(before.tail, beam, batch_dims=1)
        stopped, tail = ended(tf.reshape(tail, [-1]), tf.reshape(token, [-1]), self._endings)
        shape = tf.shape(token)
        stopped, tail = tf.reshape(stopped, shape), tf.reshape(tail, shape)
        full = step + 1 >= self._most
        stopped |= full[:, None]
        length = tf.pow(tf.cast(self._counted + step + 1, tf.float32), self._length_penalty)
        ends = self._better(before, new, score / length, stopped)
        score, kept = tf.math.top_k(tf.where(stopped, score + NEVER, score), beams)
        # All whole texts are there, and the best beginning is no better than the worst of them.
        worst = tf.where(ends.there, tf.reduce_min(ends.score, 1, keepdims=True), NEVER)
        reached = length
        if self._processors.early_stopping == "never":
            whole = tf.cast(self._counted + self._most[:, None], tf.float32)
            longer = tf.pow(whole, self._length_penalty)
            reached = tf.where(self._length_penalty > 0, longer, length)
        better = tf.reduce_any(score[:, :1] / reached > worst, 1)
        if self._processors.early_stopping is True:
            better &= ~tf.reduce_all(ends.there, 1)
        first = tf.range(rows)[:, None] * beams
        return _State(
            step,
            tf.reshape(tf.gather(token, kept, batch_dims=1), [-1]),
            tf.reshape(first + tf.gather(beam, kept, batch_dims=1), [-1]),
            tf.gather(new, kept, batch_dims=1),
            score,
            tf.gather(tail, kept, batch_dims=1),
            ends,
            before.open & better & ~full,
        )

    def _better(
        self, before: _State, new: tf.Tensor, score: tf.Tensor, stopped: tf.Tensor
    ) -> _Ends:
        """Returns the best whole texts, new ones among them.

        Args:
            before: The state until now.
            new: int32 [rows, looked at, most].
            score: float32 [rows, looked at].
            stopped: bool [rows, looked at].
        """
        import tensorflow as tf

        # Those behind the first ones are there to go on, not to end.
        there = stopped & (tf.range(tf.shape(score)[1]) < self._beams) & before.open[:, None]
        score = tf.where(there, score, NEVER)
        found = [
            tf.concat(both, 1) for both in zip(before.ends, _Ends(new, score, there), strict=True)
        ]
        _, kept = tf.math.top_k(found[1], self._beams)
        return _Ends(*(tf.gather(each, kept, batch_dims=1) for each in found))
