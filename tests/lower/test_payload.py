import numpy as np

from edgekd.lower.payload import Payload, payload


def test_payload_counts_codes_and_channels_of_quantized_layers(graph):
    """4 * 3 * 3 * 3 + 5 * 4 = 128 codes of 1 byte; 4 + 5 channels of 12 bytes; a float layer has none."""
    constants = {
        "w": np.ones((4, 3, 3, 3), np.int8),
        "ws": np.ones(4, np.float32),
        "v": np.ones((5, 4), np.int8),
        "vs": np.ones(5, np.float32),
        "u": np.ones((2, 5), np.float32),
    }
    body = (
        "a = DequantizeLinear<axis=0>(w, ws) c = Conv(x, a) f = Flatten(c) "
        "b = DequantizeLinear<axis=0>(v, vs) g = Gemm<transB=1>(f, b) y = Gemm<transB=1>(g, u)"
    )
    model = graph("float[N,3,3,3] x", "float[N,2] y", body, **constants)
    assert payload(model) == Payload(codes_bytes=128, channels=9)
    assert Payload(codes_bytes=128, channels=9).size_bytes == 236
