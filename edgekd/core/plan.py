"""Which stages of a pipeline would run, and why: the same function, without executing anything."""

from edgekd.core.artifact import A, P, Stage
from edgekd.core.stage_call import bind_call
from edgekd.core.store import Lookup, StageRecord, Store


class Planner:
    """A `edgekd.core.store.Runner` that never executes and never writes.

    A stage that has to run yields an artifact without key and digest; whatever takes it as an input has to
    run as well.

    Args:
        store: Where to look; its pipeline's name decides what the plan is compared with.

    Attributes:
        records: The plan so far, in the order of the run.
    """

    def __init__(self, store: Store) -> None:
        self.records: list[StageRecord] = []
        self._store = store

    def run(self, stage: Stage[P, A], /, *inputs: P.args, **named: P.kwargs) -> A:
        """Return the artifact of ``stage`` if the store has it, else a pending one.

        Args:
            stage: What to plan.
            *inputs: As for `Store.run`; artifacts may be pending.
            **named: The same by name.

        Raises:
            StoreError: If the store cannot be read.
            TypeError: If the inputs do not fit the stage, or are of another kind.
        """
        call = bind_call(stage, inputs, named)
        position = sum(record.name == stage.name for record in self.records)
        if call.pending:
            found = Lookup(None, f"because {' and '.join(call.pending)} will run")
        else:
            found = self._store.look_up(call, position=position)
        key = "" if call.pending else call.key
        cached = found.entry is not None
        self.records.append(StageRecord(stage.name, key, seconds=0.0, cached=cached, why=found.why))
        if found.entry is not None:
            return self._store.artifact(stage, found.entry)
        return stage.artifact(
            folder=self._store.layout.entry(stage.name, "pending") / "files", key="", digest=""
        )
