"""What the board asks of TensorRT is there in every version that edgekd claims, by NVIDIA's own bindings.

The bindings are small and on every package index; the libraries under them are neither. A few empty functions
stand for these, which is enough to import the bindings and to ask them what they have.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("tensorrt_names.py")
LIBRARIES = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
ENTRY_POINTS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)
USED = {
    "Builder.create_network",
    "IBuilderConfig.profiling_verbosity",
    "config.set_timing_cache(ignore_mismatch=)",
    "ITimingCache.serialize",
    "IOptimizationProfile.set_shape",
    "INetworkDefinition.get_input",
    "ITensor.shape",
    "OnnxParser.parse_from_file",
    "ParserError.desc",
    "Runtime.deserialize_cuda_engine",
    "ICudaEngine.get_tensor_shape",
    "IExecutionContext.execute_async_v3",
    "IExecutionContext.set_tensor_address",
    "EngineInspector.execution_context",
    "ILogger.log",
    "ILogger.Severity.ERROR",
    "IProfiler.report_layer_time",
}
"""Something of every class: names that the script finds no class for would go unchecked."""

OF_VERSION_10 = ["NetworkDefinitionCreationFlag.STRONGLY_TYPED"]
"""What 11 takes and ignores, and 10 needs."""


@pytest.fixture
def ask(tmp_path):
    """Return a function that runs the script with the bindings in a folder, or with ``tensorrt_rtx``."""

    def run(where: str) -> dict[str, object]:
        libraries = [] if where == "tensorrt_rtx" else empty_libraries(Path(where), tmp_path)
        command = [sys.executable, "-W", "error", str(SCRIPT), where, *libraries]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def empty_libraries(folder: Path, scratch: Path) -> list[str]:
    """Make what the bindings in a folder are linked to, and return the paths."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler (cc) to make the libraries that the bindings ask for")
    init = (folder / "tensorrt_bindings" / "__init__.py").read_text()
    (major,) = re.findall(r'(?m)^__version__ = "(\d+)\.', init)
    source = scratch / "empty.c"
    source.write_text("\n".join(f"void *{name}(void) {{ return 0; }}" for name in ENTRY_POINTS))
    paths = [scratch / f"lib{name}.so.{major}" for name in LIBRARIES]
    for path in paths:
        soname = f"-Wl,-soname,{path.name}"
        subprocess.run([compiler, "-shared", "-fPIC", soname, "-o", path, source], check=True)
    return list(map(str, paths))


def installed(module: str) -> str:
    """Return the folder that a module is installed in."""
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        pytest.skip(f"{module} is not installed (pip install 'edgekd[test]')")
    return str(Path(found.origin).parents[1])


def older() -> str:
    """Return the folder with the oldest bindings that edgekd is for."""
    folder = os.environ.get("EDGEKD_OLD_TENSORRT")
    if folder is None:
        pytest.skip("EDGEKD_OLD_TENSORRT names no folder with older bindings (pip install --target)")
    return folder


@pytest.mark.parametrize(
    ("where", "version", "deprecated"),
    [
        pytest.param(lambda: installed("tensorrt_bindings"), "11.", OF_VERSION_10, id="11"),
        pytest.param(older, "10.3.", [], id="10.3"),
        pytest.param(
            lambda: installed("tensorrt_rtx_bindings") and "tensorrt_rtx", "1.", OF_VERSION_10, id="rtx"
        ),
    ],
)
def test_every_name_that_the_board_uses_is_there_and_none_is_deprecated(ask, where, version, deprecated):
    told = ask(where())
    assert told["version"].startswith(version)
    assert set(told["read"]) >= USED
    assert told["lacking"] == []
    assert told["deprecated"] == deprecated


def test_a_builder_that_cannot_be_made_is_a_refusal(ask):
    assert "nullptr" in ask(installed("tensorrt_bindings"))["refusal"]


def test_an_old_version_counts_as_missing(printed):
    code = """
import types
from edgekd.board.tensorrt import RUNTIME
sys.modules["tensorrt"] = types.SimpleNamespace(__version__="8.6.1")
try:
    RUNTIME.facts()
except ImportError as e:
    print(e)
"""
    assert printed(code) == ["TensorRT 8.6.1 is too old: edgekd needs version 10 or newer"]
