"""Hidden layers as a chain of linear maps and elementwise functions, and how far their outputs move."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hybridlearn.modules._additive import AdditiveMLP, ColumnLinear
from hybridlearn.modules._dropout import Dropout
from hybridlearn.modules._mlp import MLP
from hybridlearn.modules._tabm import BatchEnsembleLinear, MemberLinear, TabM

# Of x * sigmoid(x): where it is least, and how much it curves at most (at 0).
_SILU_LEAST_AT = -1.2784645427610738
_SILU_CURVATURE = 0.5
_N_POINTS = 17
# Of float32: units in the last place that an embedding may lose, and how steep the functions of a number are at most.
_LOST_BITS, _STEEPEST = 64, 1.1


class NotCertifiableError(TypeError):
    """A model has a step of which nobody can say, soundly, how far its outputs move."""


class Affine(NamedTuple):
    """A linear map for each of `k` members, or one for all (`k` is 1).

    Attributes
    ----------
    weight : Tensor of shape (k, d_in, d_out)
    bias : Tensor of shape (k, d_out)
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """From (n_rows, k, d_in) to (n_rows, k, d_out)."""
        return torch.einsum("nki,kio->nko", x.expand(-1, len(self.weight), -1), self.weight) + self.bias

    def interval(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest outputs of inputs between two ends, which move one by one."""
        center, radius = (lower + upper) / 2, (upper - lower) / 2
        middle = self(center)
        reach = torch.einsum("nki,kio->nko", radius.expand(-1, len(self.weight), -1), self.weight.abs())
        return middle - reach, middle + reach

    def against(self, classes: Tensor) -> AffineOfRows:
        """Outputs less that of a class of each row, shape (n_rows,), int64."""
        weight = self.weight.unsqueeze(0)
        own = self.weight.movedim(2, 0)[classes]
        return AffineOfRows(weight - own.unsqueeze(3), self.bias - self.bias.T[classes].unsqueeze(2))


class AffineOfRows(NamedTuple):
    """A linear map for each row and member: weight (n_rows, k, d_in, d_out), bias (n_rows, k, d_out)."""

    weight: Tensor
    bias: Tensor

    def interval(self, lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
        """As that of :class:`Affine`."""
        center, radius = ((upper + part) / 2 for part in (lower, -lower))
        k = self.weight.shape[1]
        middle = torch.einsum("nki,nkio->nko", center.expand(-1, k, -1), self.weight) + self.bias
        reach = torch.einsum("nki,nkio->nko", radius.expand(-1, k, -1), self.weight.abs())
        return middle - reach, middle + reach


class Relaxed(NamedTuple):
    """Lines of one slope around an elementwise function: ``slope * x + below <= f(x) <= slope * x + above``."""

    slope: Tensor
    below: Tensor
    above: Tensor


class Elementwise(NamedTuple):
    """A function of each number."""

    function: Callable[[Tensor], Tensor]
    interval: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    relax: Callable[[Tensor, Tensor], Relaxed]


Layer = Affine | Elementwise


def layers_of(module: nn.Module) -> list[Layer]:
    """A module as a chain of layers; a NotCertifiableError names what is none."""
    return exactly(_layers_of, module, "layer")(module)


def exactly(registered: Any, module: nn.Module, word: str) -> Callable[..., Any]:
    """What is registered for the very type of a module: another `forward`, or a hook, may give something else."""
    found = registered.registry.get(type(module))
    if found is None:
        raise NotCertifiableError(f"no bounds are known for the {word} {type(module).__name__}")
    if "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks:
        raise NotCertifiableError(f"no bounds are known for a {type(module).__name__} whose forward was changed")
    return found


@singledispatch
def _layers_of(module: nn.Module) -> list[Layer]:
    raise NotImplementedError


@_layers_of.register(nn.Sequential)
@_layers_of.register(MLP)
def _(module: nn.Sequential) -> list[Layer]:
    return [layer for child in module for layer in layers_of(child)]


@_layers_of.register(nn.Dropout)
@_layers_of.register(Dropout)
@_layers_of.register(nn.Identity)
def _(module: nn.Module) -> list[Layer]:
    # in evaluation they do nothing
    return []


@_layers_of.register
def _(module: nn.Linear) -> list[Layer]:
    weight = module.weight.T.unsqueeze(0)
    bias = weight.new_zeros(1, module.out_features) if module.bias is None else module.bias.unsqueeze(0)
    return [Affine(weight, bias)]


@_layers_of.register
def _(module: BatchEnsembleLinear) -> list[Layer]:
    weight = module.scale_in.unsqueeze(2) * module.weight * module.scale_out.unsqueeze(1)
    return [Affine(weight, module.bias)]


@_layers_of.register
def _(module: MemberLinear) -> list[Layer]:
    return [Affine(module.weight, module.bias)]


@_layers_of.register
def _(module: TabM) -> list[Layer]:
    return [each for layer in module.layers for each in (*layers_of(layer), *layers_of(module.activate))]


@_layers_of.register
def _(module: ColumnLinear) -> list[Layer]:
    return [Affine(torch.block_diag(*module.weight).unsqueeze(0), module.bias.flatten().unsqueeze(0))]


@_layers_of.register
def _(module: AdditiveMLP) -> list[Layer]:
    first, *others = layers_of(module.layers)
    assert isinstance(first, Affine)
    # the place behind all inputs holds a zero
    places = nn.functional.one_hot(module.slots.flatten(), module.d_in + 1).to(first.weight.dtype)
    return [Affine((places[:, :-1].T @ first.weight[0]).unsqueeze(0), first.bias), *others]


@_layers_of.register
def _(module: nn.ReLU) -> list[Layer]:
    return [Elementwise(torch.relu, lambda low, high: (low.relu(), high.relu()), _relax_relu)]


@_layers_of.register
def _(module: nn.SiLU) -> list[Layer]:
    return [Elementwise(nn.functional.silu, _silu_interval, _relax_silu)]


def _silu_interval(lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    at_ends = nn.functional.silu(lower), nn.functional.silu(upper)
    # not clamp, which has no slope where both ends are one
    lowest = torch.maximum(torch.minimum(torch.full_like(lower, _SILU_LEAST_AT), upper), lower)
    return nn.functional.silu(lowest), torch.maximum(*at_ends)


def _relax_relu(lower: Tensor, upper: Tensor) -> Relaxed:
    width = (upper - lower).clamp(min=torch.finfo(lower.dtype).tiny)
    slope = torch.where(lower >= 0, 1.0, torch.where(upper <= 0, 0.0, upper / width))
    crosses = (lower < 0) & (upper > 0)
    return Relaxed(slope, torch.zeros_like(slope), torch.where(crosses, -slope * lower, 0.0))


def _relax_silu(lower: Tensor, upper: Tensor) -> Relaxed:
    silu = nn.functional.silu
    width = upper - lower
    is_narrow = width < 1e-4
    middle = (lower + upper) / 2
    gate = middle.sigmoid()
    tangent = gate * (1 + middle * (1 - gate))
    slope = torch.where(is_narrow, tangent, (silu(upper) - silu(lower)) / width.masked_fill(is_narrow, 1.0))
    shares = torch.linspace(0, 1, _N_POINTS, dtype=lower.dtype, device=lower.device)
    below, above = torch.full_like(slope, torch.inf), torch.full_like(slope, -torch.inf)
    for share in shares:
        x = lower + share * width
        off = silu(x) - slope * x
        below, above = torch.minimum(below, off), torch.maximum(above, off)
    # between two points it leaves its chord by at most an eighth of its curvature times their distance squared
    missed = _SILU_CURVATURE * (width / (_N_POINTS - 1)) ** 2 / 8
    return Relaxed(slope, below - missed, above + missed)


def forward_through(layers: Sequence[Layer], x: Tensor) -> Tensor:
    """What a chain makes of (n_rows, d), members averaged: (n_rows, n_outputs)."""
    x = x.unsqueeze(1)
    for layer in layers:
        x = layer(x) if isinstance(layer, Affine) else layer.function(x)
    return x.mean(dim=1)


def interval_outputs(layers: Sequence[Layer], lower: Tensor, upper: Tensor) -> tuple[Tensor, Tensor]:
    """Interval bounds [1]_: layer by layer, as if the inputs of each moved one by one.

    Parameters
    ----------
    layers : sequence of Affine or Elementwise
    lower, upper : Tensor of shape (n_rows, d)

    Returns
    -------
    Tensor, Tensor
        Of shape (n_rows, k, n_outputs); differentiable.

    References
    ----------
    .. [1] Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models",
       2018.
    """
    low, high = lower.unsqueeze(1), upper.unsqueeze(1)
    for layer in layers:
        low, high = layer.interval(low, high)
    return low, high


def least_by_intervals(layers: Sequence[Layer], lower: Tensor, upper: Tensor, wanted: Tensor) -> Tensor:
    """Lower bounds of linear functions of the mean outputs of a net's members, by intervals up to the last map.

    Parameters
    ----------
    layers : sequence of Affine or Elementwise
        The last one is an Affine.
    lower, upper : Tensor of shape (n_rows, d)
    wanted : Tensor of shape (n_rows, n_functions, n_outputs)

    Returns
    -------
    Tensor of shape (n_rows, n_functions)
    """
    *before, last = layers
    if not isinstance(last, Affine):
        raise NotCertifiableError("no bounds are known for a net whose last layer is not linear")
    low, high = interval_outputs(before, lower, upper)
    k = max(low.shape[1], len(last.weight))
    rows = torch.einsum("nro,kio->nkri", wanted, last.weight.expand(k, -1, -1))
    offset = torch.einsum("nro,ko->nkr", wanted, last.bias.expand(k, -1))
    moved = rows.clamp(min=0) * low.unsqueeze(2) + rows.clamp(max=0) * high.unsqueeze(2)
    return (offset + moved.sum(dim=3)).mean(dim=1)


def rounding_of(layers: Sequence[Layer], lower: Tensor, upper: Tensor, wanted: Tensor) -> Tensor:
    """How far float32 may take linear functions of the outputs from what they are, at most.

    Each map adds what summing up so many products in any order may lose; functions of each number pass it on. Of the
    inputs some last bits are taken to be lost, as embeddings lose them.

    Parameters
    ----------
    layers : sequence of Affine or Elementwise
    lower, upper : Tensor of shape (n_rows, d)
    wanted : Tensor of shape (n_rows, n_functions, n_outputs)

    Returns
    -------
    Tensor of shape (n_rows, n_functions)
    """
    eps = torch.finfo(torch.float32).eps
    size = torch.maximum(lower.abs(), upper.abs()).unsqueeze(1)
    lost = _LOST_BITS * eps * (1 + size)
    for layer in layers:
        if isinstance(layer, Affine):
            plain = Affine(layer.weight.abs(), layer.bias.abs())
            size, lost = plain(size), plain(lost) - plain.bias
            lost = lost + (layer.weight.shape[1] + 2) * eps * size
        else:
            lost = _STEEPEST * lost + eps * size
    return (wanted.abs() @ lost.mean(dim=1).unsqueeze(2)).squeeze(2)
