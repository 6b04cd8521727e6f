"""Many modules of one shape as one: parameters side by side, one call for all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridlearn.modules import Dropout, Placement, dropout_factors

# So few are faster called one after the other than mapped.
_FEW = 2


class Stack:
    """Modules whose parameters are rows of one matrix.

    Parameters
    ----------
    modules : sequence of Module
        Of one class and structure; left as they are.
    placements : list of dict of str to (Size, Tensor)
        From :func:`hybridlearn.modules.common_placements`.
    generators : list of torch.Generator
        One a module: each draws the dropout of its module, as the module alone would.
    """

    def __init__(self, modules: Sequence[nn.Module], placements: list[Placement], generators: list[torch.Generator]):
        self.placements = placements
        self.noise = _Noise(generators)
        self.base = copy.deepcopy(modules[0])
        self._mode: bool | None = None  # its parts may be in one each
        self._known_dropouts: dict[Any, list[tuple[Tensor, _Dropout]]] = {}
        _replace_dropout(self.base, "", modules, self.noise)
        self.shapes = {name: placements[0][name][0] for name, _ in modules[0].named_parameters()}
        self.buffers = {
            name: torch.stack(
                [_placed(dict(m.named_buffers())[name], p[name]) for m, p in zip(modules, placements, strict=True)]
            )
            for name, _ in modules[0].named_buffers()
        }

    def row(self, module: nn.Module, model: int) -> Tensor:
        """The parameters of a module as its row of the matrix; what only fills up is zero."""
        return self.place(model, {name: parameter.detach() for name, parameter in module.named_parameters()})

    def place(self, model: int, named: dict[str, Tensor]) -> Tensor:
        """Numbers that belong to the parameters of a module, as a row."""
        return torch.cat([_placed(tensor, self.placements[model][name]).flatten() for name, tensor in named.items()])

    def load(self, module: nn.Module, model: int, row: Tensor) -> None:
        """Give a module the parameters of a row."""
        parts = row.detach().cpu().split([shape.numel() for shape in self.shapes.values()])
        with torch.no_grad():
            for (name, parameter), part in zip(module.named_parameters(), parts, strict=True):
                parameter.copy_(part[self.placements[model][name][1]].view_as(parameter))

    def is_matrix(self) -> Tensor:
        """Which entries of a row belong to matrices named weight, bool of shape (n_entries,)."""
        named = self.shapes.items()
        return torch.cat([torch.full((s.numel(),), "weight" in name and len(s) > 1) for name, s in named])

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> Stack:
        """Move the buffers, and switch to a precision."""
        self.buffers = {
            name: b.to(device=device, dtype=dtype if b.is_floating_point() else None)
            for name, b in self.buffers.items()
        }
        self.base.to(device)
        return self

    def train(self, mode: bool) -> None:
        """Switch all modules to training or evaluation."""
        if mode is not self._mode:
            self.base.train(mode)
            self._mode = mode

    def __call__(self, models: list[int], rows: Tensor, *arguments: Any, mapped: bool = False) -> Tensor:
        """What some of the modules answer.

        Parameters
        ----------
        models : list of int
            Which.
        rows : Tensor of shape (len(models), n_entries)
        *arguments : Tensor, or tuples of them, of shape (len(models), ...)
        mapped : bool, default=False
            Map also where so few modules are faster called one after the other.

        Returns
        -------
        Tensor of shape (len(models), ...)
        """
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), rows.split(sizes, dim=1), strict=True)
        state = {name: part.view(len(models), *shape) for (name, shape), part in parts}
        state |= {name: buffer[models] for name, buffer in self.buffers.items()}
        noise = tuple(self.noise.draw(like, dropout, models) for like, dropout in self._dropouts(state, arguments))
        if mapped or len(models) > _FEW:
            return torch.vmap(self._one)(state, noise, arguments)
        return torch.stack([self._one(*_picked((state, noise, arguments), i)) for i in range(len(models))])

    def _one(self, state: dict[str, Tensor], noise: tuple[Tensor, ...], arguments: Any) -> Tensor:
        self.noise.give(noise)
        # weights that are tied would be found again at every call; who has them does not agree with the stack
        return functional_call(self.base, state, arguments, tie_weights=False)

    def _dropouts(self, state: dict[str, Tensor], arguments: Any) -> list[tuple[Tensor, _Dropout]]:
        """Shapes that dropout is asked for, once for each shape of the arguments."""
        if not self.base.training:
            return []
        shapes = _shapes(arguments)
        if shapes not in self._known_dropouts:
            first = _picked((state, arguments), 0)
            wanted = self.noise.wanted(lambda: functional_call(self.base, *first, tie_weights=False))
            self._known_dropouts[shapes] = [(torch.empty_like(like), dropout) for like, dropout in wanted]
        return self._known_dropouts[shapes]


def _picked(nested: Any, i: int) -> Any:
    """Entry `i` of every tensor in tuples and dicts."""
    if isinstance(nested, dict):
        return {name: _picked(value, i) for name, value in nested.items()}
    return nested[i] if isinstance(nested, Tensor) else tuple(_picked(value, i) for value in nested)


def _shapes(nested: Any) -> Any:
    return nested.shape[1:] if isinstance(nested, Tensor) else tuple(map(_shapes, nested))


def _placed(tensor: Tensor, placement: tuple[torch.Size, Tensor]) -> Tensor:
    shape, positions = placement
    flat = torch.zeros(shape.numel(), dtype=tensor.dtype)
    flat[positions] = tensor.flatten()
    return flat.view(shape)


class _Noise:
    """Dropout of all modules: drawn outside of what is mapped, each module's by its own generator."""

    def __init__(self, generators: list[torch.Generator]):
        self.generators = generators
        self._wanted: list[tuple[Tensor, _Dropout]] = []
        self._given: Iterator[Tensor] | None = None

    def wanted(self, call: Callable[[], object]) -> list[tuple[Tensor, _Dropout]]:
        """Run one module once; what it wants to drop out of, in its order."""
        self._wanted, self._given = [], None
        with torch.no_grad():
            call()
        return self._wanted

    def give(self, factors: tuple[Tensor, ...]) -> None:
        """Have these at hand for the next call."""
        self._given = iter(factors)

    def apply(self, x: Tensor, dropout: _Dropout) -> Tensor:
        """Drop out."""
        if self._given is None:
            self._wanted.append((x, dropout))
            return x
        return x * next(self._given)

    def draw(self, like: Tensor, dropout: _Dropout, models: list[int]) -> Tensor:
        """Factors for some modules, shape (len(models), *like.shape): as each module alone would draw them."""
        rates, generators = [dropout.rates[m] for m in models], [self.generators[m] for m in models]
        return dropout_factors(like, rates, generators, by_bytes=dropout.by_bytes)


class _Dropout(nn.Module):
    """In place of dropout in a stack: each module has its own rate and generator."""

    def __init__(self, dropouts: list[Any], noise: _Noise):
        super().__init__()
        self.rates = [dropout.p for dropout in dropouts]
        self.by_bytes = isinstance(dropouts[0], Dropout)
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        return self.noise.apply(x, self) if self.training and any(self.rates) and x.numel() else x


def _replace_dropout(parent: nn.Module, path: str, modules: Sequence[nn.Module], noise: _Noise) -> None:
    for name, child in parent.named_children():
        child_path = f"{path}{name}"
        if type(child) in (nn.Dropout, Dropout):
            setattr(parent, name, _Dropout([module.get_submodule(child_path) for module in modules], noise))
        else:
            _replace_dropout(child, f"{child_path}.", modules, noise)
