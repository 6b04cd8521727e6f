"""Many modules of one shape as one: parameters side by side, one call for all of them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridlearn.modules import Placement

# So few are faster called one after the other than mapped.
_FEW = 2


class Stack:
    """Modules whose parameters are rows of one matrix.

    Parameters
    ----------
    modules : list of Module
        Of one class and structure; left as they are.
    placements : list of dict of str to (Size, Tensor)
        From :func:`hybridlearn.modules.common_placements`.
    generators : list of torch.Generator
        One a module: each draws the dropout of its module, as the module alone would.
    """

    def __init__(self, modules: list[nn.Module], placements: list[Placement], generators: list[torch.Generator]):
        self.placements = placements
        self.noise = _Noise(generators)
        self.base = copy.deepcopy(modules[0])
        _replace_dropout(self.base, "", modules, self.noise)
        self.shapes = {name: placements[0][name][0] for name, _ in modules[0].named_parameters()}
        self.buffers = {
            name: torch.stack([_placed(dict(m.named_buffers())[name], p[name]) for m, p in zip(modules, placements)])
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
        """Move the buffers."""
        self.buffers = {
            name: b.to(device=device, dtype=dtype if b.is_floating_point() else None)
            for name, b in self.buffers.items()
        }
        self.base.to(device)
        return self

    def train(self, mode: bool) -> None:
        """Switch all modules to training or evaluation."""
        self.base.train(mode)

    def __call__(self, models: Sequence[int], rows: Tensor, *arguments: Any) -> Tensor:
        """What some of the modules answer.

        Parameters
        ----------
        models : sequence of int
            Which.
        rows : Tensor of shape (len(models), n_entries)
        *arguments : Tensor, or tuples of them, of shape (len(models), ...)

        Returns
        -------
        Tensor of shape (len(models), ...)
        """
        sizes = [shape.numel() for shape in self.shapes.values()]
        parts = zip(self.shapes.items(), rows.split(sizes, dim=1), strict=True)
        state = {name: part.view(len(models), *shape) for (name, shape), part in parts}
        which = list(models)
        state |= {name: buffer[which] for name, buffer in self.buffers.items()}
        if len(models) > _FEW:
            self.noise.models = which
            return torch.vmap(self._one)(state, *arguments)
        answers = []
        for i, model in enumerate(which):
            self.noise.models = [model]
            answers.append(self._one({name: t[i] for name, t in state.items()}, *_picked(arguments, i)))
        return torch.stack(answers)

    def _one(self, state: dict[str, Tensor], *arguments: Any) -> Tensor:
        return functional_call(self.base, state, arguments)


def _picked(arguments: Any, i: int) -> Any:
    return arguments[i] if isinstance(arguments, Tensor) else tuple(_picked(a, i) for a in arguments)


def _placed(tensor: Tensor, placement: tuple[torch.Size, Tensor]) -> Tensor:
    shape, positions = placement
    flat = torch.zeros(shape.numel(), dtype=tensor.dtype)
    flat[positions] = tensor.flatten()
    return flat.view(shape)


class _Noise:
    """The generators of all modules, and which modules are being called."""

    def __init__(self, generators: list[torch.Generator]):
        self.generators = generators
        self.models: list[int] = []

    def draw(self, like: Tensor, rates: list[float]) -> Tensor:
        """Factors of dropout for outputs of the called modules, shape (len(models), ...)."""
        if len(like) != len(self.models):
            raise RuntimeError("dropout of something that is the same for all modules")
        noise = torch.empty_like(like, memory_format=torch.contiguous_format)
        for factors, model in zip(noise, self.models, strict=True):
            rate = rates[model]
            if rate == 0:
                factors.fill_(1.0)
            elif rate == 1:
                factors.zero_()
            else:
                # as torch's own dropout: the same draws of the same generator
                factors.bernoulli_(1 - rate, generator=self.generators[model]).div_(1 - rate)
        return noise


class _Draw(torch.autograd.Function):
    """The factors as torch.vmap sees them: drawn model by model."""

    @staticmethod
    def forward(like: Tensor, draw: Callable[[Tensor], Tensor]) -> Tensor:
        return draw(like.unsqueeze(0)).squeeze(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: NamedTuple, in_dims: tuple[int, None], like: Tensor, draw: Callable) -> tuple[Tensor, int]:
        return draw(like.movedim(in_dims[0], 0)), 0


class _Dropout(nn.Module):
    """In place of `torch.nn.Dropout` in a stack: each module has its own rate and generator."""

    def __init__(self, rates: list[float], noise: _Noise):
        super().__init__()
        self.rates = rates
        self.noise = noise

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not any(self.rates) or not x.numel():
            return x
        return x * _Draw.apply(x.detach(), lambda like: self.noise.draw(like, self.rates))


def _replace_dropout(parent: nn.Module, path: str, modules: list[nn.Module], noise: _Noise) -> None:
    for name, child in parent.named_children():
        child_path = f"{path}{name}"
        if type(child) is nn.Dropout:
            rates = [float(module.get_submodule(child_path).p) for module in modules]
            setattr(parent, name, _Dropout(rates, noise))
        else:
            _replace_dropout(child, f"{child_path}.", modules, noise)
