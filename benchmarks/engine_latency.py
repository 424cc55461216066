"""How fast edgekd's integer engine is beside the runtime's own quantization tool, on the same float network.

All files of one network, in interleaved rounds of several sessions, each engine in a process of its own,
batch 1. On ONNX Runtime:

    edgekd               prepare, calibrate, export: raw uint8 NHWC images in
    float                the float ONNX that edgekd exports: the same input
    ort_tool             quantize_static (QDQ, per channel, QUInt8 x QInt8) of that file
    float_nchw           the float network without its pixel grid: normalized float NCHW images in, batch of 1
    ort_tool_nchw        quantize_static of that file, as the tool's users do it: its best chance

On OpenVINO, batch fixed to 1:

    openvino_edgekd_ort, openvino_edgekd_tensorrt
                         export by either profile: with tensorrt every code is computed as trained
    openvino_float, openvino_float_nchw
                         the float files from above
    nncf, nncf_nchw      NNCF's post-training quantization of them

``float_ops`` counts what the graph that runs still computes in float; ``oracle`` is that of ``edgekd``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.rows import append_row, percentiles
from edgekd.board.fingerprint import quiet_cores
from edgekd.board.lock import machine_lock
from edgekd.board.measure import opened_for_timing
from edgekd.board.rounds import Design, measure_interleaved
from edgekd.board.runtime import How, runtime_called
from edgekd.core.profile import PROFILES
from edgekd.device.latency import LatencySamples, speedup

NETWORKS = ("mobilenet_x0.5", "mobilenet_x1.0", "mobilenet_x1.0_224", "resnet18_224", "resnet20")
SUBJECTS = ("edgekd", "openvino_edgekd_ort", "openvino_edgekd_tensorrt")
INPUT = "image"
WAIT_S = 500.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--network", choices=NETWORKS, nargs="+", default=list(NETWORKS))
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--files", type=Path, help="folder of engines, made there where they are missing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folders = {name: (arguments.files or Path(scratch)) / name for name in arguments.network}
        for name, folder in folders.items():
            _make(name, folder)
        for folder in folders.values():
            made = json.loads((folder / "engines.json").read_text())
            append_row("engine_latency", _row(made, sessions=arguments.sessions, threads=arguments.threads))


def _make(name: str, folder: Path) -> None:
    if not (folder / "engines.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([sys.executable, "-m", "benchmarks.engine_files", name, str(folder)], check=True)


def _row(made: Mapping[str, Any], *, sessions: int, threads: int) -> dict[str, Any]:
    engines: dict[str, Any] = made["engines"]
    samples = _samples(engines, sessions=sessions, threads=threads)
    return {
        **{key: made[key] for key in ("network", "image", "oracle", "tools")},
        "batch_size": 1,
        "threads": threads,
        "sessions": sessions,
        "profile": "ort",
        "profile_version": PROFILES["ort"].version,
        "models": {
            name: {
                **percentiles(found.times_ms),
                **{key: engines[name][key] for key in ("runtime", "size_bytes", "float_ops")},
            }
            for name, found in samples.items()
        },
        **{f"{subject}_speedup_over": _speedups(samples, subject, engines) for subject in SUBJECTS},
    }


def _samples(engines: Mapping[str, Any], *, sessions: int, threads: int) -> dict[str, LatencySamples]:
    runtimes = {engine["runtime"]: runtime_called(engine["runtime"]) for engine in engines.values()}
    for runtime in runtimes.values():
        runtime.facts()  # looks now at what opening an engine would otherwise look at while it is timed
    openers = {
        name: partial(
            opened_for_timing,
            runtimes[engine["runtime"]],
            engine["path"],
            How(threads=threads),
            {INPUT: np.load(engine["image"])},
        )
        for name, engine in engines.items()
    }
    with machine_lock(wait_s=WAIT_S):
        found = measure_interleaved(openers, design=Design(sessions=sessions), cores=quiet_cores(threads))
    return {
        name: LatencySamples(name, np.stack(one.rounds_ms), one.warmup, sessions)
        for name, one in found.items()
    }


def _speedups(
    samples: Mapping[str, LatencySamples], subject: str, engines: Mapping[str, Any]
) -> dict[str, Any]:
    """Return how many times faster a subject is than each other engine of its runtime."""
    others = [
        name
        for name in samples
        if name != subject and engines[name]["runtime"] == engines[subject]["runtime"]
    ]
    return {name: _speedup(samples[subject], samples[name]) for name in others}


def _speedup(subject: LatencySamples, reference: LatencySamples) -> dict[str, Any]:
    found = speedup(subject, reference)
    low, high = found.ci
    return {"ratio": round(found.ratio, 4), "ci": [round(low, 4), round(high, 4)], "verdict": found.verdict}


if __name__ == "__main__":
    main()
