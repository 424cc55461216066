"""The README's result tables, from the newest row of every benchmark, network and machine.

Prints them; ``--write`` puts them between the marks in README.md, ``--check`` exits 1 if README.md says
something else. A row whose profile has a newer version since is marked stale.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.answers import kept_answers
from benchmarks.rows import ROOT, read_rows
from edgekd.core.profile import PROFILES
from edgekd.device.latency import Speedup
from edgekd.report.words import (
    count,
    metric_interval,
    metric_value,
    milliseconds,
    size,
    speedup_interval,
)
from edgekd.tasks.metric import Metric
from edgekd.verify.paired import compare_paired

README = ROOT / "README.md"
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"

CPU = "machine.cpu"
ENGINE = "the pipeline's engine; over this (95 %)"
RIVALS = ("brevitas", "torchao")

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="rewrite README.md")
    parser.add_argument("--check", action="store_true", help="exit 1 if README.md is out of date")
    arguments = parser.parse_args()
    block = tables()
    if not arguments.write and not arguments.check:
        print(block)
        return
    readme = README.read_text(encoding="utf-8")
    if BEGIN not in readme or END not in readme:
        sys.exit(f"README.md has no {BEGIN} ... {END}")
    before, rest = readme.split(BEGIN, 1)
    wanted = f"{before}{BEGIN}\n{block}\n{END}{rest.split(END, 1)[1]}"
    if arguments.write:
        README.write_text(wanted, encoding="utf-8")
    elif readme != wanted:
        sys.exit("README.md is out of date: run python -m benchmarks.table --write")


def tables() -> str:
    """Return all tables as markdown; a benchmark without rows has none."""
    parts = (
        _table("pipelines", ("pipeline", "target", "device"), _pipeline_cells, _is_first_seed),
        _table("ablation", ("bits", "reference"), _ablation_cells),
        _table("published_forms", ("pipeline", "seed"), _form_cells),
        _table("float_distillation", ("pipeline", "seed"), _float_cells),
        _table("search", ("searched.pipeline", "reference.pipeline"), _search_cells),
        _table("search_workers", ("trials", CPU), _worker_cells),
        _table("engine_latency", ("network", "image", "threads", CPU), _engine_cells),
        _table("engine_latency", ("network", "image", "threads", CPU), _openvino_cells, _has_openvino),
        _table("packed_size", ("network", "image"), _size_cells),
        _table("emulated", ("pipeline", "device", CPU), _emulated_cells),
        _table("train_step", ("network", "batch_size", "threads", "bits", "teacher", CPU), _train_cells),
    )
    return "\n\n".join(part for part in parts if part)


def _table(
    name: str,
    identity: Sequence[str],
    cells: Callable[[Row], dict[str, str]],
    keep: Callable[[Row], bool] = lambda row: True,
) -> str:
    """Return a table of the newest of a benchmark's rows that are alike at the paths ``identity``."""
    newest: dict[str, tuple[int, Row]] = {}
    for number, row in read_rows(name):
        if keep(row):
            newest[str([_at(row, path) for path in identity])] = (number, row)
    lines = [{**cells(row), "row": _link(name, number, row)} for number, row in newest.values()]
    if not lines:
        return ""
    heads = list(lines[0])
    table = [heads, ["---"] * len(heads), *(list(line.values()) for line in lines)]
    return "\n".join(f"| {' | '.join(line)} |" for line in table)


def _at(row: Row, path: str) -> Any:
    """Return the value at a path such as ``searched.pipeline``; None if there is none."""
    value: Any = row
    for key in path.split("."):
        value = None if value is None else value.get(key)
    return value


def _link(name: str, number: int, row: Row) -> str:
    stale = "profile" in row and PROFILES[row["profile"]].version > row["profile_version"]
    link = f"[{row['commit']}](benchmarks/results/{name}.jsonl#L{number})"
    machine = f"{row['machine']['cpu']}, {row['machine']['cores']} cores"
    if row.get("trained_on"):
        machine += f"; trained on {row['trained_on']}"
    return f"{link}, {machine}{' (stale)' if stale else ''}"


def _is_first_seed(row: Row) -> bool:
    return bool(row["seed"] == 0)  # the ablation shows the others


def _has_openvino(row: Row) -> bool:
    return "openvino_float" in row["models"]


def _pipeline_cells(row: Row) -> dict[str, str]:
    metric, baselines, latency = row["metric"], row["baselines"], row["latency"]
    engine = Metric.model_validate(metric["engine"])
    accuracy = f"**{metric_value(engine)}** ({metric_interval(engine)}) of {engine.n}"
    float_bytes = row.get("float_size_bytes") or baselines["student_float"]["size_bytes"]
    return {
        "pipeline": _run_name(row),
        "teacher": _metric(metric["teacher"]),
        "float student": _metric(metric["float"]),
        "PTQ": _metric(metric["ptq"]),
        "engine (95 %)": accuracy,
        "size (float)": f"{size(row['size_bytes'])} ({size(float_bytes)})",
        "p50 ms": milliseconds(latency["p50_ms"]) if latency else "not run",
        "over float student": _over("student_float", baselines),
        "over teacher": _over("teacher_float", baselines),
        "float ops": str(row["float_ops"]),
        "oracle mismatches": _exactness(row),
    }


def _run_name(row: Row) -> str:
    bits = row["bits"]
    words = [row["pipeline"], f"W{bits['weights']}A{bits['activations']}", f"seed {row['seed']}"]
    words += [row["profile"]] if row["profile"] != "ort" else []
    words += [f"{row['target']} {row['runtime_version']}"] if row["target"] != "onnxruntime" else []
    return ", ".join(words)


def _over(name: str, baselines: dict[str, Row]) -> str:
    return _speedup(baselines[name]["speedup"]) if name in baselines else "-"


def _exactness(row: Row) -> str:
    oracle = row["oracle"]
    if oracle["values"]:
        return f"{oracle['mismatches']} of {count(oracle['values'])}"
    return f"{100 * row['agreement_top1']:.2f} % of answers as in training"


def _ablation_cells(row: Row) -> dict[str, str]:
    bits, seeds = row["bits"], ", ".join(map(str, row["seeds"]))
    arms = {name.rpartition("_")[2]: arm for name, arm in row["arms"].items()}
    reference, *others = arms  # the first is what the others are compared with
    return {
        "ablation": f"W{bits['weights']}A{bits['activations']}, seeds {seeds}, {row['n']} images",
        f"{reference}: mean (seeds)": _mean(arms[reference]),
        **{
            f"{name}: mean (seeds); against {reference} (95 %)": f"{_mean(arms[name])}; "
            f"{_difference(arms[name])}"
            for name in others
        },
    }


def _mean(arm: Row) -> str:
    return f"{100 * arm['mean']:.2f} % ({', '.join(f'{100 * top1:.2f}' for top1 in arm['top1'])})"


def _difference(compared: Row) -> str:
    """Return percentage points and their interval."""
    low, high = (100 * end for end in compared["ci95"])
    return f"{100 * compared['difference']:+.2f} ({low:+.2f} to {high:+.2f})"


def _form_cells(row: Row) -> dict[str, str]:
    metric = row["metric"]
    return {
        "as published": f"{row['pipeline']}, {row['weights']['kind']}, seed {row['seed']}",
        "float student": _metric(metric["float"]),
        "PTQ": _metric(metric["ptq"]),
        "fake-quantized": _metric(metric["fake_quant"]),
        ENGINE: _engine_beside(row, "fake_quant"),
        "weights": size(row["weight_bytes"]),
    }


def _float_cells(row: Row) -> dict[str, str]:
    return {
        "without quantizers": f"{row['pipeline']}, seed {row['seed']}",
        "float student": _metric(row["metric"]["float"]),
        "distilled the same way": _metric(row["metric"]["float_distilled"]),
        ENGINE: _engine_beside(row, "float_distilled"),
    }


def _engine_beside(row: Row, metric: str) -> str:
    """Return the accuracy of the same pipeline's engine, and how much more often it is right than ``row``."""
    engines = [
        found
        for _, found in read_rows("pipelines")
        if found["spec_digest"] == row["spec_digest"] and found.get("right")
    ]
    if not engines or not row["right"]:
        return "-"
    paired = compare_paired(kept_answers(engines[-1], "engine"), kept_answers(row, metric))
    return f"{_metric(engines[-1]['metric']['engine'])}; {_difference(paired.model_dump())}"


def _search_cells(row: Row) -> dict[str, str]:
    searched, reference, search = row["searched"], row["reference"], row["search"]
    error = search["median_error"]
    return {
        "searched": f"{searched['pipeline']}: {searched['network']}, {size(searched['size_bytes'])}",
        "p50 ms": milliseconds(row["latency"]["searched"]["p50_ms"]),
        "top-1": f"{100 * row['top1']['searched']:.2f} %",
        "beside, trained alike": f"{reference['network']}, {size(reference['size_bytes'])}, "
        f"{milliseconds(row['latency']['reference']['p50_ms'])} ms, {100 * row['top1']['reference']:.2f} %",
        "over it (99 %)": f"{row['latency']['over_reference']:.2f}x "
        f"({row['latency']['ci99'][0]:.2f}-{row['latency']['ci99'][1]:.2f})",
        "points (95 %)": _difference(row),
        "predicted p50, median error": "-"
        if error is None
        else f"{100 * error:.1f} % of {search['predictions']}",
        "float ops": str(searched["float_ops"]),
        "oracle mismatches": str(searched["oracle_mismatches"]),
        "whole run": f"{sum(search['seconds'].values()) / 60:.0f} min",
    }


def _worker_cells(row: Row) -> dict[str, str]:
    rounds = row["rounds"]
    seconds = {
        name: ", ".join(f"{one['wall_seconds']:.0f}" for one in found) for name, found in rounds.items()
    }
    once = all(
        one["finished"] == one["networks"] == row["trials"] for found in rounds.values() for one in found
    )
    return {
        "shared search": f"{row['trials']} trials, {row['threads']} thread each, PostgreSQL",
        **{f"{name}, s": text for name, text in seconds.items()},
        "ratio": ", ".join(f"{ratio:.2f}" for ratio in row["killed_over_alone"]),
        "every trial finished once": "yes" if once else "no",
        "lost with the killed worker": ", ".join(str(one["lost"]) for one in rounds["one of two killed"]),
    }


def _engine_cells(row: Row) -> dict[str, str]:
    models, over = row["models"], row["edgekd_speedup_over"]
    return {
        "network": f"{row['network']}, {'x'.join(map(str, row['image']))}",
        "edgekd p50 ms": milliseconds(models["edgekd"]["p50_ms"]),
        "over ONNX Runtime's tool": _speedup(over["ort_tool_nchw"]),
        "the same with uint8 input": _speedup(over["ort_tool"]),
        "over float": _speedup(over["float_nchw"]),
        "float ops: edgekd, tool": f"{_count(models['edgekd'])}, {_count(models['ort_tool_nchw'])}",
        "size: edgekd, tool, float": ", ".join(
            size(models[name]["size_bytes"]) for name in ("edgekd", "ort_tool_nchw", "float_nchw")
        ),
    }


def _openvino_cells(row: Row) -> dict[str, str]:
    models = row["models"]
    over = {profile: row[f"openvino_edgekd_{profile}_speedup_over"] for profile in ("ort", "tensorrt")}
    return {
        "on OpenVINO": f"{row['network']}, {'x'.join(map(str, row['image']))}",
        "edgekd p50 ms": milliseconds(models["openvino_edgekd_ort"]["p50_ms"]),
        "over NNCF": _speedup(over["ort"]["nncf_nchw"]),
        "the same with uint8 input": _speedup(over["ort"]["nncf"]),
        "by profile `tensorrt`: over NNCF": _speedup(over["tensorrt"]["nncf_nchw"]),
        "uint8 input": _speedup(over["tensorrt"]["nncf"]),
        "over float": _speedup(over["ort"]["openvino_float_nchw"]),
        "float ops: edgekd, NNCF": f"{_count(models['openvino_edgekd_ort'])}, {_count(models['nncf_nchw'])}",
        "size: edgekd, NNCF": ", ".join(
            size(models[name]["size_bytes"]) for name in ("openvino_edgekd_ort", "nncf_nchw")
        ),
    }


def _size_cells(row: Row) -> dict[str, str]:
    files = {
        f"{name}: file = weights + graph, download": f"{size(found['size_bytes'])} = "
        f"{size(found['payload_bytes'])} + {size(found['graph_bytes'])}, {size(found['download_bytes'])}"
        for name, found in row["weights"].items()
    }
    return {"random weights": f"{row['network']}, {'x'.join(map(str, row['image']))}", **files}


def _emulated_cells(row: Row) -> dict[str, str]:
    changed = f" with {', '.join(row['overrides'])}" if row["overrides"] else ""
    where = f", first in {row['first_difference']}" if row["differences"] else ""
    oracle = row["oracle"]
    return {
        "against this machine's bits": f"{row['pipeline']}{changed}",
        "CPU": row["device"],
        "codes and logits that differ": f"{row['differences']} of {count(row['values'])}{where}",
        "other answers": f"{row['other_answers']} of {row['images']}",
        "oracle mismatches there": f"{oracle['mismatches']} of {count(oracle['values'])}",
    }


def _train_cells(row: Row) -> dict[str, str]:
    variants, bits = row["variants"], row.get("bits", 8)  # before 2026-11-26: 8 bits, no teacher
    rivals = row.get("rival_over_edgekd", {})
    return {
        "training step": f"{row['network']} W{bits}A{bits}, teacher {row.get('teacher', 'none')}, "
        f"batch {row['batch_size']}, {row['threads']} threads",
        **{
            f"{mode}: fake-quant / float ms": " / ".join(
                milliseconds(variants[f"{kind}_{mode}"]["p50_ms"]) for kind in ("fake_quant", "float")
            )
            for mode in ("eager", "compiled")
        },
        **{f"ratio {mode}": _interval(row["fake_over_float"][mode]) for mode in ("eager", "compiled")},
        **{f"{name} over edgekd": _interval(rivals[name]) if name in rivals else "-" for name in RIVALS},
        "compiling": f"{row['compile_seconds']['fake_quant_compiled']:.0f} s",
    }


def _metric(metric: Row | None) -> str:
    return "-" if metric is None else metric_value(Metric.model_validate(metric))


def _speedup(speedup: Row) -> str:
    return speedup_interval(Speedup.model_validate(speedup))


def _interval(ratio: Row) -> str:
    low, high = ratio["ci"]
    return f"{ratio['ratio']:.2f}x ({low:.2f}-{high:.2f})"


def _count(model: Row) -> int:
    return sum(model["float_ops"].values())


if __name__ == "__main__":
    main()
