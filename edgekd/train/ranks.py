"""One process or many: the same training, each process with its share of every batch.

Processes are those of torchrun, or the ones that `share_training` starts for ``edgekd compress --devices N``.
Gradients are averaged; BatchNorm normalizes with the statistics of a process's own share, and the running
statistics are those of the first process. The first process alone evaluates, shows progress and writes.
"""

import hashlib
import logging
import os
import socket
import sys
from multiprocessing.connection import Connection

import torch
from lightning_fabric import Fabric
from safetensors.torch import save
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, start_processes

from edgekd.board.parent import end_with_parent
from edgekd.core.running import RunningStage, running, running_stage
from edgekd.core.user_code import allow_user_code, user_code_is_allowed
from edgekd.errors import EdgeKdError, TrainError


def make_fabric() -> Fabric:
    """Return the Fabric of this process, alone or one of torchrun's."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return Fabric(accelerator="auto", devices=1)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    fabric = Fabric(accelerator=accelerator, devices=here, num_nodes=world // here, strategy="ddp")
    fabric.launch()
    return fabric


def check_devices(devices: int, *, batch_size: int) -> None:
    """Say before the long work starts that ``devices`` processes cannot share batches of ``batch_size``.

    Raises:
        TrainError: If so, or if torchrun has started this process.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        what = "torchrun would start the whole pipeline in every process"
        raise TrainError(
            what, fix="run edgekd compress SPEC --devices N: it starts them for the training alone"
        )
    if batch_size % devices:
        what = f"{devices} processes cannot share batches of {batch_size} images"
        raise TrainError(what, where="training.batch_size", fix=f"use a multiple of {devices}")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else devices
    if gpus < devices:
        what = f"--devices {devices}, but this machine has {gpus} GPUs"
        raise TrainError(what, fix=f"use --devices {gpus}, or hide the GPUs to train on the CPU")


def share(fabric: Fabric, batch: Tensor) -> Tensor:
    """Return this process's part of a batch, on its device.

    Raises:
        TrainError: If the parts would not be equal: their mean gradient would be another one.
    """
    if len(batch) % fabric.world_size:
        what = f"{fabric.world_size} processes cannot share batches of {len(batch)} images"
        raise TrainError(what, where="training.batch_size", fix=f"use a multiple of {fabric.world_size}")
    part: Tensor = fabric.to_device(batch[fabric.global_rank :: fabric.world_size])
    return part


def assert_same_weights(fabric: Fabric, network: nn.Module) -> None:
    """Compare the digests of all processes' weights.

    Raises:
        TrainError: If they differ.
    """
    if fabric.world_size == 1:
        return
    weights = {name: weight.detach().cpu().contiguous() for name, weight in network.named_parameters()}
    sha256 = hashlib.sha256(save(weights)).digest()
    digests = _gather(fabric, torch.tensor(list(sha256), dtype=torch.uint8))
    if any(not torch.equal(digest, digests[0]) for digest in digests):
        what = "the processes no longer have the same weights"
        raise TrainError(what, fix="report it; --devices 1 trains in one process")


def mean(fabric: Fabric, value: float) -> float:
    """Return the mean of all processes' values; the same bits in one process."""
    if fabric.world_size == 1:
        return value
    values = _gather(fabric, torch.tensor(value, dtype=torch.float64))
    return sum(float(each) for each in values) / fabric.world_size


def _gather(fabric: Fabric, value: Tensor) -> list[Tensor]:
    """Return the tensors of all processes, in their order."""
    mine = fabric.to_device(value)
    found = [torch.empty_like(mine) for _ in range(fabric.world_size)]
    torch.distributed.all_gather(found, mine)
    return found


def share_training() -> bool:
    """Let other processes train first if the running stage may use them; what they leave is a checkpoint.

    Returns:
        Whether they did.

    Raises:
        EdgeKdError: What the first of them raised.
        TrainError: If one of them was killed.
    """
    stage = running_stage()
    if stage is None or stage.devices == 1 or _is_worker():
        return False
    receiver, sender = torch.multiprocessing.get_context("spawn").Pipe(duplex=False)
    arguments = (stage, _free_port(), user_code_is_allowed(), sender, os.getpid())
    workers = start_processes(  # type: ignore[no-untyped-call]
        _work, arguments, nprocs=stage.devices, join=False, daemon=True, start_method="spawn"
    )
    assert workers is not None
    try:
        while not workers.join():
            pass
    except ProcessRaisedException:
        if receiver.poll():
            kind, what, where, fix = receiver.recv()
            raise kind(what, where=where, fix=fix) from None
        raise
    except ProcessExitedException as e:
        what = (
            f"training process {e.error_index + 1} of {stage.devices} ended: {e.signal_name or e.exit_code}"
        )
        raise TrainError(what, fix="run again: it goes on after the last checkpoint") from None
    finally:
        for process in workers.processes:
            process.kill()
    return True


def end_of_training(fabric: Fabric) -> None:
    """End a process of `share_training`: the rest of the stage is for the process that started it.

    It ends at once. Taking down the connections between the processes can wait for each other for ever.
    """
    if _is_worker():
        fabric.barrier()
        sys.stderr.flush()
        os._exit(0)


def _is_worker() -> bool:
    return os.environ.get("EDGEKD_WORKER") == "1"


def _work(
    rank: int, stage: RunningStage, port: int, user_code: bool, sender: Connection, parent: int
) -> None:
    """Run a stage up to the end of its training, as one of ``stage.devices`` processes."""
    end_with_parent(parent)  # also while it waits for another process that will never come
    size = str(stage.devices)
    os.environ.update(
        EDGEKD_WORKER="1", RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=size, LOCAL_WORLD_SIZE=size,
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), TORCHELASTIC_RUN_ID="edgekd", GROUP_RANK="0",
    )  # fmt: skip
    if rank:
        os.environ["EDGEKD_PROGRESS"] = "off"
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    if user_code:
        allow_user_code()
    try:
        with running(stage):
            stage.function()(stage.folder, *stage.inputs, **stage.named)
    except EdgeKdError as e:
        sender.send((type(e), e.what, e.where, e.fix))
        raise


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
