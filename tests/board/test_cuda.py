"""Calls of NVIDIA's driver, by one of the test's own: the memory of its GPU is that of the machine.

It refuses what is passed wrong, such as half of an address; what a real GPU does is not tested here.
"""


def test_arrays_go_to_the_gpu_and_back(driver, printed):
    code = """
from edgekd.board.cuda import Cuda
from edgekd.board.runtime import RuntimeRefusal
gpu, array = Cuda(), np.arange(6, dtype=np.int16).reshape(2, 3)
back = np.zeros_like(array)
address = gpu.allocate(array.nbytes)
gpu.to_gpu(address, array)
gpu.from_gpu(back, address)
gpu.wait()
print(back.tolist(), gpu.stream == 0x7f0087654320)
gpu.free(address)
try:
    gpu.allocate(1 << 50)
except RuntimeRefusal as e:
    print(e)
gpu.close()
try:
    gpu._call("cuCtxSetCurrent", None)
except RuntimeRefusal as e:
    print(e)
"""
    assert printed(code) == [
        "[[0, 1, 2], [3, 4, 5]] True",
        "the GPU's driver: cuMemAlloc_v2 failed with error 2: out of memory",
        "the GPU's driver: cuCtxSetCurrent failed with error 201: not known to it",
    ]


def test_the_gpu_is_named_by_another_process(driver, printed):
    code = """
from edgekd.board.cuda import gpu_name
print(gpu_name(), "libcuda" in open("/proc/self/maps").read())
"""
    assert printed(code) == ["Test GPU False"]


def test_without_a_driver_there_is_no_gpu(tmp_path, monkeypatch, printed):
    (tmp_path / "libcuda.so.1").write_bytes(b"no library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    code = """
from edgekd.board.cuda import Cuda, gpu_name
from edgekd.board.runtime import RuntimeRefusal
print(repr(gpu_name()))
try:
    Cuda()
except RuntimeRefusal as e:
    print(str(e).partition(":")[0])
"""
    assert printed(code) == ["''", "there is no NVIDIA driver"]
