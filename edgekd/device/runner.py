"""A runner as a device: models go to it once, by digest, and run and are measured there."""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekd.board.arrays import pack, unpack
from edgekd.board.rounds import STANDARD, Design
from edgekd.core.machine import Machine
from edgekd.core.progress import Advance, note, progress
from edgekd.device.channel import Channel
from edgekd.device.device import Connection
from edgekd.device.doubts import doubts
from edgekd.device.latency import LatencySamples, Measurement
from edgekd.errors import DeviceError
from edgekd.runtimes.external_data import whole
from edgekd.runtimes.host import KNOWN, ONNX_RUNTIME, BuiltEngine, Host, cannot_run, refused
from edgekd.runtimes.session import Session, Tensors, tensor_info
from edgekd.runtimes.target import BuiltModel

WAIT_S = 500.0
"""Longest wait for another measurement of the same machine; shorter than the longest silence."""

_REFUSAL = "RuntimeRefusal"
_NOT_INSTALLED = ("ModuleNotFoundError", "ImportError")
_FULL = ("ENOSPC", "EDQUOT", "EFBIG")


class RunnerHost(Host):
    """The runtimes of a runner."""

    def __init__(self, channel: Channel, *, times: bool) -> None:
        self.channel, self.times = channel, times
        self._facts: dict[str, dict[str, Any]] = {}
        self._known: set[str] = set()
        self._names = itertools.count()

    def facts(self, runtime: str = ONNX_RUNTIME) -> Mapping[str, Any]:
        """Return what the runner has installed; it is asked once."""
        if runtime not in self._facts:
            found = _facts(self.channel, runtime)
            with understood(self.channel):
                found = _typed(found, KNOWN[runtime].facts)
            self._facts[runtime] = found
        return self._facts[runtime]

    def put(self, model: Path | bytes) -> str:
        """Send a model unless it is there already, and return its digest."""
        model = whole(model)
        blob = model if isinstance(model, bytes) else model.read_bytes()
        digest = hashlib.sha256(blob).hexdigest()
        if digest not in self._known:
            try:
                self.channel.ask("put", blobs={"file": blob})
            except DeviceError as e:
                raise _no_room(e, len(blob)) from e
            self._known.add(digest)
        return digest

    def open(
        self,
        model: Path | bytes,
        *,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> Session:
        """Open a model in the runner's process."""
        return RunnerSession(self, model, runtime, threads=threads, optimize=optimize)

    def shown(self, model: Path | bytes, *, runtime: str = ONNX_RUNTIME, threads: int = 1) -> bytes:
        """Return the graph that runs there."""
        with RunnerSession(self, model, runtime, threads=threads, shown=True) as session:
            return session.shown

    def profile(
        self,
        model: Path | bytes,
        feeds: Tensors,
        *,
        runs: int,
        runtime: str = ONNX_RUNTIME,
        threads: int = 1,
        optimize: bool = True,
    ) -> list[tuple[str, float]]:
        """Return what the runtime's profile says there."""
        with RunnerSession(self, model, runtime, threads=threads, optimize=optimize, profile=True) as session:
            for _ in range(runs):
                session.run(feeds)
            return session.times()

    def build(self, model: Path, options: Mapping[str, Any], *, runtime: str, cache: bytes) -> BuiltEngine:
        """Have the runner build an engine."""
        asked = {"runtime": runtime, "model": self.put(model), "options": dict(options)}
        try:
            found, blobs = self.channel.ask("build", asked, {"cache": cache})
        except DeviceError as e:
            if e.kind == _REFUSAL:
                raise refused(e.what, runtime, self.runtime_version(runtime), model) from e
            raise
        with understood(self.channel):
            return BuiltEngine(blobs["engine"], str(found["log"]), blobs["cache"])

    def next_name(self) -> str:
        """Return a name that no session has had."""
        return f"session{next(self._names)}"


class RunnerSession(Session):
    """A model that a runner has open."""

    def __init__(self, host: RunnerHost, model: Path | bytes, runtime: str, **how: Any) -> None:
        self._host, self._name, self._runtime = host, host.next_name(), runtime
        asked = {"session": self._name, "model": host.put(model), "runtime": runtime, "how": how}
        try:
            found, blobs = host.channel.ask("open", asked)
        except DeviceError as e:
            if e.kind == _REFUSAL:
                raise refused(e.what, runtime, host.runtime_version(runtime), model) from e
            raise
        with understood(host.channel):
            self.inputs, self.outputs = (
                [tensor_info(*tensor) for tensor in found[kind]] for kind in ("inputs", "outputs")
            )
        self.shown = blobs.get("shown", b"")
        self._open = True

    def run(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run once there and return every output by name."""
        try:
            _, blobs = self._host.channel.ask("run", {"session": self._name}, {"feeds": pack(feeds)})
        except DeviceError as e:
            if e.kind == _REFUSAL:
                raise cannot_run(e.what, self._runtime, self._host.runtime_version(self._runtime)) from e
            raise
        with understood(self._host.channel):
            found = unpack(blobs["outputs"])
            return {output.name: found[output.name] for output in self.outputs}

    def times(self) -> list[tuple[str, float]]:
        """Return operator and microseconds of everything that ran."""
        found, _ = self._host.channel.ask("times", {"session": self._name})
        with understood(self._host.channel):
            times = [(str(name), float(microseconds)) for name, microseconds in found["times"]]
            if not all(0 <= microseconds < np.inf for _, microseconds in times):
                msg = "times that no clock shows"
                raise ValueError(msg)
            return times

    def close(self) -> None:
        """Give back the runner's memory."""
        if self._open and not self._host.channel.lost:
            self._open = False
            self._host.channel.ask("close", {"session": self._name})


class RunnerConnection(Connection):
    """A runner that answers.

    Args:
        channel: Its channel.
        times: Whether its clock means something.

    Raises:
        DeviceError: If it does not answer, or its Python lacks what is needed.
    """

    def __init__(self, channel: Channel, *, times: bool = True) -> None:
        found, _ = channel.ask("describe")
        with understood(channel):
            self.channel, self.machine = channel, Machine(**found["identity"])
        self.host: RunnerHost = RunnerHost(channel, times=times)

    def measure(
        self,
        models: Mapping[str, BuiltModel],
        feeds: Mapping[str, Tensors],
        *,
        seed: int,
        design: Design = STANDARD,
    ) -> Measurement:
        """Have the runner measure; another measurement of its machine is waited for."""
        if not self.times:
            msg = "latency of an emulated CPU means nothing"
            raise DeviceError(msg, where=self.channel.device, fix="measure on the device itself: ssh:HOST")
        for model in models.values():
            self.host.facts(model.target.kind)  # says what is missing better than the one who measures
        engines = {
            label: {
                "model": self.host.put(model.path),
                "runtime": model.target.kind,
                "threads": model.target.threads,
            }
            for label, model in models.items()
        }
        inputs = {
            f"{index}/{name}": value
            for index, label in enumerate(models)
            for name, value in feeds[label].items()
        }
        asked = {
            "engines": engines,
            "design": asdict(design),
            "seed": seed,
            "wait_s": WAIT_S,
        }
        with progress(f"measure {', '.join(models)}", design.sessions * design.rounds) as advance:
            found, blobs = self.channel.ask(
                "measure", asked, {"example": pack(inputs)}, on_progress=_told_to(advance)
            )
        with understood(self.channel):
            samples = _samples(found, unpack(blobs["times_ms"]), design, models)
            before, after = found["before"], found["after"]
            cores = tuple(map(int, found["cores"]))
        saturates = any(self.host.facts(model.target.kind).get("saturates") for model in models.values())
        said = doubts(before, after, saturates=saturates, isa=self.machine.isa)
        return Measurement(samples, said, before, after, cores)


def _told_to(advance: Advance) -> Callable[[int, int], None]:
    """Return what to call with the rounds done and planned; none planned yet means waiting."""
    counted = 0

    def tell(done: int, total: int) -> None:
        nonlocal counted
        if total == 0:
            note("another measurement of this machine goes on: it is waited for")
        else:
            advance(done - counted, total=total)
            counted = done

    return tell


def _typed(found: Mapping[str, Any], kinds: Mapping[str, type]) -> dict[str, Any]:
    """Return what was asked for, of the types that it has to have."""
    for name, kind in kinds.items():
        if type(found[name]) is not kind:
            msg = f"{name} is no {kind.__name__}"
            raise TypeError(msg)
    return {name: found[name] for name in kinds}


def _facts(channel: Channel, runtime: str) -> dict[str, Any]:
    try:
        found, _ = channel.ask("facts", {"runtime": runtime})
    except DeviceError as e:
        if e.kind not in _NOT_INSTALLED:
            raise
        what = f"its Python cannot import what runs models: {e.what}"
        known = KNOWN[runtime]
        ways = [f"python3 -m pip install numpy {known.package}", *filter(None, [known.on_boards])]
        fix = f"install it there: {'; '.join(ways)}; or set device.python to another"
        raise DeviceError(what, where=channel.device, fix=fix) from e
    return found


def _no_room(error: DeviceError, size_bytes: int) -> DeviceError:
    """Return what to raise when a model could not be put there."""
    if error.kind not in _FULL:
        return error
    what = f"there is no room for a model of {size_bytes / 1e6:.1f} MB: {error.what}"
    fix = "make room in its folder for temporary files, or have its login set TMPDIR to another one"
    return DeviceError(what, where=error.where, fix=fix, kind=error.kind)


def _samples(
    found: Mapping[str, Any], times: Mapping[str, Any], design: Design, models: Iterable[str]
) -> dict[str, LatencySamples]:
    """Return what a runner measured of models, as numbers that a clock can have said."""
    samples = {}
    for index, name in enumerate(models):
        figures = found["engines"][name]
        sessions = [times[f"{index}/{session}"] for session in range(len(figures["opened_ms"]))]
        samples[name] = LatencySamples(
            name,
            np.stack(sessions).astype(np.float64),
            int(figures["warmup"]),
            design.sessions,
            tuple(map(float, figures["opened_ms"])),
            int(figures["peak_bytes"]),
        )
        if not _from_a_clock(samples[name].times_ms):
            msg = "times that no clock shows"
            raise ValueError(msg)
    return samples


def _from_a_clock(times_ms: NDArray[np.float64]) -> bool:
    """Whether these are times (sessions, rounds, repeats) longer than nothing."""
    return times_ms.ndim == 3 and times_ms.size > 0 and bool(np.all(np.isfinite(times_ms) & (times_ms > 0)))


@contextmanager
def understood(channel: Channel) -> Iterator[None]:
    """Say of a device what it is that answers something else than it was asked for."""
    try:
        yield
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError) as e:
        what = f"what it answers cannot be read: {type(e).__name__}"
        fix = "is it the board that you mean, and its memory and disk in order? run the command again"
        raise DeviceError(what, where=channel.device, fix=fix) from e
