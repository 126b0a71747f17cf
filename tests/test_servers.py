"""The table of operations agrees with TensorFlow itself, and with what is known of releases."""

from __future__ import annotations

import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2

from textmill.errors import UserError
from textmill.serving.servers import Need, minimum, needs, read_release, releases


def graph(**operations: dict[str, int]) -> graph_pb2.GraphDef:
    """A graph with a node of each operation, and attributes that are set."""
    made = graph_pb2.GraphDef()
    for name, attributes in operations.items():
        node = made.node.add(name=name.lower(), op=name.replace("__", ">"))
        for key, value in attributes.items():
            node.attr[key].i = value
    return made


def known(name: str, **attributes: int) -> dict[str, tuple[str, ...]]:
    return {need.name: need.releases for need in needs(graph(**{name: attributes}))}


def test_the_newest_release_has_the_operations_of_its_tensorflow() -> None:
    ours = tf.__version__.rpartition(".")[0]
    assert ours in releases()
    there = {op for op in dir(tf.raw_ops) if op[0].isupper()}
    lacking = {name for name in there if ours not in known(name)[name]}
    assert lacking == set()
    assert len(there) > 1300


def test_an_operation_and_an_attribute_have_the_releases_that_know_them() -> None:
    assert known("MatMul")["MatMul"] == tuple(releases())
    assert known("MatMul", grad_a=1)["MatMul.grad_a"][0] == "2.16"
    assert known("TFText__RoundRobinTrim")["TFText>RoundRobinTrim"] == ("2.20", "2.21")
    assert known("NoSuchOperation")["NoSuchOperation"] == ()
    assert known("TfLiteSubgraphExecute")["TfLiteSubgraphExecute"][-1] == "2.18"  # it was removed


def test_functions_of_the_graph_are_looked_into_and_are_no_operations() -> None:
    made = graph(mine={})
    function = made.library.function.add()
    function.signature.name = "mine"
    function.node_def.add(name="inside", op="DecodeWebP")
    assert [need.name for need in needs(made)] == ["DecodeWebP"]


def test_the_oldest_server_has_all_and_so_has_every_later_one() -> None:
    every = tuple(releases())
    assert minimum([Need("a", every)]) == every[0]
    assert minimum([Need("a", every), Need("b", every[3:])]) == every[3]
    assert minimum([Need("a", every[:5])]) is None  # gone since
    assert minimum([Need("a", ())]) is None


@pytest.mark.parametrize(("text", "release"), [("2.14", "2.14"), ("2.14.3", "2.14"), ("3.1", None)])
def test_a_version_stands_for_its_release(text: str, release: str | None) -> None:
    assert read_release(text) == (release or releases()[-1])


@pytest.mark.parametrize("text", ["2.11", "1.15.0", "latest", "2", "2.14-gpu"])
def test_what_can_not_be_checked_for_is_an_error(text: str) -> None:
    with pytest.raises(UserError, match="not a release"):
        read_release(text)
