"""A stand-in for TensorRT's bindings: one engine, y = 2 x for x float32 (N, 3) with N from 1 to 4.

It answers as the documentation of the real ones says, which a test elsewhere asks for their names.
"""

import ctypes
import json
from types import SimpleNamespace
from typing import Any

import numpy as np

LARGEST = 4


class ILogger:
    Severity = SimpleNamespace(ERROR=1, WARNING=2)

    def log(self, severity: int, message: str) -> None:
        raise NotImplementedError


class IProfiler:
    def report_layer_time(self, layer_name: str, ms: float) -> None:
        raise NotImplementedError


class Context:
    def __init__(self, logger: Any) -> None:
        self.logger, self.profiler = logger, None
        self.shape, self.addresses = (-1, 3), {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        if len(shape) != 2 or not 1 <= shape[0] <= LARGEST or shape[1] != 3:
            self.logger.log(ILogger.Severity.ERROR, f"setInputShape:\n {name} is out of {shape}")
            return False
        self.shape = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shape

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        values = self.shape[0] * self.shape[1]
        x, y = ((ctypes.c_float * values).from_address(self.addresses[name]) for name in "xy")
        y[:] = [2 * value for value in x]
        if self.profiler is not None:
            self.profiler.report_layer_time("double", 0.25)
        return bool(stream_handle)


class Inspector:
    execution_context: Context

    def get_engine_information(self, form: str) -> str:
        return json.dumps({"Layers": [{"dimensions": self.execution_context.shape}]})


class Engine:
    num_io_tensors = 2

    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def get_tensor_name(self, index: int) -> str:
        return "xy"[index]

    def get_tensor_mode(self, name: str) -> str:
        return {"x": "input", "y": "output"}[name]

    def get_tensor_location(self, name: str) -> str:
        return "device"

    def get_tensor_dtype(self, name: str) -> str:
        return "float32"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return -1, 3

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        return [(1, 3), (1, 3), (LARGEST, 3)]

    def create_execution_context(self) -> Context:
        return Context(self.logger)

    def create_engine_inspector(self) -> Inspector:
        return Inspector()


class Runtime:
    def __init__(self, logger: Any) -> None:
        self.logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> Engine | None:
        if serialized_engine != b"engine":
            self.logger.log(ILogger.Severity.ERROR, "the magic tag does not match")
            return None
        return Engine(self.logger)


TensorIOMode = SimpleNamespace(INPUT="input", OUTPUT="output")
TensorLocation = SimpleNamespace(DEVICE="device")
LayerInformationFormat = SimpleNamespace(JSON="json")
nptype = np.dtype
