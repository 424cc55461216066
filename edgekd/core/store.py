"""The artifact store: runs a stage once for the same inputs, and resumes it after an interruption."""

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from filelock import Timeout

from edgekd.core.artifact import A, P, Stage
from edgekd.core.atomic import check_writable
from edgekd.core.entry import SCRATCH, DamagedEntryError, Entry, FileHashes, commit_entry, read_entry
from edgekd.core.faults import fault_point
from edgekd.core.garbage import EntryInfo, GarbageReport, collect_garbage, folder_size_bytes, list_entries
from edgekd.core.history import PipelineHistory
from edgekd.core.layout import StoreLayout, clear_lock, full_disk, lock_holder, sign_lock, user_cache
from edgekd.core.live_run import LiveRun
from edgekd.core.progress import note
from edgekd.core.running import RunningStage, running, running_stage
from edgekd.core.stage_call import StageCall, bind_call, explain_change
from edgekd.errors import StoreError


class Runner(Protocol):
    """What a pipeline is written against: `Store` executes it, `edgekd.core.plan.Planner` prints its plan."""

    def run(self, stage: Stage[P, A], /, *inputs: P.args, **named: P.kwargs) -> A:
        """Return the artifact of ``stage`` for these inputs."""
        ...


@dataclass(frozen=True)
class StageRecord:
    """What happened to one stage of a run.

    Attributes:
        name: Name of the stage.
        key: Identity of its inputs, 64 hex digits; empty if it cannot be known before another stage has run.
        seconds: Time spent in this run; 0 in a plan.
        cached: True if the artifact was in the store.
        why: One short sentence: ``cached``, or why the stage has to run.
    """

    name: str
    key: str
    seconds: float
    cached: bool
    why: str


@dataclass(frozen=True)
class Lookup:
    """What the store has for a call.

    Attributes:
        entry: The verified entry; None if the stage has to run.
        why: As in `StageRecord`.
        damaged: True if there is an entry that cannot be used.
    """

    entry: Entry | None
    why: str
    damaged: bool = False


class Store:
    """A folder of artifacts. One `Store` object stands for one run of a pipeline, which ends with `finish`.

    Args:
        root: Folder of the store; made when something is first written.
        pipeline: Name of the pipeline, for ``why`` and for garbage collection: entries that were only used
            without a name are not kept by `collect_garbage`.
        announce: Gets one line of text for every stage, and when it waits or sets a damaged entry aside.
        tells_stages: Whether it gets the lines for every stage.
        devices: Processes that may share the training of a stage; no part of the key.

    Attributes:
        records: What happened so far, in the order of the run.

    Raises:
        StoreError: If the pipeline's name holds other characters than letters, digits and ``_.-``.
    """

    def __init__(
        self,
        root: Path,
        *,
        pipeline: str = "",
        announce: Callable[[str], None] = lambda message: None,
        tells_stages: bool = True,
        devices: int = 1,
    ) -> None:
        if re.fullmatch(r"[A-Za-z0-9_.-]*", pipeline) is None:
            what = f"{pipeline!r} cannot be the name of a pipeline"
            raise StoreError(what, fix="use letters, digits and _ . - only")
        self.layout = StoreLayout(root.absolute())
        self.pipeline = pipeline
        self.devices = devices
        self.records: list[StageRecord] = []
        self._announce = announce
        self._tells_stages = tells_stages
        self._history = PipelineHistory(self.layout, pipeline)
        self._live = LiveRun(self.layout) if pipeline else None
        self._hashes = FileHashes()

    def check_writable(self) -> None:
        """Say before the long work starts that the store cannot be written.

        Raises:
            StoreError: If so.
        """
        with self.layout.storage_errors():
            check_writable(self.layout.root)

    def run(self, stage: Stage[P, A], /, *inputs: P.args, **named: P.kwargs) -> A:
        """Return the artifact of ``stage`` for these inputs, running it if the store does not have it.

        Args:
            stage: What to run.
            *inputs: Specs, artifacts, JSON values, or lists, tuples and dicts of them.
            **named: The same by name.

        Raises:
            StoreError: If the store cannot be read or written, or the stage left a symbolic link.
            TypeError: If the inputs do not fit the stage, or are of another kind.
        """
        call = bind_call(stage, inputs, named)
        if call.pending:
            what = f"{stage.name} needs the artifact of {call.pending[0]}, which is only planned"
            raise StoreError(what)
        position = sum(record.name == stage.name for record in self.records)
        with self._locked(call):
            start = time.perf_counter()
            if self._live is not None:
                with self.layout.storage_errors():
                    self._live.keep(call.key)
            found = self.look_up(call, position=position)
            if self._tells_stages:
                self._announce(f"{stage.name}: {found.why}")
            if found.damaged:
                self._set_aside(call)
            entry = found.entry or self._execute(call, stage, inputs, named)
            with self.layout.storage_errors():
                _remove_work(self.layout.work(call.key))
                self._history.record(call, position)
            seconds = time.perf_counter() - start
        cached = found.entry is not None
        self.records.append(StageRecord(stage.name, call.key, seconds=seconds, cached=cached, why=found.why))
        return self.artifact(stage, entry)

    def finish(self) -> None:
        """Declare that the pipeline has made all its calls: what only earlier runs used becomes garbage.

        Raises:
            StoreError: If the store cannot be written.
        """
        names = [record.name for record in self.records]
        with self.layout.storage_errors():
            self._history.keep_only({name: names.count(name) for name in names})
            if self._live is not None:
                self._live.release()

    def look_up(self, call: StageCall, *, position: int) -> Lookup:
        """Find and verify the entry of a call, without changing anything.

        Args:
            call: A call without pending inputs.
            position: Number of earlier calls of this stage in the run.

        Raises:
            StoreError: If the store cannot be read.
        """
        folder = self.layout.entry(call.stage, call.key)
        with self.layout.storage_errors():
            if folder.exists():
                try:
                    return Lookup(read_entry(folder, self._hashes), "cached")
                except DamagedEntryError as e:
                    return Lookup(None, f"entry was damaged: {e.what}", damaged=True)
            if any((self.layout.work(call.key) / SCRATCH).glob("*")):
                return Lookup(None, "resumes an interrupted run")
            last = self._history.last(call.stage, position)
        if last is not None:
            return Lookup(None, explain_change(call, last))
        first = "first run of this stage"
        return Lookup(None, f"{first} for pipeline {self.pipeline}" if self.pipeline else first)

    def artifact(self, stage: Stage[P, A], entry: Entry) -> A:
        """Return the artifact of an entry."""
        folder = self.layout.entry(entry.stage, entry.key) / "files"
        return stage.artifact(folder=folder, key=entry.key, digest=entry.digest)

    def entries(self) -> list[EntryInfo]:
        """Return all entries, sorted by stage and key.

        Raises:
            StoreError: If the store cannot be read.
        """
        with self.layout.storage_errors():
            return list_entries(self.layout)

    def collect_garbage(self, *, dry_run: bool = False) -> GarbageReport:
        """Remove entries that no pipeline's last run used, interrupted runs and damaged entries.

        What an unfinished run uses, or another process works on, stays.

        Args:
            dry_run: Only report what would be removed.

        Raises:
            StoreError: If the store cannot be written.
        """
        with self.layout.storage_errors():
            return collect_garbage(self.layout, dry_run=dry_run)

    def size_bytes(self) -> int:
        """Return the size of the whole store on disk."""
        with self.layout.storage_errors():
            return folder_size_bytes(self.layout.root)

    @contextmanager
    def _locked(self, call: StageCall) -> Iterator[None]:
        with self.layout.storage_errors():
            lock = self.layout.lock(call.key)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                holder = lock_holder(lock) or "another process"
                self._announce(f"{call.stage}: waiting for {holder}, which runs the same stage")
                lock.acquire()
            sign_lock(lock, holder=f"pipeline {self.pipeline}" if self.pipeline else "a program")
        try:
            yield
        finally:
            with suppress(OSError):
                clear_lock(lock)
            lock.release()

    def _set_aside(self, call: StageCall) -> None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%f")
        target = self.layout.corrupt / f"{now}-{call.key}"
        fault_point("aside.begin")
        with self.layout.storage_errors():
            target.parent.mkdir(exist_ok=True)
            self.layout.entry(call.stage, call.key).rename(target)
        fault_point("aside.renamed")
        self._announce(f"{call.stage}: the damaged entry is now in {target}")

    def _execute(
        self, call: StageCall, stage: Stage[..., A], inputs: tuple[Any, ...], named: Mapping[str, Any]
    ) -> Entry:
        work = self.layout.work(call.key)
        this = RunningStage(
            module=stage.function.__module__,
            name=stage.name,
            folder=work,
            inputs=inputs,
            named=named,
            devices=self.devices,
            store=self.layout.root,
            pipeline=self.pipeline,
        )
        with self.layout.storage_errors():
            _clear(work)
        start = time.perf_counter()
        try:
            with running(this):
                stage.function(work, *inputs, **named)
        except Exception as e:
            if error := full_disk(e):
                raise self.layout.storage_error(error) from e
            raise
        seconds = time.perf_counter() - start
        with self.layout.storage_errors():
            return commit_entry(work, self.layout.entry(call.stage, call.key), call, seconds=seconds)


def inner_store() -> Store:
    """Return the store for what the running stage has made by stages of its own, such as trials of a search.

    They are entries like any other: other runs find them, and they are kept as long as the pipeline's.

    Raises:
        StoreError: If no stage runs.
    """
    outer = running_stage()
    if outer is None:
        what = "no stage runs, whose stages could be kept"
        raise StoreError(what, fix="run it with Store.run")
    name = f"{outer.pipeline}.{outer.name}" if outer.pipeline else ""
    return Store(outer.store, pipeline=name, announce=note, tells_stages=False, devices=outer.devices)


def default_store_root() -> Path:
    """Return ``$EDGEKD_STORE``, else ``$XDG_CACHE_HOME/edgekd``, else ``~/.cache/edgekd``."""
    if root := os.environ.get("EDGEKD_STORE"):
        return Path(root).expanduser()
    return user_cache() / "edgekd"


def _remove_work(work: Path) -> None:
    """Remove what a stage leaves once its entry is there, also one that was killed just then."""
    for folder in work.parent.glob(f"{work.name}*"):
        shutil.rmtree(folder)


def _clear(work: Path) -> None:
    """Make ``work`` empty but for the checkpoints of an interrupted run."""
    work.mkdir(parents=True, exist_ok=True)
    for folder in work.parent.glob(f"{work.name}.*"):  # of an interrupted commit, or removal
        shutil.rmtree(folder)
    for item in work.iterdir():
        if item.is_symlink() or not item.is_dir():
            item.unlink()
        elif item.name != SCRATCH:
            shutil.rmtree(item)
