"""The verbs of the command line. Each imports what it needs when it runs: ``edgekd --help`` is instant."""

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import edgekd
from edgekd.cli.bench import bench
from edgekd.cli.calibrate import calibrate
from edgekd.cli.emulate import emulate
from edgekd.cli.exit_codes import FAILED
from edgekd.cli.gate import gate
from edgekd.cli.inspect import inspect
from edgekd.cli.opening import open_run
from edgekd.cli.options import (
    FRACTIONS,
    AllowCode,
    AsJson,
    Devices,
    Mean,
    ModelFile,
    Overrides,
    SpecFile,
    Std,
    StoreRoot,
    TargetText,
    Threads,
    fractions,
)
from edgekd.cli.printing import (
    exit_unless_faithful,
    print_json,
    print_table,
    report_console,
    say,
    show_faithfulness,
)
from edgekd.cli.report import report
from edgekd.cli.search import search
from edgekd.errors import DataError, SpecError

app = typer.Typer(
    name="edgekd",
    help="Distil a trained network into the smallest, fastest integer model that is as good, with proof.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
store_app = typer.Typer(help="Where artifacts live, how big they are, and what may go.", no_args_is_help=True)
app.add_typer(store_app, name="store")
app.command(epilog="Example: edgekd calibrate pipelines/mobilenet_int8.yaml --check")(calibrate)
app.command(epilog="Example: edgekd inspect runs/mobilenet_int8/model.onnxruntime.onnx --top 5")(inspect)
app.command(epilog="Example: edgekd gate runs/mobilenet_int8 --gates gates/mobilenet_int8.yaml")(gate)
app.command(epilog="Example: edgekd report runs/mobilenet_int8 runs/ptq --html comparison.html")(report)
app.command(epilog="Example: edgekd bench int8.onnx --against float.onnx --require-verdict")(bench)
app.command(epilog="Example: edgekd emulate aarch64")(emulate)
app.command(epilog="Example: edgekd search pipelines/cifar10_search_int8.yaml")(search)

RunsFolder = Annotated[Path, typer.Option("--runs", help="Folder that gets NAME/report.html and the engine.")]


@app.callback(invoke_without_command=True)
def _version(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        typer.echo(edgekd.__version__)
        raise typer.Exit


@app.command(epilog="Example: edgekd compress pipelines/mobilenet_int8.yaml --set seed=1")
def compress(
    spec: SpecFile,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    store: StoreRoot = None,
    runs: RunsFolder = Path("runs"),
    allow_code: AllowCode = False,
    devices: Devices = 1,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline: teacher, student, quantization, engine, proof."""
    from edgekd.pipeline import compress as run
    from edgekd.report.summary import print_summary
    from edgekd.report.verdict import outcome

    pipeline, kept = open_run(spec, overrides, store=store, allow_code=allow_code, devices=devices)
    command = shlex.join(["edgekd", *sys.argv[1:]])
    report = run(pipeline, kept, runs=runs, command=command)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        print_summary(report, report_console())
        say(f"\nReport: {runs / pipeline.name / 'report.html'}")
    if outcome(report).state == "failed":
        raise typer.Exit(FAILED)


@app.command(epilog="Example: edgekd init --from mobilenet_v2 --data photos --run")
def init(
    network: Annotated[str, typer.Option("--from", metavar="KIND[:NAME]", help="The network to compress.")],
    data: Annotated[
        str, typer.Option(help="A folder of class folders or of numpy files, an .npz file, or KIND:PATH.")
    ],
    out: Annotated[Path | None, typer.Option(help="The file to write; default NAME.yaml.")] = None,
    weights: Annotated[str, typer.Option(help="Trained weights, .safetensors; needs --mean and --std.")] = "",
    mean: Mean = "",
    std: Std = "",
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    run: Annotated[bool, typer.Option("--run", help="Run it at once: a first report in minutes.")] = False,
    store: StoreRoot = None,
    runs: RunsFolder = Path("runs"),
    allow_code: AllowCode = False,
    as_json: AsJson = False,
) -> None:
    """Write a first pipeline file from a network's name and a look at your data."""
    from edgekd.core.atomic import write_text
    from edgekd.core.user_code import allow_user_code
    from edgekd.spec import load_pipeline
    from edgekd.starter import starter_file

    if out is not None:
        _check_new(out, force=force)
    command = shlex.join(["edgekd", *sys.argv[1:]])
    if allow_code:
        allow_user_code()
    given, stem = _given_weights(weights, mean, std), out.stem if out else ""
    name, text, said = starter_file(network, data, weights=given, command=command, name=stem)
    path = out or Path(f"{name}.yaml")
    _check_new(path, force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)
    load_pipeline(path)
    if run:
        say(f"{path}: {said}", err=True)
        compress(path, store=store, runs=runs, allow_code=allow_code, as_json=as_json)
    elif as_json:
        print_json({"path": str(path), "name": name, "summary": said})
    else:
        say(f"{path}: {said}\nNext: edgekd compress {shlex.quote(str(path))}")


def _check_new(path: Path, *, force: bool) -> None:
    if path.exists() and not force:
        what = f"{path} exists already"
        fix = f"run it with edgekd compress {path}, choose another file with --out, or add --force"
        raise SpecError(what, where="edgekd init", fix=fix)


def _given_weights(path: str, mean: str, std: str) -> dict[str, Any] | None:
    from edgekd.zoo.weights import weights_file

    if not path:
        return None
    file = weights_file(path)
    if not (mean and std):
        what = "--weights needs --mean and --std: what the network was trained to be fed"
        raise SpecError(what, where="edgekd init", fix=FRACTIONS)
    return {"path": str(file.resolve()), "mean": fractions(mean), "std": fractions(std)}


@app.command(epilog="Example: edgekd check pipelines/mobilenet_int8.yaml")
def check(
    spec: SpecFile,
    overrides: Overrides = [],  # noqa: B006  typer copies it
    store: StoreRoot = None,
    as_json: AsJson = False,
) -> None:
    """Validate a pipeline and say which stages would run, and why. Runs nothing."""
    from edgekd.advice import advice
    from edgekd.core.plan import Planner
    from edgekd.core.store import Store, default_store_root
    from edgekd.pipeline import build, check_limits, idle_notes, survey
    from edgekd.spec import load_pipeline

    pipeline = load_pipeline(spec, tuple(overrides))
    planner = Planner(Store(store or default_store_root(), pipeline=pipeline.name))
    places = survey(pipeline)
    build(pipeline, places, planner)
    if not all(record.cached for record in planner.records):
        check_limits(pipeline, places[0], run_code=False)
    notes = [*idle_notes(pipeline, places), *advice(pipeline, places)]
    if as_json:
        stages = [{"name": r.name, "key": r.key, "cached": r.cached, "why": r.why} for r in planner.records]
        print_json(
            {"pipeline": pipeline.name, "spec_digest": pipeline.digest, "stages": stages, "notes": notes}
        )
        return
    rows = [(record.name, "cached" if record.cached else "runs", record.why) for record in planner.records]
    print_table(
        f"Plan of {pipeline.name}",
        ("stage", "", "why"),
        [*rows, ("verify_engine", "runs", "measured every time")],
    )
    for note in notes:
        say(f"note: {note}")


@app.command(epilog="Example: edgekd verify runs/mobilenet_int8/model.onnxruntime.onnx --data digits")
def verify(
    model: ModelFile,
    data: Annotated[
        str, typer.Option(help="KIND, KIND:PATH or a pipeline file whose data section counts.")
    ] = "",
    mean: Mean = "",
    std: Std = "",
    target: TargetText = "onnxruntime",
    threads: Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Prove what a model file is: integer coverage, exact arithmetic, accuracy on the test split."""
    from edgekd.runtimes.targets import target_from_text
    from edgekd.runtimes.trial import try_model
    from edgekd.verify.verify import model_file
    from edgekd.verify.verify import verify as prove

    runtime = target_from_text(target, threads=threads)
    file = model_file(model, kind=runtime.kind)
    free_sizes = try_model(file, target=runtime.reader)
    given: dict[str, Any] = {}
    if data:
        from edgekd.spec import data_from_text
        from edgekd.verify.verify import sized_for

        source = sized_for(file, data_from_text(data))
        test = source.split("test")
        given = {"images": test.images, "labels": test.labels, "classes": len(source.info().class_names)}
    found = prove(
        model,
        **given,
        mean=fractions(mean),
        std=fractions(std),
        target=runtime,
        free_sizes=free_sizes,
    )
    names = ("top1", "n", "not_scored", "agreement", "not_run")
    scored, tolerance = {name: getattr(found, name) for name in names}, runtime.tolerance
    show_faithfulness(model, found.faithfulness, tolerance=tolerance, as_json=as_json, extra=scored)
    exit_unless_faithful(found.faithfulness, tolerance=tolerance, agreement=found.agreement)
    _check_compared(model, found, runtime)


def _check_compared(model: Path, found: Any, runtime: Any) -> None:
    if found.compares_nothing:
        why = "no operator of the model has an exact integer form"
        if runtime.tolerance is not None:
            why = f"{runtime.kind} has no integer oracle"
        what = f"nothing was compared: {why}, and nothing was scored"
        fix = "give --data of its task (and --mean, --std); edgekd inspect says why its operators are float"
        raise DataError(what, where=str(model), fix=found.not_scored or fix)
    if found.not_scored:
        what = f"accuracy was not compared: {found.not_scored}"
        raise DataError(what, where=str(model), fix="give --data of its task, or leave --data out")


@app.command("list", epilog="Example: edgekd list distill")
def list_kinds(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="data, network, quantizer, distill, target, ...")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the plug-ins of a kind, or of all kinds."""
    from edgekd.core.union import described
    from edgekd.gate.gates import Gate
    from edgekd.unions import KINDS

    kinds = {**KINDS, "gate": Gate}
    if kind and kind not in kinds:
        what = f"unknown kind {kind!r}"
        raise SpecError(what, where="edgekd list", fix=f"one of: {', '.join(kinds)}")
    found = {name: described(kinds[name]) for name in ([kind] if kind else kinds)}
    if as_json:
        print_json(found)
        return
    rows = [(name, word, text) for name, words in found.items() for word, text in words.items()]
    print_table("Plug-ins", ("section", "kind", "what it is"), rows)


@app.command(epilog="Example: edgekd schema report > report.schema.json")
def schema(
    of: Annotated[str, typer.Argument(metavar="spec|report|gates", help="Which file's schema.")] = "spec",
    as_json: Annotated[bool, typer.Option("--json", help="The schema is JSON anyway.")] = True,
) -> None:
    """Print the JSON schema of pipeline files, of report.json or of gates files."""
    from edgekd.gate.gates import Gates
    from edgekd.report.schema import report_json_schema
    from edgekd.spec import Pipeline

    schemas = {
        "spec": Pipeline.model_json_schema,
        "report": report_json_schema,
        "gates": Gates.model_json_schema,
    }
    if of not in schemas:
        what = f"no schema called {of!r}"
        raise SpecError(what, where="edgekd schema", fix=f"one of: {', '.join(schemas)}")
    print_json(schemas[of]())


@store_app.command("where", epilog="Example: edgekd store where")
def store_where(store: StoreRoot = None, as_json: AsJson = False) -> None:
    """Print the store's folder."""
    from edgekd.core.store import default_store_root

    root = str(store or default_store_root())
    if as_json:
        print_json({"root": root})
        return
    typer.echo(root)  # a script goes there: as it is


@store_app.command("show", epilog="Example: edgekd store show --json")
def store_show(store: StoreRoot = None, as_json: AsJson = False) -> None:
    """List the entries: stage, size, which pipeline's last run used them."""
    from edgekd.core.store import Store, default_store_root

    place = Store(store or default_store_root())
    entries = place.entries()
    if as_json:
        print_json([{**vars(entry), "pipelines": list(entry.pipelines)} for entry in entries])
        return
    rows = [
        (
            e.stage,
            e.key[:20],
            f"{e.size_bytes / 1e6:.2f} MB",
            ", ".join(e.pipelines) or "unused: gc removes it",
        )
        for e in entries
    ]
    print_table(
        f"{store or default_store_root()}: {place.size_bytes() / 1e6:.1f} MB",
        ("stage", "key", "size", "used by"),
        rows,
    )


@store_app.command("gc", epilog="Example: edgekd store gc --dry-run")
def store_gc(
    store: StoreRoot = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what no pipeline's last run used, interrupted work and damaged entries."""
    from edgekd.core.store import Store, default_store_root

    removed = Store(store or default_store_root()).collect_garbage(dry_run=dry_run)
    if as_json:
        print_json({"count": removed.count, "size_bytes": removed.size_bytes, "dry_run": dry_run})
        return
    verb = "would remove" if dry_run else "removed"
    say(f"{verb} {removed.count} entries, {removed.size_bytes / 1e6:.1f} MB")
