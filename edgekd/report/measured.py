"""From measurements to the words of report.json."""

from edgekd.device.latency import LatencySamples, Measurement, speedup
from edgekd.report import target_schema
from edgekd.verify.native import NativeResult
from edgekd.verify.verify_engine import Faithfulness


def fidelity(found: Faithfulness) -> target_schema.Fidelity:
    """Return oracle and layers as the report says them."""
    values = sum(layer.values for layer in found.layers)
    return target_schema.Fidelity(
        oracle_nodes=found.oracle.nodes,
        oracle_values=found.oracle.values,
        oracle_mismatches=found.oracle.mismatches,
        oracle_unchecked=found.oracle.unchecked,
        first_mismatch=found.oracle.first_mismatch,
        layer_tensors=len(found.layers),
        layer_unwatched=found.unwatched,
        layer_off_by_one=sum(layer.off_by_one for layer in found.layers) / max(1, values),
        layer_off_by_more=sum(layer.off_by_more for layer in found.layers),
        layers=tuple(
            target_schema.LayerFidelity(
                name=layer.name, off_by_one=layer.off_by_one / layer.values, off_by_more=layer.off_by_more
            )
            for layer in found.layers
        ),
    )


def coverage(found: Faithfulness) -> target_schema.Coverage:
    """Return integer coverage as the report says it."""
    fallbacks = found.coverage.fallbacks
    return target_schema.Coverage(
        integer_ops=found.coverage.integer_ops,
        float_ops=len(fallbacks),
        float_op_names=tuple(item.op for item in fallbacks),
        fallbacks=tuple(
            target_schema.Fallback(node=item.node, op=item.op, reason=item.reason, listed=item.listed)
            for item in fallbacks
        ),
        integer_time_share=found.coverage.integer_time_share,
        border_time_share=found.coverage.border_time_share,
        source=found.coverage.source,
        nodes=found.coverage.nodes,
    )


def native(found: NativeResult) -> target_schema.Native:
    """Return how an emulated CPU's results compare with this machine's."""
    return target_schema.Native(
        identical=found.identical,
        values=found.values,
        differences=found.differences,
        first_difference=found.first_difference or None,
    )


def latency(found: Measurement, threads: int) -> target_schema.Latency:
    """Return the percentiles of the engine, and what it costs to open."""
    return target_schema.Latency(**found.samples["engine"].figures, threads=threads, doubts=found.doubts)


def conditions(found: Measurement) -> target_schema.Conditions:
    """Return the state of the machine around the measurement."""
    return target_schema.Conditions(before=dict(found.before), after=dict(found.after))


def baseline(
    name: str, engine: LatencySamples, samples: LatencySamples, size_bytes: int
) -> target_schema.Baseline:
    """Return the percentiles of a model, and how much faster the engine is."""
    return target_schema.Baseline.model_validate(
        {
            "name": name,
            "p50": samples.p50_ms,
            "p90": samples.p90_ms,
            "p99": samples.p99_ms,
            "n": samples.n,
            "size_bytes": size_bytes,
            "speedup": speedup(engine, samples),
        }
    )
