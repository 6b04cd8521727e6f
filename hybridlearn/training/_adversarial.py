"""Training against what may become of a row: its worst neighbour, or a bound of the worst."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hybridlearn.modules import TabularNet, embedded_columns, hull, interval_outputs, layers_of
from hybridlearn.training._batches import Batch
from hybridlearn.training._net import WeightedNet

# Inputs of a row beside those of the module: the ends between which its numbers move.
ENDS = ("x_lower", "x_upper")
# Steps up the loss, in widths of the box. Together they lead from anywhere to any end, and they shrink: steps of one
# size jump over what is worst between, and a net learns to hide it from them. Validation takes each twice, to see it.
_STEPS = (0.4, 0.3, 0.2, 0.1)
_N_TIMES_IN_VALIDATION = 2


@dataclass(frozen=True)
class Adversary:
    """How a net is trained against changes of its inputs.

    Attributes
    ----------
    mode : {"pgd", "ibp"}
        Against rows found by projected gradient descent [1]_, or against interval bounds of the outputs [2]_.
    log_odds : bool
        Whether outputs are log-odds each, of targets 0 and 1.
    n_warm_up : int
        Epochs in which the box, and the share of the robust loss, grow from nothing.
    share : float, default=0.5
        Of the robust loss in what is minimised.

    References
    ----------
    .. [1] Madry, Makelov, Schmidt, Tsipras and Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks",
       ICLR 2018.
    .. [2] Gowal et al., "On the Effectiveness of Interval Bound Propagation for Training Verifiably Robust Models",
       2018.
    """

    mode: str
    log_odds: bool
    n_warm_up: int
    share: float = 0.5


class AdversarialNet(WeightedNet):
    """A :class:`WeightedNet` whose loss is a mean of the loss of rows and that of the worst that they may become.

    The rows of its tables hold the inputs :data:`ENDS` too. Validation is at the full box, so that its losses compare;
    patience begins when the box has grown.
    """

    def __init__(self, *args: Any, adversary: Adversary, **kwargs: Any):
        self.adversary = adversary
        super().__init__(*args, **kwargs)

    @property
    def grown(self) -> float:
        """How far the box has grown, in (0, 1]."""
        return min(1.0, len(self.history) / max(1, self.adversary.n_warm_up))

    @property
    def warms_up(self) -> bool:
        """Whether losses still grow with the box."""
        return self.grown < 1

    def infer(self, x: dict[str, Tensor], **fit_params: Any) -> Tensor:
        """Outputs in training or evaluation."""
        return super().infer({name: tensor for name, tensor in x.items() if name not in ENDS})

    def train_step_single(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """Gradients of the losses and of the penalty."""
        self._set_training(True)
        step = self._losses(batch, self.grown)
        (step["loss"] + self._penalty() if self.l1 else step["loss"]).backward()
        return step

    def validation_step(self, batch: Batch, **fit_params: Any) -> dict[str, Tensor]:
        """The losses at the full box."""
        self._set_training(False)
        with torch.no_grad():
            return self._losses(batch, 1.0)

    def _losses(self, batch: Batch, grown: float) -> dict[str, Tensor]:
        inputs, target = batch
        outputs = self.infer(inputs)
        clean = self.get_loss(outputs, target)
        given, (lower, upper) = inputs["x_num"], (inputs[name] for name in ENDS)
        ends = given + grown * (lower - given), given + grown * (upper - given)
        worst = self._bounds(inputs, target[0], *ends) if self.adversary.mode == "ibp" else self._found(batch, *ends)
        robust = self.get_loss(worst, target)
        share = self.adversary.share * grown
        loss = (1 - share) * clean + share * robust
        return {"loss": loss, "y_pred": outputs, "clean_loss": clean.detach(), "robust_loss": robust.detach()}

    def _found(self, batch: Batch, lower: Tensor, upper: Tensor) -> Tensor:
        """Outputs of rows to which steps up the loss have led from somewhere in the box."""
        inputs, target = batch
        x = lower + torch.rand_like(lower) * (upper - lower)
        n_times = 1 if self.module_.training else _N_TIMES_IN_VALIDATION
        for size in np.repeat(_STEPS, n_times):
            x.requires_grad_()
            with torch.enable_grad():
                loss = self.get_loss(self.infer(inputs | {"x_num": x}), target)
                (slope,) = torch.autograd.grad(loss, x)
            x = torch.clamp(x.detach() + size * (upper - lower) * slope.sign(), lower, upper)
        return self.infer(inputs | {"x_num": x})

    def _bounds(self, inputs: dict[str, Tensor], target: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
        """Outputs that are as bad as interval bounds let them be."""
        module: Any = self.module_ if self.module_.training else self.kept_module
        *layers, last = layers_of_net(module)
        codes = [inputs["x_cat"][:, [j]] for j in range(inputs["x_cat"].shape[1])]
        low, high = interval_outputs(layers, *hull(embedded_columns(module.embedding, lower, upper, codes)))
        if not target.is_floating_point():
            # of each class against the right one: the last layer knows that both move together
            last = last.against(target)
        low, high = last.interval(low, high)
        if "base_margin" in inputs:
            base = inputs["base_margin"].unsqueeze(1)
            if not target.is_floating_point():
                base = base - base.gather(2, target.view(-1, 1, 1))
            low, high = low + base, high + base
        if not target.is_floating_point():
            worst = high
        else:
            wanted = target.unsqueeze(1)
            is_low = wanted > 0.5 if self.adversary.log_odds else (wanted - low).abs() > (high - wanted).abs()
            worst = torch.where(is_low, low, high)
        return worst.squeeze(1) if worst.shape[1] == 1 else worst


def layers_of_net(module: nn.Module) -> list[Any]:
    """A net for tables behind its embedding, as a chain of layers; NotCertifiableError names what is none."""
    if type(module) is TabularNet:
        return [*layers_of(module.hidden), *layers_of(module.output)]
    return layers_of(module)
