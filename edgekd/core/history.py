"""What each pipeline's last run called: why a stage runs now, and what garbage collection must keep."""

import json
from collections.abc import Callable, Mapping

from pydantic import BaseModel

from edgekd.core.atomic import write_json
from edgekd.core.layout import StoreLayout
from edgekd.core.stage_call import StageCall
from edgekd.errors import StoreError


class PipelineCalls(BaseModel):
    """The calls of one pipeline, by stage, in the order of the run."""

    stages: dict[str, list[StageCall]] = {}


class PipelineHistory:
    """The calls of one pipeline across runs; remembers nothing if the pipeline has no name.

    A stage may be called more than once in a run (one call per target), so a call is found by its stage and
    its position among the calls of that stage.
    """

    def __init__(self, layout: StoreLayout, pipeline: str) -> None:
        self._layout = layout
        self._pipeline = pipeline

    def last(self, stage: str, position: int) -> StageCall | None:
        """Return the call that the last run made at this position (from 0), None if it made none."""
        calls = _read(self._layout, self._pipeline).stages.get(stage, [])
        return calls[position] if position < len(calls) else None

    def record(self, call: StageCall, position: int) -> None:
        """Remember ``call`` in place of the last run's call at this position."""

        def replace(stages: dict[str, list[StageCall]]) -> None:
            stages.setdefault(call.stage, [])[position : position + 1] = [call]

        if self.last(call.stage, position) != call:
            self._update(replace)

    def keep_only(self, counts: Mapping[str, int]) -> None:
        """Forget all but the first ``counts[stage]`` calls of each stage."""

        def trim(stages: dict[str, list[StageCall]]) -> None:
            for stage in list(stages):
                del stages[stage][counts.get(stage, 0) :]

        self._update(trim)

    def _update(self, change: Callable[[dict[str, list[StageCall]]], None]) -> None:
        if not self._pipeline:
            return
        with self._layout.lock(f"pipeline-{self._pipeline}"):
            calls = _read(self._layout, self._pipeline)
            change(calls.stages)
            self._layout.pipelines.mkdir(exist_ok=True)
            write_json(self._layout.pipelines / f"{self._pipeline}.json", calls.model_dump(mode="json"))


def pipelines_by_key(layout: StoreLayout) -> dict[str, list[str]]:
    """Return the names of the pipelines whose last run used a key, for every key in use."""
    found: dict[str, list[str]] = {}
    for path in sorted(layout.pipelines.glob("*.json")):
        keys = {call.key for calls in _read(layout, path.stem).stages.values() for call in calls}
        for key in keys:
            found.setdefault(key, []).append(path.stem)
    return found


def _read(layout: StoreLayout, pipeline: str) -> PipelineCalls:
    path = layout.pipelines / f"{pipeline}.json"
    if not pipeline or not path.exists():
        return PipelineCalls()
    try:
        return PipelineCalls.model_validate(json.loads(path.read_bytes()))
    except ValueError as e:
        what = f"the history of pipeline {pipeline} cannot be read"
        raise StoreError(what, where=str(path), fix="remove this file, then run the pipeline again") from e
