import numpy as np

from edgekd.lower.payload import LayerWeights, layer_weights


def test_layer_weights_counts_what_a_file_holds(graph):
    """A shared layer of 4 * 4 * 3 * 3 codes, -44..99, 4 channels in each use; a table of 3 for 5 * 4 indices.

    The indices are 0000 1000 2000 1000 0120; index 1 is the code 0.
    """
    constants = {
        "c_w": np.arange(-44, 100, dtype=np.int8).reshape(4, 4, 3, 3),
        "cs": np.ones(4, np.float32),
        "l_w": np.uint8([[[0]], [[1]], [[2]], [[1]], [[36]]]),
        "shifts": np.uint8([[0], [2], [4], [6]]),
        "masks": np.uint8([[3]]),
        "worth": np.uint8([[1]]),
        "rows": np.int64([5, 4]),
        "t": np.int8([-100, 0, 90]),
        "ls": np.ones(5, np.float32),
        "u": np.ones((2, 5), np.float32),
    }
    body = (
        "a = DequantizeLinear<axis=0>(c_w, cs) c = Conv(x, a) a2 = DequantizeLinear<axis=0>(c_w, cs) "
        'd = Conv(c, a2) f = Flatten(d) s = BitShift<direction="RIGHT">(l_w, shifts) '
        "m = BitwiseAnd(s, masks) i = MatMulInteger(m, worth) r = Reshape(i, rows) v = Gather(t, r) "
        "b = DequantizeLinear<axis=0>(v, ls) "
        "g = Gemm<transB=1>(f, b) y = Gemm<transB=1>(g, u)"
    )
    conv, linear = layer_weights(graph("float[N,4,5,5] x", "float[N,2] y", body, **constants))
    assert conv == LayerWeights(
        "c_w",
        weights=144,
        channels=8,
        bits=8,
        stored_bits=8,
        table_values=0,
        lowest=-44,
        highest=99,
        zeros=1,
    )
    assert linear == LayerWeights(
        "l_w", weights=20, channels=5, bits=2, stored_bits=2, table_values=3, lowest=-100, highest=90, zeros=3
    )
    assert (conv.size_bytes, conv.needed_bytes) == (144 + 12 * 8, 144 + 12 * 8)
    assert (linear.size_bytes, linear.needed_bytes) == (5 + 3 + 12 * 5, 5 + 12 * 5)
