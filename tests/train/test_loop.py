import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from edgekd.core.schedule import Schedule
from edgekd.data.dataset import Split
from edgekd.distill.imitation import imitation_loss
from edgekd.distill.qkd import QkdSpec
from edgekd.errors import DataError, TrainError
from edgekd.tasks.classification import ClassificationSpec
from edgekd.train import phase_run
from edgekd.train.checkpoint import Progress, load_checkpoint, save_checkpoint
from edgekd.train.label_loss import LabelLoss
from edgekd.train.loop import Trainee, compile_pays, train
from edgekd.train.options import TrainSpec
from edgekd.train.phase import KdLoss, Phase
from edgekd.train.phase_run import rate_at
from edgekd.zoo.pixels import ImageNetwork, PixelGrid

TASK = ClassificationSpec()
OPTIONS = TrainSpec(batch_size=16, compile="never")
KILLED_RUN = Path(__file__).parent / "killed_run.py"


def _network() -> ImageNetwork:
    torch.manual_seed(0)
    return ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Flatten(), nn.Linear(16, 2)))


def _phase(
    epochs: int = 3, *, loss: KdLoss | None = None, learning_rate: float = 0.1, name: str = "p"
) -> Phase:
    schedule = Schedule(epochs=epochs, learning_rate=learning_rate)
    return Phase(name, schedule, loss or LabelLoss(TASK))


def _no_metric(student: nn.Module) -> None:
    return None


class Nan(KdLoss):
    """Finite for some steps, then not a number."""

    needs_teacher = False

    def __init__(self, after: int) -> None:
        super().__init__()
        self.left = after

    def forward(self, logits_s: Tensor, logits_t: Tensor | None, y: Tensor) -> Tensor:
        self.left -= 1
        return logits_s.sum() * (1e-3 if self.left >= 0 else math.nan)


@pytest.mark.parametrize(
    ("steps", "rates"),
    [
        # a tenth of 10 steps is 1 warm-up step; then 0.5 * (1 + cos(pi * k / 9)), k = 0..8
        (10, [1.0, 1.0, 0.969846, 0.883022, 0.75, 0.586824, 0.413176, 0.25, 0.116978, 0.030154]),
        # 2 warm-up steps: 1/2, 2/2; then 0.5 * (1 + cos(pi * k / 18)), of which k = 0, 9, 17
        (20, {0: 0.5, 1: 1.0, 2: 1.0, 11: 0.5, 19: 0.007596}),
        (1, [1.0]),
        (2, [1.0, 1.0]),
    ],
)
def test_rate_at_warms_up_and_falls_as_a_cosine(steps: int, rates: list[float] | dict[int, float]) -> None:
    wanted = rates if isinstance(rates, dict) else dict(enumerate(rates))
    assert {step: rate_at(step, steps) for step in wanted} == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 9, 10, 11, 1000])
def test_rate_at_stays_within_its_peak(steps: int) -> None:
    rates = [rate_at(step, steps) for step in range(steps)]
    assert max(rates) == 1
    assert all(rate > 0 for rate in rates)


def test_compile_pays_when_there_is_enough_to_do_and_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    has_compiler = shutil.which("g++") is not None
    assert [compile_pays(TrainSpec(), steps) for steps in (1, 999, 1000)] == [False, False, has_compiler]
    monkeypatch.setenv("PATH", "")
    assert not compile_pays(TrainSpec(), 10**6)
    assert compile_pays(TrainSpec(compile="always"), 1)
    assert not compile_pays(TrainSpec(compile="never"), 10**6)


def test_train_learns_and_says_what_each_epoch_did(split: Split, tmp_path: Path) -> None:
    student = _network()
    metrics = iter([0.1, 0.2, 0.3])
    trainee = Trainee(student, None, split, lambda network: next(metrics))
    history = train(trainee, (_phase(),), OPTIONS, seed=0, scratch=tmp_path / "scratch")
    assert [(record.phase, record.epoch, record.metric) for record in history] == [
        ("p", 1, 0.1),
        ("p", 2, 0.2),
        ("p", 3, 0.3),
    ]
    assert history[-1].loss < 0.5 * history[0].loss
    assert history[-1].lr == pytest.approx(0.1 * rate_at(11, 12))
    assert not any(record.compiled for record in history)
    assert not student.training
    assert {parameter.device.type for parameter in student.parameters()} == {"cpu"}


def test_train_learns_in_bfloat16_and_keeps_its_weights_in_float32(split: Split, tmp_path: Path) -> None:
    student, options = _network(), TrainSpec(batch_size=16, compile="never", precision="bf16")
    history = train(Trainee(student, None, split, _no_metric), (_phase(),), options, seed=0, scratch=tmp_path)
    assert history[-1].loss < 0.5 * history[0].loss
    assert {parameter.dtype for parameter in student.parameters()} == {torch.float32}


def test_train_is_a_function_of_the_seed(split: Split, tmp_path: Path, one_thread: None) -> None:
    weights = []
    for run, seed in enumerate((0, 0, 1)):
        student = _network()
        train(
            Trainee(student, None, split, _no_metric),
            (_phase(1),),
            OPTIONS,
            seed=seed,
            scratch=tmp_path / str(run),
        )
        weights.append(student.state_dict()["body.1.weight"])
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_train_leaves_the_teacher_as_it_is(split: Split, tmp_path: Path) -> None:
    student, teacher = (
        _network(),
        ImageNetwork(PixelGrid.like(), nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2))),
    )
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    loss = imitation_loss(TASK, "hinton", temperature=4.0, labels=0.0, imitation=1.0)
    train(
        Trainee(student, teacher, split, _no_metric), (_phase(loss=loss),), OPTIONS, seed=0, scratch=tmp_path
    )
    assert all(torch.equal(value, before[key]) for key, value in teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_train_runs_phases_in_order_with_a_new_optimizer_each(split: Split, tmp_path: Path) -> None:
    phases = (_phase(1, name="first"), _phase(2, name="second", learning_rate=0.01))
    history = train(Trainee(_network(), None, split, _no_metric), phases, OPTIONS, seed=0, scratch=tmp_path)
    assert [(record.phase, record.epoch) for record in history] == [
        ("first", 1),
        ("second", 1),
        ("second", 2),
    ]
    assert history[0].lr <= 0.1
    assert history[1].lr <= 0.01
    assert all(record.metric is None for record in history)


def test_train_refuses_a_loss_that_needs_a_missing_teacher(split: Split, tmp_path: Path) -> None:
    loss = imitation_loss(TASK, "hinton", temperature=4.0, labels=0.1, imitation=0.9)
    with pytest.raises(TrainError, match="phase 'p' needs a teacher") as caught:
        train(
            Trainee(_network(), None, split, _no_metric),
            (_phase(loss=loss),),
            OPTIONS,
            seed=0,
            scratch=tmp_path,
        )
    assert caught.value.fix


@pytest.mark.parametrize("after", [0, 1, 6])
def test_train_refuses_a_loss_that_is_not_a_number(split: Split, tmp_path: Path, after: int) -> None:
    with pytest.raises(
        TrainError, match=f"the loss became nan in epoch {1 + after // 4} of phase 'p'"
    ) as caught:
        train(
            Trainee(_network(), None, split, _no_metric),
            (_phase(loss=Nan(after)),),
            OPTIONS,
            seed=0,
            scratch=tmp_path,
        )
    assert "learning_rate" in caught.value.fix


@pytest.mark.parametrize("batch", [1, 3], ids=["within an epoch", "at its end"])
def test_train_writes_no_checkpoint_that_is_not_finite(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(phase_run, "CHECKPOINT_SECONDS", 0.0)  # after every step
    network, steps = _network(), count()

    def spoil(gradient: Tensor) -> Tensor:  # of a loss that is finite
        return gradient * torch.nan if next(steps) == batch else gradient

    next(network.parameters()).register_hook(spoil)
    with pytest.raises(TrainError, match="is no longer finite after a step of phase 'p'"):
        train(Trainee(network, None, split, _no_metric), (_phase(),), OPTIONS, seed=0, scratch=tmp_path)
    found = load_checkpoint(tmp_path)
    assert found is not None
    assert found[0].step == batch
    assert all(tensor.isfinite().all() for tensor in found[1].values())


def test_train_refuses_a_learning_rate_that_diverges(split: Split, tmp_path: Path) -> None:
    phase = _phase(4, learning_rate=1e30)
    with pytest.raises(TrainError, match=r"the loss became|no longer finite"):
        train(Trainee(_network(), None, split, _no_metric), (phase,), OPTIONS, seed=0, scratch=tmp_path)


def test_train_refuses_batches_that_the_data_cannot_fill(split: Split, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="64 images do not fill one batch of 100"):
        train(
            Trainee(_network(), None, split, _no_metric),
            (_phase(),),
            TrainSpec(batch_size=100),
            seed=0,
            scratch=tmp_path,
        )


@pytest.fixture(scope="module")
def killed_run() -> ModuleType:
    spec = spec_from_file_location("killed_run", KILLED_RUN)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("epoch", [1, 4, 6], ids=["before any checkpoint", "teacher learns", "last phase"])
def test_train_resumes_a_killed_run_with_the_same_bits(
    killed_run: ModuleType, tmp_path: Path, one_thread: None, epoch: int
) -> None:
    scratch = tmp_path / "killed"
    died = subprocess.run(
        [sys.executable, KILLED_RUN, scratch, str(epoch)],
        env={**os.environ, "EDGEKD_PROGRESS": "off"},
        check=False,
    )
    assert died.returncode == -signal.SIGKILL
    assert (scratch / "checkpoint.safetensors").exists() == (epoch > 1)
    resumed, history = killed_run.run(scratch, kill_in_epoch=None)
    whole, expected = killed_run.run(tmp_path / "whole", kill_in_epoch=None)
    assert [record.epoch for record in history] == [1, 2, 1, 2, 1, 2]
    assert [replace(record, seconds=0.0) for record in history] == [
        replace(record, seconds=0.0) for record in expected
    ]
    assert [record.teacher_loss is not None for record in history] == [False, False, True, True, False, False]
    assert [record.teacher_metric for record in history] == [None, 0.5] * 3
    for key, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_train_resumes_within_a_long_epoch_with_the_same_bits(
    killed_run: ModuleType, tmp_path: Path, one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, expected = killed_run.run(tmp_path / "whole", kill_in_epoch=None)
    monkeypatch.setattr(phase_run, "CHECKPOINT_SECONDS", 0.0)
    steps: list[int] = []

    def stop_at_step_20(scratch: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
        steps.append(progress.step)
        save_checkpoint(scratch, progress, tensors)
        if len(steps) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(phase_run, "save_checkpoint", stop_at_step_20)
    with pytest.raises(KeyboardInterrupt):
        killed_run.run(tmp_path / "stopped", kill_in_epoch=None)
    assert steps[:9] == [1, 2, 3, 4, 5, 6, 7, 0, 1]  # eight batches; the eighth ends the epoch
    assert steps[-1] == 4  # of the third epoch, in which the teacher learns
    resumed, history = killed_run.run(tmp_path / "stopped", kill_in_epoch=None)
    assert steps[20] == 5
    assert [record.loss for record in history] == [record.loss for record in expected]
    assert all(torch.equal(value, resumed.state_dict()[key]) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("epochs", [2, 5], ids=["between two phases", "within a phase"])
def test_train_notes_that_it_was_resumed_elsewhere(
    killed_run: ModuleType,
    tmp_path: Path,
    one_thread: None,
    monkeypatch: pytest.MonkeyPatch,
    epochs: int,
) -> None:
    def stop_elsewhere(scratch: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
        elsewhere = {**progress.surroundings, "threads": 8, "torch": "1.0"}
        save_checkpoint(scratch, replace(progress, surroundings=elsewhere), tensors)
        if len(progress.history) == epochs:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(phase_run, "save_checkpoint", stop_elsewhere)
        with pytest.raises(KeyboardInterrupt):
            killed_run.run(tmp_path, kill_in_epoch=None)
    _, history = killed_run.run(tmp_path, kill_in_epoch=None)
    note = f"resumed with torch {torch.__version__} instead of 1.0, threads 1 instead of 8"
    assert [record.note for record in history] == [note if i == epochs else "" for i in range(6)]


def test_train_does_nothing_again_when_it_was_complete(killed_run: ModuleType, tmp_path: Path) -> None:
    first, history = killed_run.run(tmp_path, kill_in_epoch=None)
    again, same = killed_run.run(tmp_path, kill_in_epoch=1)  # an epoch would kill this process
    assert same == history
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in first.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{broken}", b"\x02\0\0\0\0\0\0\0{}"])
def test_train_starts_anew_when_the_checkpoint_cannot_be_read(
    killed_run: ModuleType, tmp_path: Path, one_thread: None, content: bytes
) -> None:
    (tmp_path / "checkpoint.safetensors").write_bytes(content)
    student, history = killed_run.run(tmp_path, kill_in_epoch=None)
    whole, _ = killed_run.run(tmp_path / "whole", kill_in_epoch=None)
    assert len(history) == 6
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in whole.state_dict().items())


def test_train_averages_freezes_and_leaves_the_teacher_frozen(
    killed_run: ModuleType, tmp_path: Path, one_thread: None
) -> None:
    networks, _ = killed_run.run(tmp_path, kill_in_epoch=None)
    found = load_checkpoint(tmp_path)
    assert found is not None
    _, tensors = found
    student, teacher = networks["student"], networks["teacher"]
    assert int(tensors["average.n_averaged"]) == 6 * 8
    assert any(bool(value.any()) for key, value in tensors.items() if key.endswith("frozen"))
    for name, value in student.state_dict().items():
        assert torch.equal(value, tensors[f"average.module.{name}"])
    assert not torch.equal(tensors["average.module.body.5.bias"], tensors["student.body.5.bias"])
    assert not torch.equal(teacher.body[5].weight, killed_run.network().body[5].weight)
    assert int(teacher.body[1].num_batches_tracked) == 2 * 2 * 8  # two epochs, two looks at each batch
    assert not student.training
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_train_gives_phases_their_part_of_one_schedule(split: Split, tmp_path: Path) -> None:
    """Four steps per epoch, 16 in all: the last of epoch k is step 4 k - 1 of the whole curve."""
    phases = tuple(replace(_phase(4, name=str(part)), part=part) for part in (range(1), range(1, 4)))
    history = train(Trainee(_network(), None, split, _no_metric), phases, OPTIONS, seed=0, scratch=tmp_path)
    assert [(record.phase, record.epoch) for record in history] == [
        ("range(0, 1)", 1),
        ("range(1, 4)", 1),
        ("range(1, 4)", 2),
        ("range(1, 4)", 3),
    ]
    rates = [0.1 * rate_at(step, 16) for step in (3, 7, 11, 15)]
    assert [record.lr for record in history] == pytest.approx(rates)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_train_compiles_a_student_and_a_teacher_that_learns(split: Split, tmp_path: Path) -> None:
    spec = QkdSpec(self_studying=0, schedule=Schedule(epochs=2, learning_rate=0.05))
    losses = []
    for index, mode in enumerate(("never", "always")):
        options = TrainSpec(batch_size=16, compile=mode)  # type: ignore[arg-type]
        torch.manual_seed(1)
        body = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2))
        trainee = Trainee(_network(), ImageNetwork(PixelGrid.like(), body), split, _no_metric)
        history = train(trainee, spec.phases(TASK), options, seed=0, scratch=tmp_path / str(index))
        losses.append([value for record in history for value in (record.loss, record.teacher_loss or 0.0)])
        assert all(record.compiled == (mode == "always") for record in history)
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
