"""Other CPUs, emulated: the engine of a pipeline computes there what it computes here, bit by bit.

Each engine, whose student has to be in the store, opens on a CPU with AVX2 but without VNNI, and on an ARM
CPU. Compared are the codes of every activation quantizer on the probes, and the logits of the first images of
the test split. Where ONNX Runtime's ARM kernel adds in another way, codes differ: the oracle, which knows
both ways, must not find a mismatch on either CPU. One row per engine and CPU.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.rows import append_row
from benchmarks.seeds import seconds_since
from edgekd.core.plan import Planner
from edgekd.core.progress import progress
from edgekd.core.store import Store, default_store_root
from edgekd.device.emulated import EmulatedDevice
from edgekd.device.local import LocalDevice
from edgekd.pipeline import Built, build, survey
from edgekd.runtimes.target import BuiltModel
from edgekd.spec import Pipeline, load_pipeline
from edgekd.verify.native import compare_with_native
from edgekd.verify.verify_engine import Faithfulness, verify_graph

DEVICES = (EmulatedDevice(arch="x86_64", cpu="Haswell"), EmulatedDevice(arch="aarch64"))
PROBES = 16
UNTRAINED = ("export_marked", "lower_for", "build_engine")  # stages that take moments: made here if missing


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipelines", type=Path, nargs="+", help="pipeline files")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", dest="overrides")
    parser.add_argument("--images", type=int, default=512, help="of the test split; default 512")
    arguments = parser.parse_args()
    command = shlex.join(["python", "-m", "benchmarks.emulated", *sys.argv[1:]])
    for path in arguments.pipelines:
        spec = load_pipeline(path, tuple(arguments.overrides))
        made = _made(spec)
        if made is None:
            print(f"{path}: its student is not in the store: skipped")
            continue
        for figures in _compare(spec, made, arguments.images):
            run = {"command": command, "pipeline": spec.name, "overrides": arguments.overrides}
            append_row("emulated", {**run, **figures})


def _made(spec: Pipeline) -> Built | None:
    """Return the artifacts of a pipeline, with an engine for this machine; None before it is trained."""
    assert all(target.device == LocalDevice() for target in spec.targets), "name pipelines for this machine"
    store, places = Store(default_store_root(), announce=print), survey(spec)
    planner = Planner(store)
    build(spec, places, planner)
    trained = all(record.cached for record in planner.records if record.name not in UNTRAINED)
    return build(spec, places, store) if trained else None


def _compare(spec: Pipeline, made: Built, n: int) -> Iterator[dict[str, Any]]:
    engine = made.targets[0].engine
    assert engine is not None, "name pipelines whose first target runs here"
    here = BuiltModel(spec.targets[0], engine.engine_path)
    marked, probes = made.marked.marked_path, made.marked.probes()[:PROBES]
    images = spec.data.split("test").images[:n]
    native, native_logits = _run(here, probes, marked, images)
    for device in DEVICES:
        start = time.perf_counter()
        with device.connect() as connection:
            version = here.target.runtime_version(host=connection.host)
            there, logits = _run(replace(here, host=connection.host), probes, marked, images)
        found = compare_with_native(there.codes, native.codes, logits, native_logits)
        yield {
            "spec_digest": spec.digest,
            "device": device.name,
            "images": len(images),
            "probes": len(probes),
            "values": found.values,
            "differences": found.differences,
            "first_difference": found.first_difference,
            "other_answers": int(np.count_nonzero(logits.argmax(1) != native_logits.argmax(1))),
            "oracle": {"mismatches": there.oracle.mismatches, "values": there.oracle.values},
            "oracle_unchecked": there.oracle.unchecked,
            "oracle_here": {"mismatches": native.oracle.mismatches, "values": native.oracle.values},
            "runtime_there": version,
            "seconds": seconds_since(start),
        }


def _run(
    engine: BuiltModel, probes: NDArray[np.uint8], marked: Path, images: NDArray[np.uint8]
) -> tuple[Faithfulness, NDArray[np.float32]]:
    """Return what the graph is on the probes, and the logits of the images."""
    found = verify_graph(engine, probes, marked=marked)
    with engine.open() as session, progress("test split", len(images)) as advance:
        return found, session.predict(images, advance=advance)


if __name__ == "__main__":
    main()
