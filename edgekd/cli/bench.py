"""The verb ``bench``: how fast a model is, and whether it is faster than others. Needs no torch."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from edgekd.cli.exit_codes import INCONCLUSIVE
from edgekd.cli.options import AsJson, ModelFile, TargetText, Threads
from edgekd.cli.printing import print_json, print_table, say
from edgekd.errors import DeviceError

if TYPE_CHECKING:
    from edgekd.board.rounds import Design
    from edgekd.report.bench import BenchReport

FINEST = 1e-4
NO_TIME = "it proves bits, not time: an emulated CPU's clock says nothing about a real one's"


Against = Annotated[
    list[Path], typer.Option(metavar="OTHER", help="A model to compare it with; may be repeated.")
]
Device = Annotated[
    str, typer.Option(metavar="DEVICE", help="Where: KIND, KIND:NAME or '{kind: KIND, key: value}'.")
]
Batch = Annotated[int, typer.Option(min=1, max=4096, help="Samples at once, where that is free.")]
Precision = Annotated[
    float | None,
    typer.Option(min=FINEST, max=1, help="Half width of an interval; default half the --minimum-effect."),
]
Budget = Annotated[
    float, typer.Option(min=0, max=86400, help="Seconds; the first 8 sessions are always completed.")
]
Effect = Annotated[
    float, typer.Option(min=0, max=1, help="Smallest difference that matters; below, they are the same.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of inputs, orders and memory layout.")]
Out = Annotated[Path | None, typer.Option(help="File for every single time; default runs/bench/MODEL.json.")]
RequireVerdict = Annotated[
    bool, typer.Option("--require-verdict", help="Exit 4 if a comparison is inconclusive.")
]


def bench(
    model: ModelFile,
    against: Against = [],  # noqa: B006  typer copies it
    device: Device = "local",
    target: TargetText = "onnxruntime",
    threads: Threads = 1,
    batch: Batch = 1,
    precision: Precision = None,
    budget: Budget = 60,
    minimum_effect: Effect = 0.01,
    seed: Seed = 0,
    out: Out = None,
    require_verdict: RequireVerdict = False,
    as_json: AsJson = False,
) -> None:
    """Time models side by side on a device, with random inputs: percentiles, memory, and verdicts."""
    from edgekd.board.rounds import Design
    from edgekd.core.atomic import check_writable, write_text
    from edgekd.report.bench import MODEL_COLUMNS, model_rows, sentences

    path = out or Path("runs") / "bench" / f"{model.absolute().name.removesuffix('.onnx')}.json"
    check_writable(path.parent)
    design = Design(precision=precision or max(minimum_effect / 2, FINEST), budget_s=budget)
    report = _measured(
        [model, *against],
        device,
        target=target,
        threads=threads,
        batch=batch,
        design=design,
        minimum_effect=minimum_effect,
        seed=seed,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, report.model_dump_json())
    if as_json:
        print_json(report.model_dump(mode="json", exclude={"models": {"__all__": {"times_ms"}}}))
    else:
        print_table("", MODEL_COLUMNS, model_rows(report))
        say("\n".join([*sentences(report), f"every time: {path}"]))
    if require_verdict and report.inconclusive:
        raise typer.Exit(INCONCLUSIVE)


def _measured(
    given: list[Path],
    device: str,
    *,
    target: str,
    threads: int,
    batch: int,
    design: "Design",
    minimum_effect: float,
    seed: int,
) -> "BenchReport":
    from edgekd.device.bench import made_up_feeds
    from edgekd.device.devices import device_from_text
    from edgekd.report.bench import bench_report
    from edgekd.runtimes.external_data import file_bytes
    from edgekd.runtimes.targets import runnable, target_from_text
    from edgekd.verify.verify import model_file

    place, runtime = device_from_text(device), target_from_text(target, threads=threads)
    files = _by_label({path: model_file(path, kind=runtime.kind) for path in given}, given)
    with place.connect() as connection, TemporaryDirectory(prefix="edgekd-") as scratch:
        if not connection.times:
            raise DeviceError(NO_TIME, where=place.name, fix="bench on the board itself")
        if reason := runtime.readiness(host=connection.host).not_run:
            raise DeviceError(reason, where=place.name, fix="name another --device, or another --target")
        made_up = made_up_feeds(files, target=runtime.reader, batch=batch, seed=seed)
        built = {
            name: runnable(runtime, file, Path(scratch) / f"engine{index}", host=connection.host)
            for index, (name, file) in enumerate(files.items())
        }
        found = connection.measure(built, made_up.feeds, seed=seed, design=design)
        machine = connection.machine
    return bench_report(
        found,
        {name: file_bytes(file) for name, file in files.items()},
        design,
        minimum_effect=minimum_effect,
        command=shlex.join(["edgekd", *sys.argv[1:]]),
        device=place.name,
        machine=machine,
        threads=threads,
        seed=seed,
        notes=tuple(f"{said}: each gets its own random input" for said in made_up.differences),
    )


def _by_label(files: Mapping[Path, Path], given: list[Path]) -> dict[str, Path]:
    """Return files by name, as they were given; who names one twice compares it with itself."""
    labels: dict[str, Path] = {}
    for path in given:
        copies = sum(label.startswith(f"{path} (") or label == str(path) for label in labels)
        labels[f"{path} ({copies + 1})" if copies else str(path)] = files[path]
    return labels
