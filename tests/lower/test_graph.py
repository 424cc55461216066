import numpy as np
import onnx_ir as ir

from edgekd.lower.graph import (
    array,
    attribute,
    constant,
    insert_before,
    insert_behind,
    is_mark,
    is_op,
    producer,
    replace,
)


def test_constants_of_the_same_name_and_bytes_are_shared(graph):
    model = graph("float[2] x", "float[2] y", "y = Add(x, c)", c=np.float32([1, 2]))
    first = constant(model.graph, np.float32([3]), "k")
    assert constant(model.graph, np.float32([3]), "k") is first
    assert constant(model.graph, np.float32([4]), "k").name == "k_2"
    assert constant(model.graph, np.float64([3]), "k").name == "k_3"
    assert constant(model.graph, np.float32([4]), "k").name == "k_2"


def test_array_reads_constants_only(graph):
    model = graph("float[2] x", "float[2] y", "y = Add(x, c)", c=np.float32([1, 2]))
    x, c = model.graph.node(0).inputs
    assert array(x) is None
    assert array(None) is None
    assert array(c).tolist() == [1, 2]


def test_is_op_and_is_mark_respect_the_domain(graph):
    model = graph("float[2] x", "float[2] y", "r = Relu(x) y = edgekd.Relu<k=3>(r)")
    relu, mark = model.graph
    assert is_op(relu, "Conv", "Relu") and not is_mark(relu, "Relu")
    assert is_mark(mark, "Relu") and not is_op(mark, "Relu")
    assert not is_op(None, "Relu") and not is_mark(None)
    assert attribute(mark, "k") == 3
    assert attribute(relu, "k", 7) == 7


def test_producer_finds_the_operator_behind_an_input(graph):
    model = graph("float[2] x", "float[2] y", "r = Relu(x) y = Add(x, r)")
    relu, add = model.graph
    assert producer(add, 1, "Relu") is relu
    assert producer(add, 1, "Conv") is None
    assert producer(add, 0, "Relu") is None
    assert producer(add, 9, "Relu") is None
    assert producer(None, 0, "Relu") is None


def test_replace_keeps_name_and_type_of_a_graph_output(graph, evaluate):
    model = graph("float[2] x", "float[2] y", "r = Relu(x) y = Neg(r)")
    relu, neg = model.graph
    replace(neg, insert_before(neg, "Abs", [relu.outputs[0]]))
    (output,) = model.graph.outputs
    assert (output.name, output.dtype, list(output.shape)) == ("y", ir.DataType.FLOAT, [2])
    assert evaluate(model, x=np.float32([-1, 2]))["y"].tolist() == [0, 2]


def test_insert_behind_serves_every_reader_and_the_output(graph, evaluate):
    model = graph("float[2] x", "float[2] y, float[2] z", "y = Relu(x) z = Add(y, y)")
    insert_behind(model.graph.node(0).outputs[0], "Sub", [constant(model.graph, np.float32([1]), "one")])
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    result = evaluate(model, x=np.float32([-1, 5]))
    assert result["y"].tolist() == [-1, 4]
    assert result["z"].tolist() == [-2, 8]
