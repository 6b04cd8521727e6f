"""Bounds of a net by linear functions of its inputs: tighter than intervals, for layers share what moves them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hybridlearn.modules._bounds import Columns, extremes, hull
from hybridlearn.modules._layers import Affine, Elementwise, Layer, Relaxed, least_by_intervals


def least_outputs(layers: Sequence[Layer], columns: Sequence[Columns], wanted: Tensor) -> Tensor:
    """Lower bounds of linear functions of a net's outputs.

    Each elementwise function is put between two lines of one slope, so that functions of the outputs become linear
    functions of the embedded columns and of how far those lines are apart: CROWN [1]_ with parallel lines, as in
    zonotope analyses [2]_. Members of a net are averaged: their functions are added before the columns move, and
    functions of an embedded column before its number does.

    Parameters
    ----------
    layers : sequence of Affine or Elementwise
        The last one is an Affine.
    columns : sequence of Columns
        The inputs.
    wanted : Tensor of shape (n_rows, n_functions, n_outputs)
        Coefficients on the outputs, which are means over the members.

    Returns
    -------
    Tensor of shape (n_rows, n_functions)

    References
    ----------
    .. [1] Zhang, Weng, Chen, Hsieh and Daniel, "Efficient Neural Network Robustness Certification with General
       Activation Functions", NeurIPS 2018.
    .. [2] Singh, Gehr, Mirman, Püschel and Vechev, "Fast and Effective Robustness Certification", NeurIPS 2018.
    """
    # a net that was trained on intervals is sometimes bounded better by them
    by_intervals = least_by_intervals(layers, *hull(columns), wanted)
    maps, functions = _alternating(layers, sum(own.slack.shape[1] * own.slack.shape[2] for own in columns))
    relaxed: list[Relaxed] = []
    low = high = None
    for own, function in zip(maps, functions, strict=False):
        tight = _through(own.weight.transpose(1, 2).unsqueeze(0), own.bias, maps, relaxed, columns)
        if low is not None and high is not None:
            # what moves one by one is sometimes bounded better alone
            loose = own.interval(*functions[len(relaxed) - 1].interval(low, high))
            tight = torch.maximum(tight[0], loose[0]), torch.minimum(tight[1], loose[1])
        low, high = tight
        relaxed.append(function.relax(low, high))
    last, k = maps[-1], max(len(own.weight) for own in maps)
    rows = torch.einsum("nro,kio->nkri", wanted, last.weight.expand(k, -1, -1)) / k
    offset = torch.einsum("nro,ko->nkr", wanted, last.bias.expand(k, -1)) / k
    below, _ = _through(rows, offset, maps, relaxed, columns, of_sum=True)
    return torch.maximum(below.squeeze(1), by_intervals)


def _alternating(layers: Sequence[Layer], width: int) -> tuple[list[Affine], list[Elementwise]]:
    """The chain as maps with a function between each two: maps in a row are one, functions in a row have none between.

    `width` is that of the inputs.
    """
    maps: list[Affine] = []
    functions: list[Elementwise] = []
    for layer in layers:
        if isinstance(layer, Elementwise):
            if len(functions) >= len(maps):
                maps.append(_identity(maps[-1].weight.shape[2] if maps else width, like=layers[-1]))
            functions.append(layer)
        elif len(maps) > len(functions):
            weight, bias = maps[-1]
            maps[-1] = Affine(weight @ layer.weight, (bias.unsqueeze(1) @ layer.weight).squeeze(1) + layer.bias)
        else:
            maps.append(layer)
    return maps, functions


def _identity(d: int, like: Layer) -> Affine:
    """Of the kind of numbers of another map."""
    assert isinstance(like, Affine)
    return Affine(torch.eye(d).to(like.weight).unsqueeze(0), like.bias.new_zeros(1, d))


def _through(
    rows: Tensor,
    offset: Tensor,
    maps: Sequence[Affine],
    relaxed: Sequence[Relaxed],
    columns: Sequence[Columns],
    *,
    of_sum: bool = False,
) -> tuple[Tensor, Tensor]:
    """Bounds of linear functions of what the last relaxed layer gives, or of the inputs where there is none.

    Parameters
    ----------
    rows : Tensor of shape (n_rows or 1, k, n_functions, d)
    offset : Tensor that broadcasts to (n_rows, k, n_functions)
    maps, relaxed
        Those before it.
    columns : sequence of Columns
    of_sum : bool, default=False
        Bound the sum over the members, not each.

    Returns
    -------
    Tensor, Tensor
        Of shape (n_rows, k, n_functions); of a sum, k is 1.
    """
    low = high = offset if offset.ndim == 3 else offset.unsqueeze(0)
    for own, lines in zip(reversed(maps[: len(relaxed)]), reversed(relaxed), strict=True):
        positive, negative = rows.clamp(min=0), rows.clamp(max=0)
        below, above = lines.below.unsqueeze(2), lines.above.unsqueeze(2)
        low = low + (positive * below + negative * above).sum(dim=3)
        high = high + (positive * above + negative * below).sum(dim=3)
        rows = rows * lines.slope.unsqueeze(2)
        moved = torch.einsum("nkri,ki->nkr", rows.expand(-1, len(own.bias), -1, -1), own.bias)
        low, high = low + moved, high + moved
        rows = torch.einsum("nkro,kio->nkri", rows.expand(-1, len(own.weight), -1, -1), own.weight)
    if of_sum:
        rows, low, high = (part.sum(dim=1, keepdim=True) for part in (rows, low, high))
    n_functions = rows.shape[1:3]
    least, largest = extremes(columns, rows.flatten(1, 2))
    return low + least.unflatten(1, n_functions), high + largest.unflatten(1, n_functions)
