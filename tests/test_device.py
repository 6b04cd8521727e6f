"""Which torch device a fit uses, on machines that have it and on machines that do not."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from _nets import NETS, target, tiny
from filelock import FileLock, Timeout

import hybridlearn.training._net
import hybridlearn.training._train
from hybridlearn._device import alone_on, autocast, cuda_indices, present_devices, resolve_device

Monkeypatch = pytest.MonkeyPatch


def pretend(monkeypatch: Monkeypatch, *, cuda: int = 0, mps: bool = False, current: int = 0) -> None:
    """A machine with this many CUDA devices, with or without Apple's MPS."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)


@pytest.mark.parametrize(
    ("cuda", "mps", "expected"), [(0, False, "cpu"), (0, True, "mps"), (2, False, "cuda"), (1, True, "cuda")]
)
def test_auto_takes_the_best_that_is_there(monkeypatch: Monkeypatch, cuda: int, mps: bool, expected: str) -> None:
    pretend(monkeypatch, cuda=cuda, mps=mps)
    assert resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("name", ["cpu", "mps", "cuda", "cuda:0", "cuda:1"])
def test_a_device_that_is_there_is_taken(monkeypatch: Monkeypatch, name: str) -> None:
    pretend(monkeypatch, cuda=2, mps=True)
    assert resolve_device(name) == torch.device(name)


@pytest.mark.parametrize("name", ["mps", "cuda", "cuda:0", "meta"])
def test_a_device_that_is_not_there_is_named(monkeypatch: Monkeypatch, name: str) -> None:
    pretend(monkeypatch)
    with pytest.raises(ValueError, match=f"device='{name}' is not present on this machine; device='auto'"):
        resolve_device(name)


def test_the_third_of_two_cuda_devices_is_not_there(monkeypatch: Monkeypatch) -> None:
    pretend(monkeypatch, cuda=2)
    with pytest.raises(ValueError, match="device='cuda:2' is not present"):
        resolve_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "", "cuda:first"])
def test_a_string_that_names_no_device_is_shown_with_those_that_do(name: str) -> None:
    with pytest.raises(ValueError, match=f"device='{name}' is not a torch device; try 'auto', 'cpu' or 'cuda:0'"):
        resolve_device(name)


def test_random_states_are_put_aside_for_the_one_cuda_device_of_a_fit(monkeypatch: Monkeypatch) -> None:
    pretend(monkeypatch, cuda=3, current=2)
    assert cuda_indices(torch.device("cuda:1")) == [1]
    assert cuda_indices(torch.device("cuda")) == [2]
    assert cuda_indices(torch.device("cpu")) == []
    assert cuda_indices(torch.device("mps")) == []


def test_present_devices_are_told_by_kind_the_cpu_first(monkeypatch: Monkeypatch) -> None:
    for cuda, mps, expected in [(0, False, ["cpu"]), (2, False, ["cpu", "cuda"]), (1, True, ["cpu", "cuda", "mps"])]:
        pretend(monkeypatch, cuda=cuda, mps=mps)
        assert present_devices() == expected


# -- bfloat16


@pytest.mark.parametrize("device", ["cpu", torch.device("cpu"), "mps"], ids=str)
def test_elsewhere_than_on_cuda_products_stay_in_float32(device: Any) -> None:
    with autocast(device):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("knows", [True, False])
def test_products_are_in_bfloat16_on_a_cuda_device_that_knows_it(monkeypatch: Monkeypatch, knows: bool) -> None:
    asked = []
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: knows)
    monkeypatch.setattr(torch, "autocast", lambda *args: asked.append(args))
    autocast("cuda:0")
    assert asked == [("cuda", torch.bfloat16)] * knows


@pytest.mark.parametrize("cls", NETS)
def test_every_net_trains_in_bfloat16(cls: type, monkeypatch: Monkeypatch) -> None:
    entered = []

    def in_bfloat16(device: Any) -> AbstractContextManager:
        entered.append(device)
        return torch.autocast("cpu", torch.bfloat16)

    X = np.random.default_rng(0).normal(size=(80, 3))
    y = target(cls, X[:, 0])
    in_float32 = tiny(cls).fit(X, y)
    monkeypatch.setattr(hybridlearn.training._net, "autocast", in_bfloat16)
    net = tiny(cls).fit(X, y)
    assert entered
    assert {p.dtype for p in net.module_.parameters()} == {torch.float32}
    assert all(np.isfinite(value) for record in net.history_ for value in record.values())
    assert np.isfinite(net.margin(X)).all()
    assert not np.array_equal(net.margin(X), in_float32.margin(X))
    assert net.history_[0]["train_loss"] == pytest.approx(in_float32.history_[0]["train_loss"], rel=0.1)


@pytest.mark.parametrize("device", present_devices())
@pytest.mark.parametrize("cls", NETS)
def test_every_net_trains_on_every_device_that_is_there(cls: type, device: str) -> None:
    X = np.random.default_rng(0).normal(size=(80, 3))
    net = tiny(cls, device=device, max_epochs=30, early_stopping=False).fit(X, target(cls, X[:, 0]))
    assert net.score(X, target(cls, X[:, 0])) > 0.6
    assert {p.device.type for p in net.module_.parameters()} == {"cpu"}
    on_the_device = net.margin(X)
    np.testing.assert_allclose(net.set_params(device="cpu").margin(X), on_the_device, atol=1e-3)


# -- one at a time


HOLDS = """
import sys
import torch
from hybridlearn._device import alone_on
with alone_on(torch.device(sys.argv[1])):
    print("in", flush=True)
    sys.stdin.read()
"""


def lock_of(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"hybridlearn-{name}.lock"


def test_another_process_waits_for_a_gpu_that_is_held(monkeypatch: Monkeypatch, tmp_path: Path) -> None:
    for variable in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    command = [sys.executable, "-c", HOLDS, "cuda:0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        for same in (torch.device("cuda"), torch.device("cuda:0")):
            with pytest.raises(Timeout):
                alone_on(same).acquire(timeout=0)
        for free in (torch.device("cuda:1"), torch.device("mps")):
            with alone_on(free), pytest.raises(Timeout):
                alone_on(free).acquire(timeout=0)
        other.communicate("")
    assert other.returncode == 0
    with alone_on(torch.device("cuda:0")), pytest.raises(Timeout):
        FileLock(lock_of("cuda-0")).acquire(timeout=0)
    FileLock(lock_of("cuda-0")).acquire(timeout=0).lock.release()


def test_threads_take_turns_on_a_gpu(monkeypatch: Monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    inside, seen = [], []

    def work() -> None:
        with alone_on(torch.device("cuda:0")):
            inside.append(1)
            seen.append(len(inside))
            threading.Event().wait(0.02)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1, 1]


def test_on_the_cpu_nobody_waits(monkeypatch: Monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with alone_on(torch.device("cpu")), alone_on(torch.device("cpu")):
        assert list(tmp_path.iterdir()) == []


def test_a_failed_training_lets_go_of_the_device(monkeypatch: Monkeypatch, tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "lock")
    monkeypatch.setattr(hybridlearn.training._train, "alone_on", lambda device: lock)
    (cls, *_) = NETS
    X = np.random.default_rng(0).normal(size=(80, 3))
    with pytest.raises(RuntimeError, match="learning_rate"):
        tiny(cls, learning_rate=1e30).fit(X, X[:, 0] > 0)
    assert not lock.is_locked
    entered = []
    monkeypatch.setattr(FileLock, "__enter__", lambda self: entered.append(self))
    tiny(cls, max_epochs=1).fit(X, X[:, 0] > 0)
    assert entered == [lock]
