"""A decoder as a graph that serves: tokens in, logits out, what was read kept in caches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textmill.decoder_weights import DecoderBlock, DecoderWeights
from textmill.serving.cross_attention import CrossAttention, Memory
from textmill.serving.decoder_layers import activation, linear, norm, ordered
from textmill.serving.precision import FLOAT32, Precision, Reading, Store
from textmill.serving.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    import tensorflow as tf

    from textmill.decoder_weights import Array, Scale
    from textmill.serving.decoder_layers import Kept
    from textmill.serving.read import Caches, Read

    Angles = tuple[tf.Tensor, tf.Tensor] | None  # cosines and sines of places

TIMES = 512  # of prompts whose attention is in memory at once
EXACT = 64  # of the likeliest tokens, whose logits are computed anew where others are rounded


class Decoder:
    """From token ids to logits of the next token.

    Args:
        weights: Of the trained model.
        precision: In what numbers they are kept and multiplied; attention is float32 always.
        shared: What an encoder and a decoder share: where weights are kept, and embeddings of
            tokens. Who gives it closes the store.

    Attributes:
        variables: The weights, each once.
        longest: Tokens that a row may have.
    """

    def __init__(
        self,
        weights: DecoderWeights,
        precision: Precision = FLOAT32,
        *,
        shared: tuple[Store, Table] | None = None,
    ) -> None:
        self.longest, self.key_heads, self.turns = weights.longest, weights.key_heads, weights.turns
        self.waves, self.by = weights.waves, weights.by
        self.store = store = shared[0] if shared else Store(precision)
        tied = weights.logits is None
        self.tokens = shared[1] if shared else Table(store, weights.tokens, multiplied=tied)
        self.positions = None if weights.positions is None else Table(store, weights.positions)
        self.first_norm = _norm(store, weights.first_norm, weights.epsilon)
        self.blocks = [_Block(store, each, weights) for each in weights.blocks]
        self.size = self.blocks[0].size
        self.norm = _norm(store, weights.norm, weights.epsilon)
        self.last = self.tokens
        if weights.logits is not None:
            self.last = Table(store, weights.logits.T, multiplied=True)
        if not shared:
            store.close()
        self.variables = store.variables

    def network(self) -> Network:
        """Returns the decoder for the graph where this is called.

        Weights are made ready for products here; a loop that decodes goes around what comes back.
        """
        return Network(self)

    def begun(self, prompts: tf.RaggedTensor) -> tuple[Network, tf.RaggedTensor]:
        """Returns what goes on with prompts, and the tokens that it reads first: the prompts."""
        return self.network(), prompts


class Network:
    """A decoder, its weights tensors of one graph.

    A block adds the keys and values of what it reads to its cache, float32 [2 * rows * heads *
    slots, size], so that what was read once is not read again.

    Args:
        decoder: What it is.
        read: Its weights, where others of the graph read them too.
        memory: What an encoder made of sources, for a decoder that attends to some.
        counted: See `Reader`.

    Attributes:
        longest: Tokens that a row may have.
        guesses: See `Reader`.
        counted: As given.
    """

    def __init__(
        self,
        decoder: Decoder,
        read: Reading | None = None,
        memory: Memory | None = None,
        *,
        counted: int = 0,
    ) -> None:
        read = read or decoder.store.read()
        self.longest, self.counted = decoder.longest, counted
        self.guesses = memory is None  # what is made of a source repeats itself little
        self._decoder = decoder
        self._kind = decoder.store.precision.products
        self._tokens = decoder.tokens.look_up(read)
        positions = decoder.positions
        self._positions = None if positions is None else positions.look_up(read)
        self._first_norm = decoder.first_norm(read)
        self._blocks = [each.layer(read, memory) for each in decoder.blocks]
        self._norm = decoder.norm(read)
        self._exact, self._last = decoder.last.look_up(read), decoder.last.layer(read)

    def caches(self, rows: tf.Tensor, slots: tf.Tensor) -> Caches:
        """Returns empty caches for rows of at most so many tokens."""
        import tensorflow as tf

        shape = tf.stack([2 * rows * self._decoder.key_heads * slots, self._decoder.size])
        return [tf.zeros(shape) for _ in self._blocks]

    def picked(self, caches: Caches, rows: tf.Tensor, which: tf.Tensor) -> Caches:
        """Returns the caches of some rows; see `Reader`."""
        import tensorflow as tf

        shape = tf.stack([2, rows, -1])
        size = self._decoder.size
        return [
            tf.reshape(tf.gather(tf.reshape(cache, shape), which, axis=1), [-1, size])
            for cache in caches
        ]

    def __call__(
        self, token_ids: tf.Tensor, read: Read, caches: Caches
    ) -> tuple[tf.Tensor, Caches]:
        """Returns what the last block makes of tokens, and the caches with them.

        Args:
            token_ids: int32 [tokens].
            read: Where they are.
            caches: Of what was read before.

        Returns:
            float32 [tokens, width], normalized, and a cache for each block.
        """
        import tensorflow as tf

        x = self._tokens(token_ids)
        if self._decoder.by != 1:
            x *= self._decoder.by
        if self._positions is not None:
            x += self._positions(read.places)
        if self._decoder.waves is not None:
            x += _waves(read.places, self._decoder.waves)
        x = self._first_norm(x)
        angles = None
        if self._decoder.turns is not None:
            turned = tf.cast(read.places, tf.float32)[:, None, None] * self._decoder.turns
            cos, sin = tf.cos(turned), tf.sin(turned)
            angles = tf.concat([cos, cos], -1), tf.concat([-sin, sin], -1)
        kept: Caches = []
        for block, cache in zip(self._blocks, caches, strict=True):
            x, new = block(x, read, cache, angles)
            kept.append(new)
        return self._norm(x), kept

    def logits(self, x: tf.Tensor) -> tf.Tensor:
        """Returns the logits of the token behind each, float32 [tokens, vocabulary].

        Those of the likeliest tokens are exact to float32 in any precision of products: rounded to
        bfloat16, some would be equal.
        """
        import tensorflow as tf

        found = self._last(x)
        if self._kind == "float32":
            return found
        _, best = tf.math.top_k(found, min(EXACT, found.shape[-1]))
        rows = tf.reshape(self._exact(tf.reshape(best, [-1])), [-1, best.shape[-1], x.shape[-1]])
        exact = tf.linalg.matvec(rows, x)
        row = tf.broadcast_to(tf.range(tf.shape(best)[0])[:, None], tf.shape(best))
        return tf.tensor_scatter_nd_update(found, tf.stack([row, best], -1), exact)


class _Block:
    def __init__(self, store: Store, block: DecoderBlock, weights: DecoderWeights) -> None:
        self.heads, self.key_heads = weights.heads, weights.key_heads
        self.size = block.project.kernel.shape[1] // (self.heads + 2 * self.key_heads)
        self.norm_behind = weights.norm_behind
        self.cross = None
        if block.cross is not None:
            self.cross = CrossAttention(store, block.cross, weights)
        self.parts = (
            norm(store, block.attend_norm, weights.epsilon),
            linear(store, block.project),
            linear(store, block.attend),
            norm(store, block.feed_norm, weights.epsilon),
            linear(store, block.widen),
            linear(store, block.narrow),
        )
        self.activate = activation(weights.activation, gated=weights.gated)

    def layer(
        self, reading: Reading, memory: Memory | None = None
    ) -> Callable[[tf.Tensor, Read, tf.Tensor, Angles], tuple[tf.Tensor, tf.Tensor]]:
        """Returns what makes of tokens, float32 [tokens, width], the next, and fills the cache."""
        import tensorflow as tf

        attend_norm, project, attend, feed_norm, widen, narrow = (p(reading) for p in self.parts)
        before_attend, behind_attend = ordered(attend_norm, behind=self.norm_behind)
        before_feed, behind_feed = ordered(feed_norm, behind=self.norm_behind)
        cross = None
        if self.cross is not None and memory is not None:
            cross = self.cross.layer(reading, memory)
        turning = self.heads + self.key_heads
        shape = [-1, turning + self.key_heads, self.size]

        def block(
            x: tf.Tensor, read: Read, cache: tf.Tensor, angles: Angles
        ) -> tuple[tf.Tensor, tf.Tensor]:
            parts = tf.reshape(project(before_attend(x)), shape)
            turned, value = parts[:, :turning], parts[:, turning:]
            if angles is not None:
                turned = _turned(turned, angles)
            query, key = turned[:, : self.heads], turned[:, self.heads :]
            cache = self._written(cache, key, value, read)
            x = behind_attend(x + attend(self._found(query, cache, read)))
            if cross is not None:
                x = cross(x, read)
            return behind_feed(x + narrow(self.activate(widen(before_feed(x))))), cache

        return block

    def _written(self, cache: tf.Tensor, key: tf.Tensor, value: tf.Tensor, read: Read) -> tf.Tensor:
        """Returns the cache with the keys and values of tokens in their slots."""
        import tensorflow as tf

        rows, _, slots = tf.unstack(read.count)
        # A line of the cache is a slot of a head of a row, of the keys or of the values.
        row, slot = read.slots // slots, read.slots % slots
        head = tf.range(self.key_heads)
        first = (row[:, None] * self.key_heads + head) * slots + slot[:, None]
        lines = tf.stack([first, first + rows * self.key_heads * slots])
        lines, new = tf.reshape(lines, [-1]), tf.reshape(tf.stack([key, value]), [-1, self.size])
        if read.few:
            # `tensor_scatter_nd_update` copies the cache, for every token anew. Nobody else reads
            # what this writes over: all that did are among the inputs of the token.
            return tf.raw_ops.InplaceUpdate(x=cache, i=lines, v=new)
        # Not here: empty caches of all blocks may be one tensor.
        return tf.tensor_scatter_nd_update(cache, lines[:, None], new)

    def _found(self, query: tf.Tensor, cache: tf.Tensor, read: Read) -> tf.Tensor:
        """Returns what tokens attended to, [tokens, heads * size]."""
        import tensorflow as tf

        rows, time, slots = tf.unstack(read.count)
        both = tf.reshape(cache, tf.stack([2, rows, self.key_heads, slots, self.size]))
        group = self.heads // self.key_heads
        inner = [self.key_heads, group, self.size]
        query *= self.size**-0.5
        if read.few:
            # Keys come first, so that none has to be turned round; and the softmax is parted, for
            # as one operation it wakes threads, which takes longer than this does.
            hidden = read.hidden
            if read.few > 1:
                query = _swapped(query, read.few, self.key_heads, group * self.size)
                hidden = tf.repeat(hidden, group, -1)
            query = tf.reshape(query, [-1, self.key_heads, read.few * group, self.size])
            scores = tf.matmul(both[0], query, transpose_b=True) + hidden
            shares = tf.exp(scores - tf.reduce_max(scores, -2, keepdims=True))
            shares /= tf.reduce_sum(shares, -2, keepdims=True)
            found = tf.matmul(shares, both[1], transpose_a=True)
            if read.few > 1:
                found = _swapped(found, self.key_heads, read.few, group * self.size)
            return tf.reshape(found, [-1, self.heads * self.size])
        query = tf.reshape(tf.gather(query, read.spread), tf.stack([rows, time, *inner]))
        query = tf.transpose(query, [1, 0, 2, 3, 4])

        def part(first: tf.Tensor, end: tf.Tensor) -> tf.Tensor:
            """Returns what tokens at some times attended to, [times, rows, heads * size]."""
            some = tf.transpose(query[first:end], [1, 2, 3, 0, 4])
            count = tf.shape(some)[3]
            flat = tf.stack([rows, self.key_heads, group * count, self.size])
            scores = tf.matmul(tf.reshape(some, flat), both[0], transpose_b=True)
            # Of a source all times see the same.
            alike = read.hidden.shape[2] == 1
            hidden = read.hidden if alike else read.hidden[:, :, first:end]
            shares = tf.nn.softmax(scores + tf.tile(hidden, [1, 1, 1 if alike else group, 1]))
            found = tf.reshape(tf.matmul(shares, both[1]), tf.shape(some))
            found = tf.transpose(found, [3, 0, 1, 2, 4])
            return tf.reshape(found, tf.stack([count, rows, self.heads * self.size]))

        def in_parts() -> tf.Tensor:
            parts = (time + TIMES - 1) // TIMES
            shape = [None, None, self.heads * self.size]
            room = tf.TensorArray(tf.float32, parts, infer_shape=False, element_shape=shape)

            def step(i: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
                return i + 1, found.write(i, part(i * TIMES, tf.minimum((i + 1) * TIMES, time)))

            _, found = tf.while_loop(lambda i, _: i < parts, step, (tf.constant(0), room))
            return found.concat()

        found = tf.cond(time > TIMES, in_parts, lambda: part(tf.constant(0), time))
        found = tf.reshape(tf.transpose(found, [1, 0, 2]), [-1, self.heads * self.size])
        return tf.gather(found, read.joined)


def _norm(store: Store, weights: Scale | None, epsilon: float) -> Kept:
    """Returns a norm, or what changes nothing."""
    if weights is None:
        return lambda read: lambda x: x
    return norm(store, weights, epsilon)


def _swapped(x: tf.Tensor, outer: int, inner: int, size: int) -> tf.Tensor:
    """Returns what lies as [any, outer, inner, size] as [any, inner, outer, size].

    A transpose of oneDNN would wake threads, which takes longer than this does.
    """
    import tensorflow as tf

    return tf.stack(tf.unstack(tf.reshape(x, [-1, outer, inner, size]), axis=1), axis=2)


def _waves(places: tf.Tensor, waves: Array) -> tf.Tensor:
    """Returns what tells places, int32 [tokens] to float32 [tokens, width]."""
    import tensorflow as tf

    angles = tf.cast(places, tf.float32)[:, None] * waves
    return tf.where(tf.range(len(waves)) % 2 == 0, tf.sin(angles), tf.cos(angles))


def _turned(x: tf.Tensor, angles: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Turns pairs of numbers: [tokens, heads, size] to the same.

    Args:
        x: Of pairs i and i + size / 2.
        angles: Cosines, and sines that are negative in the first half, [tokens, 1, size].
    """
    import tensorflow as tf

    cos, sin = angles
    left, right = tf.split(x, 2, -1)
    return x * cos + tf.concat([right, left], -1) * sin
