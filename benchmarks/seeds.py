"""The command line of benchmarks that train a pipeline once for every seed."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch

from edgekd.spec import Pipeline, load_pipeline


def pipelines_by_seed(description: str, *, module: str) -> Iterator[tuple[Pipeline, dict[str, object]]]:
    """Yield the pipeline of the command line with every seed, and what its row says of the run.

    Args:
        description: Of the benchmark.
        module: Its name, for the command that repeats one row.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pipeline", type=Path, help="a pipeline file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="fixed before the run")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for seed in arguments.seeds:
        spec = load_pipeline(arguments.pipeline, (f"seed={seed}",))
        yield (
            spec,
            {
                "command": f"python -m benchmarks.{module} {arguments.pipeline} --seeds {seed}",
                "pipeline": spec.name,
                "spec_digest": spec.digest,
                "seed": seed,
                "threads": arguments.threads,
                "method": spec.distill.kind,
            },
        )


def seconds_since(start: float) -> float:
    """Return the seconds since a reading of ``time.perf_counter``, to a tenth."""
    return round(time.perf_counter() - start, 1)
