"""Modules of almost one shape as modules of one shape: where the parameters of each stand in the largest."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

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
    if max(len(alike), len(kinds), len(set(map(len, sections)))) > 1:
        return None
    common_sections = [max(widths) for widths in zip(*sections, strict=True)]
    input_axes = _input_axes(modules[0])
    if not input_axes and any(own != common_sections for own in sections):
        return None  # as tokens, columns that only fill up would be attended to
    placements: list[Placement] = [{} for _ in modules]
    for name in states[0]:
        shape = [max(sizes) for sizes in zip(*(state[name].shape for state in states), strict=True)]
        if name in input_axes:
            shape[input_axes[name]] = sum(common_sections)
        for state, own, placement in zip(states, sections, placements, strict=True):
            axes = [torch.arange(size) for size in state[name].shape]
            if name in input_axes:
                axes[input_axes[name]] = _moved(own, common_sections)
            elif state[name].shape != torch.Size(shape) and not name.startswith("embedding."):
                return None
            placement[name] = (torch.Size(shape), _flat(axes, shape))
    return placements


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _sections(module: nn.Module, inputs: Sequence[Tensor]) -> list[int]:
    """How many numbers the embedding makes of all numeric columns, and of each categorical one."""
    if not isinstance(module, TabularNet):
        return []
    with torch.no_grad():
        return module.embedding.sections(inputs[0][:1])


def _input_axes(module: nn.Module) -> dict[str, int]:
    if not isinstance(module, TabularNet):
        return {}
    return {f"hidden.{name}": axis for name, axis in getattr(module.hidden, "input_axes", {}).items()}


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
