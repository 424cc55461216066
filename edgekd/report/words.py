"""Numbers as people read them."""

from edgekd.core.text import printable
from edgekd.device.latency import Speedup
from edgekd.report.schema import GateResult, GateUnit, StudentReport
from edgekd.report.target_schema import Native, TargetReport
from edgekd.tasks.metric import Metric
from edgekd.verify.paired import Paired

FRACTIONS = frozenset(
    {"accuracy", "auc", "auroc", "balanced_accuracy", "f1", "macro_f1", "map", "miou", "top1", "top5"}
)
"""Metrics that are read as per cent."""


def percent(fraction: float, *, digits: int = 1) -> str:
    """Return ``0.1234`` as ``12.3 %``.

    Example:
        >>> percent(0.1234)
        '12.3 %'
    """
    return f"{100 * fraction:.{digits}f} %"


def metric_value(metric: Metric) -> str:
    """Return the value of a metric: per cent for fractions, with a second digit from 1000 samples on.

    Example:
        >>> metric_value(Metric(name="top1", value=0.98889, ci95=(0.972, 0.996), n=360))
        '98.9 %'
    """
    if metric.name in FRACTIONS:
        return percent(metric.value, digits=_digits(metric))
    return f"{metric.value:.4g}"


def metric_interval(metric: Metric) -> str:
    """Return the 95 % interval of a metric in the unit of ``metric_value``, without the unit.

    Example:
        >>> metric_interval(Metric(name="top1", value=0.98889, ci95=(0.972, 0.996), n=360))
        '97.2-99.6'
    """
    low, high = metric.ci95
    if metric.name in FRACTIONS:
        return f"{100 * low:.{_digits(metric)}f}-{100 * high:.{_digits(metric)}f}"
    return f"{low:.4g}-{high:.4g}"


def paired_words(paired: Paired, other: str) -> str:
    """Return how an engine compares with another model on the same samples.

    Example:
        >>> found = {"only_engine_right": 20, "only_other_right": 60, "n": 10_000, "ci95": (-0.006, -0.002)}
        >>> paired_words(Paired(**found, difference=-0.004, p_value=8e-6), "the teacher")
        '0.40 points below the teacher (-0.60 to -0.20, p < 0.001)'
    """
    digits = 2 if paired.n >= 1000 else 1
    low, high = (f"{100 * end:+.{digits}f}" for end in paired.ci95)
    p_value = "p < 0.001" if paired.p_value < 0.001 else f"p = {paired.p_value:.2g}"
    side = "above" if paired.difference > 0 else "below"
    points = f"{100 * abs(paired.difference):.{digits}f} points {side}" if paired.difference else "level with"
    return f"{points} {other} ({low} to {high}, {p_value})"


def metric_difference(metric: Metric, reference: Metric) -> str:
    """Return how far a metric is from another, in points for fractions, with its sign.

    Example:
        >>> one = Metric(name="top1", value=0.95, ci95=(0.9, 0.99), n=360)
        >>> metric_difference(one, one.model_copy(update={"value": 0.972}))
        '-2.2 points'
    """
    difference = metric.value - reference.value
    if metric.name in FRACTIONS:
        return f"{100 * difference:+.{_digits(metric)}f} points"
    return f"{difference:+.4g}"


def scale_value(value: float, metric_name: str) -> str:
    """Return a round value on the axis of a metric.

    Example:
        >>> scale_value(0.975, "top1"), scale_value(1.25, "loss")
        ('97.5 %', '1.25')
    """
    return f"{100 * value:.4g} %" if metric_name in FRACTIONS else f"{value:.4g}"


def milliseconds(ms: float) -> str:
    """Return a time with three digits or three decimals, whichever is fewer, without the unit.

    Example:
        >>> milliseconds(0.01234), milliseconds(12.345), milliseconds(1234.5)
        ('0.012', '12.3', '1234')
    """
    decimals = 3 if ms < 1 else 2 if ms < 10 else 1 if ms < 100 else 0
    return f"{ms:.{decimals}f}"


def size(size_bytes: float) -> str:
    """Return a file size in decimal units.

    Example:
        >>> size(87_412), size(999), size(12_300_000)
        ('87.4 kB', '999 B', '12.3 MB')
    """
    return _scaled(size_bytes, ("B", "kB", "MB", "GB"))


def stored_form(stored_bits: int, table_values: int) -> str:
    """Return how the weight codes of a layer are held in the file.

    Example:
        >>> stored_form(2, 0), stored_form(4, 16)
        ('2 bits', '4 bits, table of 16')
    """
    return f"{stored_bits} bits" + (f", table of {table_values}" if table_values else "")


def native_words(native: Native) -> str:
    """Return what an emulated CPU's results are against this machine's own.

    Example:
        >>> native_words(Native(identical=True, values=1_234_567, differences=0, first_difference=None))
        'bit-identical with a native run (1.23 M values)'
    """
    if native.identical:
        return f"bit-identical with a native run ({count(native.values)} values)"
    of = f"{count(native.differences)} of {count(native.values)} values"
    return f"differs from a native run in {of}, first at {native.first_difference}"


def count(number: float) -> str:
    """Return a large count, such as MACs.

    Example:
        >>> count(40_813_000), count(512)
        ('40.8 M', '512')
    """
    return _scaled(number, ("", "k", "M", "G"))


def duration(seconds: float) -> str:
    """Return a wall time.

    Example:
        >>> duration(0.04), duration(72.3), duration(5000)
        ('0.0 s', '1 min 12 s', '1 h 23 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def speedup_interval(speedup: Speedup) -> str:
    """Return the ratio with its interval, to two decimals below 10 and to one from there on.

    Example:
        >>> speedup_interval(Speedup(ratio=1.494, ci=(1.451, 1.532), verdict="faster"))
        '1.49x (1.45-1.53)'
    """
    low, high = speedup.ci
    decimals = 2 if speedup.ratio < 10 else 1
    return f"{speedup.ratio:.{decimals}f}x ({low:.{decimals}f}-{high:.{decimals}f})"


def idle_words(target: TargetReport) -> str:
    """Return what was not done with an engine; empty if it was run."""
    return "not built" if target.not_built else "built, not run" if target.not_run else ""


def gate_limit(gate: GateResult) -> str:
    """Return the limit of a gate with its unit."""
    return _in_unit(gate.limit, gate.unit)


def gate_value(gate: GateResult) -> str:
    """Return what a gate found with its unit, and the interval that decided; a dash for nothing."""
    if gate.value is None:
        return "-"
    if gate.interval is None:
        return _in_unit(gate.value, gate.unit)
    low, high = gate.interval
    return f"{_in_unit(gate.value, gate.unit)} ({low:.4g}-{high:.4g})"


def gate_sentence(gate: GateResult) -> str:
    """Return what a gate found, its limit, and what it was measured on, on one line."""
    found = "" if gate.value is None else f"{gate_value(gate)}, "
    return one_line(f"{found}limit {gate_limit(gate)}: {gate.text}")


def gate_state(gate: GateResult) -> str:
    """Return how a gate ended."""
    return gate.state.replace("_", " ")


def one_line(text: str, *, characters: int = 400) -> str:
    r"""Return a text that may come from anywhere on one line, in printable characters, not too long.

    Example:
        >>> one_line("conv\n::error::\x1b[31m")
        'conv ::error::?[31m'
    """
    plain = printable(" ".join(text.split()))
    return plain if len(plain) <= characters else f"{plain[: characters - 3]}..."


def bits_and_kinds(student: StudentReport) -> str:
    """Return the bits and the kinds of quantizers of a student."""
    bits, kinds = student.bits, student.quantizers
    return (
        f"weights {bits.weights} ({kinds.weights}), activations {bits.activations} ({kinds.activations}); "
        f"first layer {bits.first_layer} ({kinds.first_layer}), last layer {bits.last_layer} "
        f"({kinds.last_layer}), residual stream {bits.residual}"
    )


def _in_unit(value: float, unit: GateUnit) -> str:
    """Return a number as exactly as a limit has to be read: ``90,914 B``, ``1.25 %``, ``1.012x``."""
    match unit:
        case "bytes":
            return f"{value:,.0f} B"
        case "count":
            return f"{value:,.0f}"
        case "fraction":
            return f"{100 * value:.4g} %"
        case "ratio":
            return f"{value:.4g}x"
        case "ms":
            return f"{value:.4g} ms"
        case "number":
            return f"{value:.4g}"


def _digits(metric: Metric) -> int:
    return 2 if metric.n >= 1000 else 1


def _scaled(number: float, units: tuple[str, ...]) -> str:
    if number < 1000:
        return f"{number:.0f} {units[0]}".rstrip()
    step = 0
    while number >= 999.5 and step < len(units) - 1:
        number, step = number / 1000, step + 1
    digits = f"{number:#.3g}".rstrip(".")
    return f"{digits} {units[step]}"
