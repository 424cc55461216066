"""OpenVINO's CPU plug-in as a board sees it."""

from __future__ import annotations

import json
import sys
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it tells its maker of its use
import openvino as ov  # noqa: E402

from edgekd.board.runtime import How, OpenModel, Runtime, RuntimeRefusal, one_line  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from edgekd.board.runtime import Tensor
    from edgekd.board.visits import Run

SHOWN_FIELDS = ("layerType", "runtimePrecision", "originalLayersNames", "primitiveType")
"""What the plug-in says of each node of the graph that runs."""


@lru_cache(maxsize=None)
def core() -> ov.Core:
    """Return OpenVINO, once a process."""
    return ov.Core()


class OpenVinoModel(OpenModel):
    """A model that OpenVINO has compiled for the CPU."""

    def __init__(self, model: str | bytes, how: How) -> None:
        properties: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",  # else what is left in float runs in bfloat16 where a CPU can
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": how.threads,
            "ENABLE_CPU_PINNING": False,  # whoever measures has said which cores
            "PERF_COUNT": how.profile,
        }
        try:
            read = core().read_model(model)
            self._compiled = core().compile_model(read, "CPU", properties)
            self._request = self._compiled.create_infer_request()
            self.inputs = [_tensor(port) for port in self._compiled.inputs]
            self.outputs = [_tensor(port) for port in self._compiled.outputs]
        except Exception as e:
            raise RuntimeRefusal(one_line(e)) from e
        self._profiled: list[tuple[str, float]] = []
        self._profile = how.profile

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once and return every output by name."""
        try:
            self._request.infer(dict(feeds))
        except Exception as e:
            raise RuntimeRefusal(one_line(e)) from e
        if self._profile:
            self._profiled += [
                (found.node_name, found.real_time.total_seconds() * 1e6)
                for found in self._request.get_profiling_info()
            ]
        names = [name for name, *_ in self.outputs]
        return {
            name: np.array(self._request.get_output_tensor(index).data) for index, name in enumerate(names)
        }

    def prepare(self, feeds: Mapping[str, NDArray[Any]]) -> Run:
        """Return one inference of these feeds, which are copied in each time, as others' are."""
        return partial(self._request.infer, dict(feeds))

    def shown(self) -> bytes:
        """Return name, what it reads and `SHOWN_FIELDS` of every node that runs, as JSON."""
        nodes = []
        for node in self._compiled.get_runtime_model().get_ordered_ops():
            known = node.get_rt_info()
            nodes.append(
                {
                    "name": node.get_friendly_name(),
                    "reads": [value.get_node().get_friendly_name() for value in node.input_values()],
                    **{field: known[field].astype(str) for field in SHOWN_FIELDS if field in known},
                }
            )
        return json.dumps(nodes).encode()

    def times(self) -> list[tuple[str, float]]:
        """Return the nodes that ran."""
        return self._profiled

    def close(self) -> None:
        """Let OpenVINO free its memory."""
        self._request = self._compiled = None


class OpenVino(Runtime):
    """OpenVINO's kernels for x86 and ARM CPUs."""

    title = "OpenVINO"

    def facts(self) -> dict[str, Any]:
        """Return its version."""
        return {"version": ov.__version__.partition("-")[0]}

    def open(self, model: str | bytes, how: How) -> OpenModel:
        """Compile a model for the CPU."""
        return OpenVinoModel(model, how)


def _tensor(port: Any) -> Tensor:
    sizes = [size.get_length() if size.is_static else None for size in port.partial_shape]
    return port.any_name, port.element_type.to_dtype().name, sizes


RUNTIME = OpenVino()
