import pytest

from edgekd.errors import SchemeError
from edgekd.quant.lsq import LsqSpec
from edgekd.quant.pact import PactSpec
from edgekd.quant.scheme import QuantScheme
from edgekd.quant.twn import TwnSpec


@pytest.mark.parametrize("name", ["first_layer_bits", "last_layer_bits", "residual_bits"])
@pytest.mark.parametrize("bits", [-1, 0, 1, 9, 16])
def test_scheme_refuses_bits_that_int8_does_not_hold(name: str, bits: int) -> None:
    with pytest.raises(SchemeError, match=f"codes of {bits} bits") as caught:
        QuantScheme(**{name: bits})
    assert caught.value.where == f"scheme.{name}"
    assert caught.value.fix == "use 2 to 8"


def test_scheme_refuses_a_kind_where_it_cannot_stand() -> None:
    with pytest.raises(SchemeError) as caught:
        QuantScheme(weights=PactSpec())
    assert caught.value.where == "scheme.weights"
    with pytest.raises(SchemeError) as caught:
        QuantScheme(activations=TwnSpec())
    assert caught.value.where == "scheme.activations"


def test_weights_keep_their_kind_at_other_bits_if_it_has_them() -> None:
    assert QuantScheme(weights=LsqSpec(bits=3)).weights_at(8) == LsqSpec(bits=8)
    assert QuantScheme(weights=TwnSpec()).weights_at(8) == LsqSpec(bits=8)
    assert QuantScheme(weights=TwnSpec()).weights_at(2) == TwnSpec()
