"""How often ``edgekd bench`` errs: a model against a copy of itself, and against one with 5 % more work.

The models are chains of equal blocks, a convolution and a ReLU: 40 of them, the same 40 in another file, and
42. Each trial is one ``bench`` with another seed and ``--against`` both, so that it asks more of the budget
than one comparison does. ``--load N`` lets N processes compute beside it all the time.

What is right is known: 1 for the copy; for the longer chain what all trials together say, which has to be
near 1.05: its 42 blocks take 5 % longer, less the share of what an inference costs without any block.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.rows import append_row
from edgekd.board.rounds import Design
from edgekd.core.machine import machine
from edgekd.device.bench import made_up_feeds
from edgekd.device.latency import Measurement, Speedup, speedup
from edgekd.device.local import LocalDevice
from edgekd.runtimes.onnx_runtime_target import OnnxRuntimeTarget
from edgekd.runtimes.target import BuiltModel

BLOCKS, MORE_BLOCKS = 40, 42
IMAGE = (1, 16, 16, 16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=60)
    parser.add_argument("--precision", type=float, default=0.005)
    parser.add_argument("--load", type=int, default=1, help="processes that compute beside it")
    parser.add_argument("--log", type=Path, help="a file that gets a line for each trial")
    arguments = parser.parse_args()
    design = Design(precision=arguments.precision, budget_s=arguments.budget)
    found = []
    with tempfile.TemporaryDirectory() as folder, _load(arguments.load):
        models = _models(Path(folder))
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.trials):
            found.append(_trial(models, design, seed))
            if arguments.log is not None:
                with arguments.log.open("a") as log:
                    log.write(json.dumps(found[-1]) + "\n")
    append_row(
        "bench_trials",
        {
            "blocks": [BLOCKS, MORE_BLOCKS],
            "trials": arguments.trials,
            "first_seed": arguments.first_seed,
            "budget_s": arguments.budget,
            "precision": arguments.precision,
            "load": arguments.load,
            "copy": _summary([trial["copy"] for trial in found], truth=1.0),
            "longer": _summary(
                [trial["longer"] for trial in found],
                truth=float(np.exp(np.mean([np.log(trial["longer"]["ratio"]) for trial in found]))),
            ),
            "p50_ms": round(float(np.median([trial["p50_ms"] for trial in found])), 4),
            "sessions": [trial["sessions"] for trial in found],
            "seconds_per_trial": round(float(np.mean([trial["seconds"] for trial in found])), 1),
            "doubts": dict(Counter(doubt for trial in found for doubt in trial["doubts"])),
        },
        on=machine(),
    )


def _models(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.onnx" for name in ("subject", "copy", "longer")}
    for name, path in paths.items():
        onnx.save(_chain(MORE_BLOCKS if name == "longer" else BLOCKS), path)
    return paths


def _chain(blocks: int) -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    channels = IMAGE[1]
    nodes, weights = [], []
    for index in range(blocks):
        w = rng.standard_normal((channels, channels, 3, 3)) * (2 / (9 * channels)) ** 0.5
        weights.append(numpy_helper.from_array(w.astype(np.float32), f"w{index}"))
        nodes.append(helper.make_node("Conv", [f"x{index}", f"w{index}"], [f"y{index}"], pads=[1] * 4))
        nodes.append(helper.make_node("Relu", [f"y{index}"], [f"x{index + 1}"]))
    ends = [helper.make_tensor_value_info(f"x{index}", TensorProto.FLOAT, IMAGE) for index in (0, blocks)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def _trial(models: dict[str, Path], design: Design, seed: int) -> dict[str, Any]:
    target, begun = OnnxRuntimeTarget(), time.monotonic()
    feeds = made_up_feeds(models, target=OnnxRuntimeTarget(), batch=1, seed=seed).feeds
    with LocalDevice().connect() as device:
        built = {name: BuiltModel(target, path, device.host) for name, path in models.items()}
        found: Measurement = device.measure(built, feeds, seed=seed, design=design)
    subject = found.samples["subject"]
    return {
        "seed": seed,
        "seconds": round(time.monotonic() - begun, 1),
        "sessions": len(subject.times_ms),
        "p50_ms": subject.p50_ms,
        "doubts": [doubt.split(" kept ")[0] for doubt in found.doubts],
        **{name: _said(speedup(subject, found.samples[name])) for name in ("copy", "longer")},
    }


def _said(found: Speedup) -> dict[str, Any]:
    return {"ratio": found.ratio, "ci": found.ci, "verdict": found.verdict}


def _summary(found: list[dict[str, Any]], *, truth: float) -> dict[str, Any]:
    half_widths = [(high / low) ** 0.5 - 1 for low, high in (one["ci"] for one in found)]
    return {
        "verdicts": dict(Counter(one["verdict"] for one in found)),
        "truth": round(truth, 4),
        "intervals_that_hold_it": sum(one["ci"][0] <= truth <= one["ci"][1] for one in found),
        "ratio_from_to": [round(pick(one["ratio"] for one in found), 4) for pick in (min, max)],
        "half_width_median": round(float(np.median(half_widths)), 4),
    }


@contextmanager
def _load(processes: int) -> Iterator[None]:
    """Keep as many cores busy as there are processes."""
    started = [
        multiprocessing.get_context("spawn").Process(target=_compute, daemon=True) for _ in range(processes)
    ]
    for process in started:
        process.start()
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.join()


def _compute() -> None:
    values = np.random.default_rng(0).standard_normal(1 << 20)
    while True:
        np.sort(values)


if __name__ == "__main__":
    main()
