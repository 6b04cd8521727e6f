"""Where the outputs of a net lie when its inputs move in intervals: sound bounds, module by module."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch

import torch
from torch import Tensor, nn

from hybridlearn.modules._categorical import CategoricalEmbedding
from hybridlearn.modules._layers import NotCertifiableError, exactly
from hybridlearn.modules._numeric import LinearEmbedding, PeriodicEmbedding, PiecewiseLinearEmbedding
from hybridlearn.modules._table import TableEmbedding, TableTokens

# Points along an interval on which a curved embedding is laid out.
_N_POINTS = 9


@dataclass(frozen=True, eq=False)
class Columns:
    """Some columns of each row, embedded, with all that they may become.

    An embedded column lies within `slack` of a line between two of its points.

    Attributes
    ----------
    points : Tensor of shape (n_rows, n_columns, n_points, width)
    slack : Tensor of shape (n_rows, n_columns, width)
    """

    points: Tensor
    slack: Tensor

    def hull(self) -> tuple[Tensor, Tensor]:
        """Least and largest of each embedded number, shape (n_rows, n_columns * width)."""
        low, high = self.points.aminmax(dim=2)
        return (low - self.slack).flatten(1), (high + self.slack).flatten(1)

    def extremes(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest of linear functions of the embedded numbers.

        Parameters
        ----------
        coefficients : Tensor of shape (n_rows or 1, n_functions, n_columns * width)

        Returns
        -------
        Tensor, Tensor
            Of shape (n_rows, n_functions).
        """
        a = coefficients.unflatten(2, self.slack.shape[1:])
        low, high = torch.einsum("nrcw,ncsw->nrcs", a.expand(len(self.points), -1, -1, -1), self.points).aminmax(dim=3)
        slack = torch.einsum("nrcw,ncw->nr", a.abs().expand(len(self.points), -1, -1, -1), self.slack)
        return low.sum(dim=2) - slack, high.sum(dim=2) + slack


def embedded_columns(embedding: TableEmbedding, lower: Tensor, upper: Tensor, codes: Sequence[Tensor]) -> list[Columns]:
    """What an embedding makes of rows that move.

    Parameters
    ----------
    embedding : TableEmbedding
    lower, upper : Tensor of shape (n_rows, n_numeric)
    codes : sequence of Tensor of shape (n_rows, n_choices), int64
        For each categorical column what it may be.

    Returns
    -------
    list of Columns
        In the order in which the embedding lays its outputs side by side.

    Raises
    ------
    NotCertifiableError
        Naming a module for which no bounds are known.
    """
    if isinstance(embedding, TableTokens):
        raise NotCertifiableError(f"{type(embedding).__name__} feeds attention, for which no bounds are known")
    if type(embedding) is not TableEmbedding or type(embedding.categorical) is not CategoricalEmbedding:
        raise NotCertifiableError("no bounds are known for an embedding of a class derived from TableEmbedding")
    found = []
    if lower.shape[1]:
        found.append(exactly(_numeric, embedding.numeric, "embedding")(embedding.numeric, lower, upper))
    for table, choices in zip(embedding.categorical.tables, codes, strict=True):
        points = table(choices).unsqueeze(1)
        found.append(Columns(points, torch.zeros_like(points[:, :, 0])))
    return found


def hull(columns: Sequence[Columns]) -> tuple[Tensor, Tensor]:
    """Least and largest of each embedded number, shape (n_rows, d)."""
    low, high = zip(*(own.hull() for own in columns), strict=True)
    return torch.cat(low, dim=1), torch.cat(high, dim=1)


def extremes(columns: Sequence[Columns], coefficients: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest of linear functions of all embedded numbers; see :meth:`Columns.extremes`."""
    widths = [own.slack.shape[1] * own.slack.shape[2] for own in columns]
    parts = [own.extremes(a) for own, a in zip(columns, coefficients.split(widths, dim=2), strict=True)]
    low, high = zip(*parts, strict=True)
    return torch.stack(low).sum(dim=0), torch.stack(high).sum(dim=0)


@singledispatch
def _numeric(module: nn.Module, lower: Tensor, upper: Tensor) -> Columns:
    raise NotImplementedError


def number_columns(lower: Tensor, upper: Tensor) -> Columns:
    """Numbers that are not embedded, shape (n_rows, n_numeric) each."""
    points = torch.stack([lower, upper], dim=2).unsqueeze(3)
    return Columns(points, torch.zeros_like(points[:, :, 0]))


@_numeric.register
def _(module: nn.Identity, lower: Tensor, upper: Tensor) -> Columns:
    return number_columns(lower, upper)


@_numeric.register
def _(module: LinearEmbedding, lower: Tensor, upper: Tensor) -> Columns:
    return _laid_out(module, [lower, upper])


@_numeric.register
def _(module: PiecewiseLinearEmbedding, lower: Tensor, upper: Tensor) -> Columns:
    # the map bends at the lower end of each bin and at its upper one; a slot without a bin has steepness 0
    is_bin = module.steepness > 0
    ends = module.lower + torch.where(is_bin, 1 / module.steepness.masked_fill(~is_bin, 1.0), 0.0)
    bends = torch.cat([module.lower, ends], dim=1).sort(dim=1).values
    laid = _laid_out(module, [lower, *(torch.clamp(bend, lower, upper) for bend in bends.T), upper])
    # a bend that was rounded is missed by as much; bins are steep
    missed = (bends.abs().amax(dim=1, keepdim=True) * 4e-7 * module.steepness).sum(dim=1) if bends.numel() else 0.0
    largest = module.weight.abs().amax(dim=1) if bends.numel() else module.linear.weight.abs() * 0
    return Columns(laid.points, laid.slack + torch.as_tensor(missed).reshape(-1, 1) * largest)


@_numeric.register
def _(module: PeriodicEmbedding, lower: Tensor, upper: Tensor) -> Columns:
    shares = torch.linspace(0, 1, _N_POINTS, dtype=lower.dtype, device=lower.device)
    laid = _laid_out(module, [lower + share * (upper - lower) for share in shares])
    # between two points a curve leaves its chord by at most an eighth of its curvature times their distance squared
    curvature = torch.einsum("jkd,jk->jd", module.weight.abs(), (2 * math.pi * module.frequency) ** 2)
    gap = ((upper - lower) / (_N_POINTS - 1)) ** 2 / 8
    curved = nn.functional.pad(curvature, (1, 0))
    return Columns(laid.points, gap.unsqueeze(2) * curved)


def _laid_out(module: nn.Module, at: list[Tensor]) -> Columns:
    """An embedding of numbers at several places of each."""
    points = torch.stack([module(x) for x in at], dim=2)
    return Columns(points, torch.zeros_like(points[:, :, 0]))
