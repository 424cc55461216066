import os
import subprocess
import sys

from edgekd.board.fingerprint import INTEGER_ISA, parse_cpuinfo
from edgekd.core.machine import Machine, machine, memory_bytes

X86 = """processor\t: 0
model name\t: AMD EPYC 9B45
flags\t\t: fpu sse avx2 avx512f avx_vnni avx512_vnni
processor\t: 1
model name\t: AMD EPYC 9B45
flags\t\t: fpu sse avx2 avx512f avx_vnni avx512_vnni
"""

BIG_LITTLE = """processor\t: 0
Features\t: fp asimd
CPU implementer\t: 0x41
CPU part\t: 0xd05
processor\t: 1
Features\t: fp asimd asimddp i8mm
CPU implementer\t: 0x41
CPU part\t: 0xd41
"""


def test_parse_cpuinfo_names_the_model_once_when_all_cores_are_alike():
    assert parse_cpuinfo(X86) == ("AMD EPYC 9B45", ("avx2", "avx512f", "avx512_vnni", "avx_vnni"))


def test_parse_cpuinfo_keeps_only_shared_features_when_cores_differ():
    cpu, isa = parse_cpuinfo(BIG_LITTLE)
    assert cpu == "CPU implementer 0x41 part 0xd05 + CPU implementer 0x41 part 0xd41"
    assert isa == ("asimd",)


def test_parse_cpuinfo_returns_empty_when_the_system_has_no_such_file():
    assert parse_cpuinfo("") == ("", ())


def test_machine_describes_this_process():
    found = machine()
    assert found.cpu
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert set(found.isa) <= set(INTEGER_ISA)
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert {"edgekd", "numpy", "onnxruntime"} <= set(found.runtime_versions)


def test_machine_survives_json():
    found = machine()
    assert Machine.model_validate_json(found.model_dump_json()) == found


def test_machine_imports_no_runtime():
    code = "import sys; from edgekd.core.machine import machine; machine(); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "onnxruntime", "openvino"} & set(loaded)


def test_memory_is_that_of_a_machine() -> None:
    assert 2**26 < memory_bytes() < 2**50
