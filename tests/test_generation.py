"""What a served decoder writes: the tokens of transformers, each row on its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import generating_models
from generating_models import KINDS, LONGEST, NEW, VOCABULARY, WARPS, WAYS
from textmill.serving import lookup
from textmill.serving.decoder import Decoder
from textmill.serving.endings import Endings, cut
from textmill.serving.precision import Name
from textmill.serving.room import room
from textmill.serving.sampling import drawn, draws
from textmill.serving.scoring import score
from writing import END, ROWS, decoder, wishes, written


@pytest.fixture(scope="module")
def llama(generating: Path) -> Decoder:
    return decoder(generating / "llama")


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_tokens_are_those_of_transformers(generating: Path, kind: str) -> None:
    golden = json.loads((generating / kind / "generated.json").read_text())
    model, ends = decoder(generating / kind), golden["ends"]
    for way, how in WAYS.items():
        found, count = written(model, ROWS, Endings(tuple(ends)), **how)
        wanted = golden[way]
        assert found == [[i for i in row if i not in ends] for row in wanted]
        assert count == list(map(len, wanted))
    assert golden["greedy"] != golden["late"] != golden["penalty"]


@pytest.mark.parametrize("kind", KINDS)
def test_guessing_what_comes_changes_no_token(generating: Path, kind: str) -> None:
    golden = json.loads((generating / kind / "generated.json").read_text())
    model, ends = decoder(generating / kind), golden["ends"]
    for way in ("greedy", "late"):
        for first in range(len(ROWS)):
            some = slice(first, first + lookup.ROWS)
            found, count = written(model, ROWS[some], Endings(tuple(ends)), **WAYS[way])
            assert found == [[i for i in row if i not in ends] for row in golden[way][some]]
            assert count == list(map(len, golden[way][some]))


def test_a_drawn_row_is_the_same_in_any_batch(llama: Decoder) -> None:
    numbers: dict[str, list[Any]] = {
        "temperature": [1.0, 0.0, 1.5, 0.8, 1.0],
        "top_k": [0, 0, 20, 0, 3],
        "top_p": [1.0, 1.0, 0.9, 0.7, 1.0],
        "repetition_penalty": [1.0, 1.2, 1.0, 1.1, 1.0],
        "max_new_tokens": [4, 30, 12, 0, 20],
        "seed": [1, 2, 3, 4, 5],
    }
    together, counts = written(llama, ROWS, **numbers)
    assert together[3] == []
    assert counts[3] == 0
    for i, row in enumerate(ROWS):
        alone = {name: values[i] for name, values in numbers.items()}
        assert written(llama, [row], **alone) == ([together[i]], [counts[i]])


def test_a_seed_says_what_is_drawn(llama: Decoder) -> None:
    rows = [ROWS[0]] * 4
    tf.random.set_seed(1)  # as a training does, in the process of an export
    found, _ = written(llama, rows, temperature=2.0, seed=[3, 3, 4, -1])
    tf.random.set_seed(1)
    again, _ = written(llama, rows, temperature=2.0, seed=[3, 3, 4, -1])
    assert found[0] == found[1] == again[0] != found[2]
    assert found[3] != again[3]


def test_tokens_are_drawn_as_often_as_transformers_would(generating: Path) -> None:
    wanted = np.array(json.loads((generating / "warped.json").read_text()))
    logits, count = tf.constant(generating_models.logits()), 2000
    heat, k, p = zip(*WARPS, strict=True)
    given = wishes(len(WARPS), temperature=list(heat), top_k=list(k), top_p=list(p))
    draw = tf.function(lambda chance: drawn(logits, given, tf.fill([len(WARPS)], chance)))
    found = np.stack([draw(tf.constant((i + 0.5) / count)).numpy() for i in range(count)], 1)
    for row, tokens in enumerate(found):
        # Evenly spaced chances hit each token as often as its share says, but for its ends.
        shares = np.bincount(tokens, minlength=logits.shape[1]) / count
        np.testing.assert_allclose(shares, wanted[row], atol=1.01 / count)


def test_chances_are_even_and_of_each_row_its_own() -> None:
    found = draws(tf.constant([1, 2, 1, -1]), 5000).numpy()
    np.testing.assert_array_equal(found[0], found[2])
    assert abs(np.corrcoef(found[[0, 1, 3]]) - np.eye(3)).max() < 0.06
    for row in found:
        counts, _ = np.histogram(row, 10, (0, 1))
        assert ((counts - 500) ** 2 / 500).sum() < 27.9  # chi-square of 9, one in a thousand


def test_a_string_ends_a_text_though_it_lies_across_tokens(llama: Decoder) -> None:
    letters = [bytes([97 + i % 26]) for i in range(VOCABULARY)]
    whole, _ = written(llama, ROWS)
    texts = [b"".join(letters[i] for i in row).decode() for row in whole]
    stop = texts[2][4:7]
    endings = Endings((END,), (stop, "."), letters)
    found, counts = written(llama, ROWS, endings)
    for row, text, count in zip(found, texts, counts, strict=True):
        place = text.find(stop)
        if place >= 0:
            assert count == place + len(stop)
            assert b"".join(letters[i] for i in row).decode() == text[:count]
        else:
            assert row == whole[found.index(row)]
    made = cut(tf.constant([*texts, f"a.{stop}", "é."]), endings).numpy()
    assert [m.decode() for m in made] == [t.split(stop)[0] for t in texts] + ["a", "é"]


def test_of_a_long_prompt_the_end_is_read(llama: Decoder) -> None:
    long = [i % 100 + 10 for i in range(200)]
    held = room(tf.ragged.constant([long, [5]]), tf.constant([10, 500]), LONGEST)
    assert held.lengths.numpy().tolist() == [54, 1]
    assert held.most.numpy().tolist() == [10, 63]
    assert held.token_ids.numpy()[0].tolist() == long[-54:]
    assert written(llama, [long], max_new_tokens=10) == written(
        llama, [long[-54:]], max_new_tokens=10
    )
    # Half of a row is left to the prompt, whatever is wished for.
    _, counts = written(llama, [long], max_new_tokens=60, min_new_tokens=60)
    assert counts == [32]


def test_continuations_are_as_likely_as_step_by_step(llama: Decoder) -> None:
    from textmill.serving.read import prompt

    after = [[4, 9], [11], [], [50, 51, 52], [6] * 70]
    found, count = score(
        llama.network(), tf.ragged.constant(ROWS), tf.ragged.constant(after, tf.int32)
    )
    assert count.numpy().tolist() == [2, 1, 0, 3, 63]
    for row, more, likely in zip(ROWS, after, found.numpy(), strict=True):
        whole = (row + more)[-LONGEST:]
        network = llama.network()
        slots = tf.constant(len(whole))
        flat, read = prompt(tf.constant([whole]), slots[None], slots)
        logits = network.logits(network(flat, read, network.caches(tf.constant(1), slots))[0])
        shares = tf.nn.log_softmax(logits).numpy()
        first = len(whole) - min(len(more), len(whole) - 1)
        wanted = sum(shares[i - 1, whole[i]] for i in range(first, len(whole)))
        np.testing.assert_allclose(likely, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16_weights", "bfloat16", "int8_weights"])
def test_fewer_bits_change_little(generating: Path, llama: Decoder, precision: Name) -> None:
    fewer = decoder(generating / "llama", precision)
    after = tf.ragged.constant([[4, 9, 8, 60]] * len(ROWS), tf.int32)
    exact, _ = score(llama.network(), tf.ragged.constant(ROWS), after)
    near, _ = score(fewer.network(), tf.ragged.constant(ROWS), after)
    np.testing.assert_allclose(near, exact, rtol=0.05, atol=0.3)
    assert abs(near - exact).numpy().max() > 1e-5
    assert written(fewer, ROWS)[0] == [written(fewer, [row])[0][0] for row in ROWS]


def test_tokens_are_drawn_by_their_shares(llama: Decoder) -> None:
    from textmill.serving.read import prompt

    count, heat = 3000, 1.5
    row = ROWS[0]
    found, _ = written(
        llama, [row] * count, Endings(()), temperature=heat, max_new_tokens=1,
        seed=list(range(count)),
    )  # fmt: skip
    network, slots = llama.network(), tf.constant(len(row))
    flat, read = prompt(tf.constant([row]), slots[None], slots)
    logits = network.logits(network(flat, read, network.caches(tf.constant(1), slots))[0])[-1]
    wanted = count * tf.nn.softmax(logits / heat).numpy()
    counts = np.bincount(np.ravel(found), minlength=VOCABULARY)
    often = wanted >= 5  # the others are one cell
    cells = np.append(counts[often], counts[~often].sum())
    shares = np.append(wanted[often], wanted[~often].sum())
    free = len(cells) - 1
    assert free > 20
    # Chi-square of many degrees is about normal: four deviations are one in thirty thousand.
    assert ((cells - shares) ** 2 / shares).sum() < free + 4 * np.sqrt(2 * free)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gpt2", "llama", "qwen2"])
def test_greedy_tokens_are_those_of_keras(generating: Path, kind: str) -> None:
    import keras_hub

    tasks = {"gpt2": "GPT2CausalLM", "llama": "LlamaCausalLM", "qwen2": "QwenCausalLM"}
    backbone = keras_hub.models.Backbone.from_preset(str(generating / kind))
    model = getattr(keras_hub.models, tasks[kind])(backbone=backbone, preprocessor=None)
    model.compile(sampler="greedy", jit_compile=False)
    longest = max(map(len, ROWS)) + NEW
    given = np.zeros((2, len(ROWS), longest), np.int32)
    for i, row in enumerate(ROWS):
        given[0, i, : len(row)], given[1, i, : len(row)] = row, 1
    made = model.generate({"token_ids": given[0], "padding_mask": given[1]}, stop_token_ids=None)[
        "token_ids"
    ]
    found, _ = written(decoder(generating / kind), ROWS, Endings(()))
    for row, ours, theirs in zip(ROWS, found, made, strict=True):
        assert ours == theirs[len(row) : len(row) + NEW].tolist()
