"""Quantizers as published, which no engine holds, trained as a pipeline trains their deployable forms.

    weights: minmax    -> bucketed: buckets of 256 consecutive weights with an offset (quantized distillation)
    weights: codebook  -> snapped: false: points between the integer codes (differentiable quantization)

The same phases, seed and data from the same float student. One row per seed, with the metric of the
fake-quantized students on the test split, which nothing decides on, and the bytes of the quantized weights by
formula. What deploying costs is the difference to the pipeline's own engine: rows of both keep which images
they answered right, and the README's table compares them.
"""

import time
from typing import Any

from torch import nn

from benchmarks.answers import packed
from benchmarks.rows import append_row
from benchmarks.seeds import pipelines_by_seed, seconds_since
from edgekd.core.profile import PROFILES
from edgekd.core.store import Store, default_store_root
from edgekd.distill.distill_student import distill_student
from edgekd.distill.quantize_student import quantize_student
from edgekd.pipeline import start as start_of
from edgekd.pipeline import survey
from edgekd.quant.bucketed import BucketedQuantizer, BucketedSpec
from edgekd.quant.codebook import CodebookSpec
from edgekd.quant.lsq import LsqQuantizer, LsqSpec
from edgekd.quant.minmax import MinMaxSpec
from edgekd.quant.placement import weight_quantizers
from edgekd.quant.quantizer import Quantizer, QuantizerSpec
from edgekd.quant.student import QuantizeSpec, load_student
from edgekd.spec import Pipeline
from edgekd.train.evaluate import predict


def main() -> None:
    for spec, run in pipelines_by_seed(__doc__ or "", module="published_forms"):
        start = time.perf_counter()
        found = _train(spec)
        append_row(
            "published_forms",
            {
                **run,
                "profile": spec.quantize.profile,
                "profile_version": PROFILES[spec.quantize.profile].version,
                **found,
                "wall_seconds": seconds_since(start),
            },
        )


def published_form(spec: QuantizerSpec) -> QuantizerSpec:
    """Return what the paper has where an engine needs ``spec``."""
    if isinstance(spec, MinMaxSpec):
        return BucketedSpec(bits=spec.bits)
    assert isinstance(spec, CodebookSpec), f"weights of kind {spec.kind} are as published"
    return spec.model_copy(update={"snapped": False})


def _train(spec: Pipeline) -> dict[str, Any]:
    """Train the published form; the store keeps it, and an interrupted run goes on."""
    assert spec.distill.student_start == spec.distill.teacher_start == "given", (
        "random starts are not compared"
    )
    published = published_form(spec.quantize.weights)
    quantize: QuantizeSpec = spec.quantize.model_copy(update={"weights": published})
    store, data, task, info = (
        Store(default_store_root(), announce=print),
        spec.data,
        spec.task,
        spec.data.info(),
    )
    teaching, arch, float_student = start_of(spec, survey(spec)[0], store)
    ptq = store.run(quantize_student, float_student, spec.student, arch, quantize, data, task)
    student = store.run(
        distill_student, ptq, spec.student, arch, teaching.heard, teaching.heard_spec, quantize, spec.distill,
        data, task, spec.training, spec.seed,
    )  # fmt: skip
    network, test = load_student(student, spec.student, arch, quantize, info), data.split("test")
    outputs = predict(network, test)
    best = min(ptq.trials(), key=lambda trial: trial.logit_mse)
    return {
        "weights": published.model_dump(),
        "metric": {
            "float": float_student.facts().metric.model_dump(),
            "ptq": best.metric.model_dump(),
            "fake_quant": task.score(outputs, test.labels).model_dump(),
        },
        "weight_bytes": _weight_bytes(network, published),
        "epochs": len(student.history()),
        "right": packed(task.correct(outputs, test.labels)),
    }


def _weight_bytes(network: nn.Module, published: QuantizerSpec) -> int:
    """Return the bytes of all quantized weights by formula; first and last layer have their own bits."""
    bits = 0
    for layer, quantizer in weight_quantizers(network).values():
        weight: Any = layer.weight
        bits += _spec_of(quantizer, published).size_bits(tuple(weight.shape))
    return -(-bits // 8)


def _spec_of(quantizer: Quantizer, published: QuantizerSpec) -> QuantizerSpec:
    if isinstance(quantizer, LsqQuantizer):
        return LsqSpec(bits=quantizer.grid.bits)
    return BucketedSpec(bits=quantizer.grid.bits) if isinstance(quantizer, BucketedQuantizer) else published


if __name__ == "__main__":
    main()
