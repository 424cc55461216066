"""Students as Brevitas and torchao train them, for `benchmarks.train_step`.

Both quantize what convolutions and the linear layer read, and their weights, per output channel; edgekd also
the operands and the result of residual additions. The row counts each library's quantizers.
First and last layer have 8 bits, as edgekd's have.

Brevitas: QuantConv2d and QuantLinear with trained scales that start from statistics of the first batch.
torchao: its QAT for eager networks (``torchao.quantization.qat``) knows Linear and Embedding only.
Convolutions have the export path, ``prepare_qat_pt2e`` with the quantizer for x86, whose ranges come from
moving averages (no trained scale) and whose codes are narrowed here to the bits asked for.
"""

import importlib
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from edgekd.errors import RuntimeMissing

EDGE_BITS = 8
"""Of first and last layer."""


def brevitas_student(network: nn.Module, images: Tensor, bits: int) -> tuple[nn.Module, int]:
    """Return ``network`` with Brevitas' layers, ready to train, and its number of quantizers."""
    layers, quant, base = (
        require_rival(f"brevitas.{name}", "brevitas") for name in ("nn", "quant", "graph.base")
    )
    scaling = require_rival("brevitas.inject.enum", "brevitas").ScalingImplType.PARAMETER_FROM_STATS
    config: Any = require_rival("brevitas.config", "brevitas")
    config.IGNORE_MISSING_KEYS = True  # scales are not in float weights
    found = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer in found:
        own_bits = EDGE_BITS if layer in (found[0], found[-1]) else bits
        # the first layer reads pixels, which have both signs here; all others read what a ReLU made
        reads = quant.Int8ActPerTensorFloat if layer is found[0] else quant.Uint8ActPerTensorFloat
        new = layers.QuantConv2d if isinstance(layer, nn.Conv2d) else layers.QuantLinear
        base.ModuleToModuleByInstance(
            layer,
            new,
            weight_quant=quant.Int8WeightPerChannelFloat,
            weight_bit_width=own_bits,
            weight_scaling_impl_type=scaling,
            input_quant=reads,
            input_bit_width=own_bits,
            input_collect_stats_steps=1,
        ).apply(network)
    network.train()(images)
    return network, 2 * len(found)


def torchao_student(network: nn.Module, images: Tensor, bits: int) -> tuple[nn.Module, int]:
    """Return ``network`` as torchao's export path trains it, and its number of quantizers."""
    pt2e = require_rival("torchao.quantization.pt2e", "torchao")
    flow = require_rival("torchao.quantization.pt2e.quantize_pt2e", "torchao")
    x86 = require_rival("torchao.quantization.pt2e.quantizer.x86_inductor_quantizer", "torchao")
    edges = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    quantizer = x86.X86InductorQuantizer().set_global(_at(x86, bits))
    for name in (edges[0], edges[-1]):
        quantizer.set_module_name_qconfig(name, _at(x86, EDGE_BITS))
    exported = torch.export.export(network.train(), (images,), strict=True).module()
    student = flow.prepare_qat_pt2e(exported, quantizer)
    pt2e.allow_exported_model_train_eval(student)
    student.train()
    count = sum(isinstance(m, pt2e.FakeQuantizeBase) for m in student.modules())
    return student, count


def _at(x86: ModuleType, bits: int) -> Any:
    """Return torchao's configuration of QAT for x86 with codes of so many bits."""
    default = x86.get_default_x86_inductor_quantization_config(is_qat=True)
    activations = replace(default.input_activation, quant_min=0, quant_max=2**bits - 1)
    weights = replace(default.weight, quant_min=-(2 ** (bits - 1)), quant_max=2 ** (bits - 1) - 1)
    return replace(default, input_activation=activations, output_activation=activations, weight=weights)


def require_rival(module: str, package: str) -> ModuleType:
    """Import a module of a rival, or say which command installs it."""
    try:
        return importlib.import_module(module)
    except ImportError as e:
        what = f"{package} cannot be imported: {e}"
        raise RuntimeMissing(what, where=module, fix="pip install -r benchmarks/requirements.txt") from e
