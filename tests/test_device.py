"""Which torch device a fit uses, on machines that have it and on machines that do not."""

from __future__ import annotations

import pytest
import torch

from hybridlearn._device import cuda_indices, resolve_device

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
