"""Modules of almost one shape as modules of one shape: where the parameters of each stand in the largest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from hybridlearn.modules._joint import JointNet
from hybridlearn.modules._table import TabularNet

Placement = dict[str, tuple[torch.Size, Tensor]]


def common_placements(modules: Sequence[nn.Module], inputs: Sequence[Sequence[Tensor]]) -> list[Placement] | None:
    """Where the parameters and buffers of each module stand in arrays that hold those of any.

    Nets for tables differ by what their rows taught them: numbers of columns, levels of a category, bins. Filled up
    with zeros they compute the same, and what fills them stays zero in training: its gradient is.

    Parameters
    ----------
    modules : sequence of Module
    inputs : sequence of sequence of Tensor
        A row or more for each module.

    Returns
    -------
    list of dict of str to (Size, Tensor), or None
        For each module and by name the common shape, and positions of the module's own numbers in the flattened
        array. None where modules differ in more than that.

    Examples
    --------
    >>> small, large = nn.Linear(2, 1), nn.Linear(2, 1)
    >>> common_placements([small, large], [[torch.zeros(1, 2)]] * 2)[0]["weight"]
    (torch.Size([1, 2]), tensor([0, 1]))
    """
    states = [_state(module) for module in modules]
    sections = [_sections(module, tensors) for module, tensors in zip(modules, inputs, strict=True)]
    alike = {tuple((name, t.dtype, t.ndim) for name, t in state.items()) for state in states}
    kinds = {tuple((name, type(part)) for name, part in module.named_modules()) for module in modules}
    n_columns = {tuple((path, len(widths)) for path, widths in own.items()) for own in sections}
    if max(len(alike), len(kinds), len(n_columns)) > 1:
        return None
    common = {path: [max(widths) for widths in zip(*(s[path] for s in sections), strict=True)] for path in sections[0]}
    input_axes = _input_axes(modules[0])
    takes_more = {path for path, _ in input_axes.values()}
    if any(own[path] != common[path] for own in sections for path in common.keys() - takes_more):
        return None  # as tokens, columns that only fill up would be attended to
    embeddings = tuple(f"{path}embedding." for path in common)
    placements: list[Placement] = [{} for _ in modules]
    for name in states[0]:
        shape = [max(sizes) for sizes in zip(*(state[name].shape for state in states), strict=True)]
        path, axis = input_axes.get(name, ("", -1))
        if axis >= 0:
            shape[axis] = sum(common[path])
        for state, own, placement in zip(states, sections, placements, strict=True):
            axes = [torch.arange(size) for size in state[name].shape]
            if axis >= 0:
                axes[axis] = _moved(own[path], common[path])
            elif state[name].shape != torch.Size(shape) and not name.startswith(embeddings):
                return None
            placement[name] = (torch.Size(shape), _flat(axes, shape))
    return placements


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _nets(module: nn.Module) -> dict[str, TabularNet]:
    """The nets for tables that it is or is made of, by the path to their parts."""
    if isinstance(module, JointNet):
        return {f"branches.{i}.": branch for i, branch in enumerate(module.branches)}
    return {"": module} if isinstance(module, TabularNet) else {}


def _sections(module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, list[int]]:
    """How many numbers the embedding of each net makes of all numeric columns, and of each categorical one."""
    with torch.no_grad():
        return {path: net.embedding.sections(inputs[0][:1]) for path, net in _nets(module).items()}


def _input_axes(module: nn.Module) -> dict[str, tuple[str, int]]:
    """Which axis of a parameter is an embedding's output, and of which net."""
    return {
        f"{path}hidden.{name}": (path, axis)
        for path, net in _nets(module).items()
        for name, axis in getattr(net.hidden, "input_axes", {}).items()
    }


def _moved(widths: list[int], common: list[int]) -> Tensor:
    """Positions of the sections of one vector in the vector of the wider ones."""
    starts = [0, *accumulate(common)]
    parts = [torch.arange(start, start + width) for start, width in zip(starts, widths, strict=False)]
    return torch.cat(parts)


def _flat(axes: list[Tensor], shape: list[int]) -> Tensor:
    """Positions, in the flattened array of `shape`, of the block that is picked out along each axis."""
    positions = torch.arange(torch.Size(shape).numel()).view(shape)
    for axis, picked in enumerate(axes):
        positions = positions.index_select(axis, picked)
    return positions.flatten()
