"""The losses by hand, against torch's own, and by what minimises them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.special import expit, logit, softmax
from torch import Tensor, nn
from torch.nn import functional as F

from hybridlearn.modules import CrossEntropy, FocalLoss, HuberLoss, LogitAdjustedLoss, PinballLoss, SquaredError

N = 12


def random_numbers(*shape: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def binary() -> tuple[Tensor, Tensor]:
    return random_numbers(N, 1), (random_numbers(N, 1, seed=1) > 0).double()


def multiclass() -> tuple[Tensor, Tensor]:
    return random_numbers(N, 3), torch.arange(N) % 3


def multilabel() -> tuple[Tensor, Tensor]:
    return random_numbers(N, 3), (random_numbers(N, 3, seed=1) > 0).double()


CLASSES = {"binary": binary, "multiclass": multiclass, "multilabel": multilabel}
each_kind = pytest.mark.parametrize("kind", CLASSES)


def torchs_cross_entropy(outputs: Tensor, target: Tensor) -> Tensor:
    if target.ndim == 1:
        return F.cross_entropy(outputs, target, reduction="none")
    return F.binary_cross_entropy_with_logits(outputs, target, reduction="none").mean(dim=1)


def shares(outputs: Tensor, target: Tensor) -> np.ndarray:
    """Probability given to what is true, a row (multiclass) or a row and output."""
    if target.ndim == 1:
        return softmax(outputs.numpy(), axis=1)[np.arange(len(outputs)), target.numpy()]
    return np.where(target.numpy() == 1, expit(outputs.numpy()), expit(-outputs.numpy()))


def row_means(losses: np.ndarray) -> np.ndarray:
    return losses.reshape(len(losses), -1).mean(axis=1)


# -- what all have in common


@each_kind
@pytest.mark.parametrize("loss", [CrossEntropy(), CrossEntropy(0.1), FocalLoss(), LogitAdjustedLoss([0.1, 0.2, 0.3])])
def test_a_loss_of_classes_is_one_number_a_row_of_that_row_alone(kind: str, loss: nn.Module) -> None:
    outputs, target = CLASSES[kind]()
    if isinstance(loss, LogitAdjustedLoss) and kind == "binary":
        loss = LogitAdjustedLoss([0.1])
    losses = loss(outputs, target)
    assert losses.shape == (N,)
    assert_allclose(losses, np.concatenate([loss(outputs[[i]], target[[i]]) for i in range(N)]), rtol=1e-12)
    assert len(losses.unique()) > N // 2


@pytest.mark.parametrize("loss", [SquaredError(), HuberLoss(), PinballLoss(0.3)])
@pytest.mark.parametrize("n_outputs", [1, 3])
def test_a_loss_of_numbers_is_one_number_a_row_the_mean_over_outputs(loss: nn.Module, n_outputs: int) -> None:
    outputs, target = random_numbers(N, n_outputs), random_numbers(N, n_outputs, seed=1)
    losses = loss(outputs, target)
    assert losses.shape == (N,)
    each = np.column_stack([loss(outputs[:, [j]], target[:, [j]]) for j in range(n_outputs)])
    assert_allclose(losses, each.mean(axis=1), rtol=1e-12)
    assert (losses > 0).all()
    assert not loss(target, target).any()


@each_kind
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("make", [CrossEntropy, FocalLoss, LogitAdjustedLoss])
def test_gradients_are_those_of_the_numbers(kind: str, label_smoothing: float, make: type[nn.Module]) -> None:
    outputs, target = CLASSES[kind]()
    prior = {"log_prior": [-1.0, 0.5, 0.0][: outputs.shape[1]]} if make is LogitAdjustedLoss else {}
    loss = make(**prior, label_smoothing=label_smoothing)
    torch.autograd.gradcheck(lambda z: loss(z, target), (outputs.requires_grad_(),))


# -- cross-entropy


@each_kind
def test_cross_entropy_is_torchs(kind: str) -> None:
    outputs, target = CLASSES[kind]()
    torch.testing.assert_close(CrossEntropy()(outputs, target), torchs_cross_entropy(outputs, target))


@each_kind
def test_cross_entropy_is_minus_the_log_of_the_share_given_to_the_truth(kind: str) -> None:
    outputs, target = CLASSES[kind]()
    assert_allclose(CrossEntropy()(outputs, target), row_means(-np.log(shares(outputs, target))), rtol=1e-10)


def test_cross_entropy_by_hand() -> None:
    """Odds of 3 to 1; shares of 1/6, 2/6 and 3/6."""
    odds = torch.tensor([[math.log(3)], [math.log(3)]])
    assert_allclose(CrossEntropy()(odds, torch.tensor([[1.0], [0.0]])), np.log([4 / 3, 4]), rtol=1e-6)
    scores = torch.log(torch.tensor([[1.0, 2.0, 3.0]])).expand(3, 3)
    assert_allclose(CrossEntropy()(scores, torch.tensor([0, 1, 2])), np.log([6, 3, 2]), rtol=1e-6)
    two_labels = torch.tensor([[math.log(3), 0.0]])
    assert_allclose(CrossEntropy()(two_labels, torch.tensor([[1.0, 1.0]])), [np.log(8 / 3) / 2], rtol=1e-6)


def test_a_binary_target_is_two_classes_the_first_with_an_output_of_zero() -> None:
    outputs, target = binary()
    both = torch.cat([torch.zeros_like(outputs), outputs], dim=1)
    codes = target[:, 0].long()
    for loss in (CrossEntropy(0.2), FocalLoss(1.5, 0.2)):
        torch.testing.assert_close(loss(outputs, target), loss(both, codes))


def test_label_smoothing_by_hand() -> None:
    """A share of 0.2 over two classes makes 0.9 and 0.1 of one and zero; over four, 0.85 and three times 0.05."""
    loss = CrossEntropy(0.2)
    z = 1.3
    outputs = torch.tensor([[z], [z]], dtype=torch.float64)
    right, wrong = -np.log(expit(z)), -np.log(expit(-z))
    expected = [0.9 * right + 0.1 * wrong, 0.1 * right + 0.9 * wrong]
    assert_allclose(loss(outputs, torch.tensor([[1.0], [0.0]]).double()), expected, rtol=1e-10)
    scores = np.array([0.3, -1.0, 2.0, 0.5])
    expected = -np.log(softmax(scores)) @ [0.05, 0.05, 0.85, 0.05]
    assert_allclose(loss(torch.tensor(scores)[None], torch.tensor([2])), [expected], rtol=1e-10)


@each_kind
@pytest.mark.parametrize("make", [CrossEntropy, FocalLoss, LogitAdjustedLoss])
def test_labels_are_smooth_in_training_alone(kind: str, make: type[nn.Module]) -> None:
    outputs, target = CLASSES[kind]()
    prior = {"log_prior": [-1.0, 0.5, 0.0][: outputs.shape[1]]} if make is LogitAdjustedLoss else {}
    smooth, plain = make(**prior, label_smoothing=0.3), make(**prior)
    assert (smooth(outputs, target) - plain(outputs, target)).abs().min() > 1e-6
    smooth.eval()
    assert torch.equal(smooth(outputs, target), plain(outputs, target))
    smooth.train()
    assert not torch.equal(smooth(outputs, target), plain(outputs, target))


# -- focal loss


@each_kind
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_is_cross_entropy_times_a_power_of_the_share_given_to_what_is_not_true(
    kind: str, gamma: float
) -> None:
    outputs, target = CLASSES[kind]()
    p = shares(outputs, target)
    assert_allclose(FocalLoss(gamma)(outputs, target), row_means(-((1 - p) ** gamma) * np.log(p)), rtol=1e-8)


@each_kind
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_focal_loss_with_a_power_of_zero_is_cross_entropy(kind: str, label_smoothing: float) -> None:
    outputs, target = CLASSES[kind]()
    focal, plain = FocalLoss(0.0, label_smoothing), CrossEntropy(label_smoothing)
    one, other = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    losses, expected = focal(one, target), plain(other, target)
    torch.testing.assert_close(losses, expected)
    losses.sum().backward()
    expected.sum().backward()
    torch.testing.assert_close(one.grad, other.grad)


@each_kind
def test_focal_loss_with_smooth_labels_still_weighs_by_the_true_class(kind: str) -> None:
    outputs, target = CLASSES[kind]()
    weight = torch.tensor((1 - shares(outputs, target)) ** 2)
    if kind == "multiclass":
        expected = weight * F.cross_entropy(outputs, target, reduction="none", label_smoothing=0.2)
    else:
        smooth = target * 0.8 + 0.1
        expected = (weight * F.binary_cross_entropy_with_logits(outputs, smooth, reduction="none")).mean(dim=1)
    torch.testing.assert_close(FocalLoss(2.0, 0.2)(outputs, target), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("size", [0.0, 1.0, 8.0, 16.0, 17.5, 40.0, 90.0, 1e4])
def test_focal_loss_and_its_gradient_are_finite_however_sure_an_output_is(
    size: float, gamma: float, label_smoothing: float, dtype: torch.dtype
) -> None:
    loss = FocalLoss(gamma, label_smoothing)
    for outputs, target in [
        (torch.tensor([[size], [-size], [size], [-size]]), torch.tensor([[1.0], [1.0], [0.0], [0.0]])),
        (torch.tensor([[size, 0.0, -size]] * 3), torch.tensor([0, 1, 2])),
    ]:
        outputs = outputs.to(dtype).requires_grad_()
        losses = loss(outputs, target.to(dtype) if target.is_floating_point() else target)
        losses.sum().backward()
        assert losses.isfinite().all()
        assert (losses >= 0).all()
        assert outputs.grad is not None
        assert outputs.grad.isfinite().all()
        # who is sure and wrong is pulled as hard as by cross-entropy
        if size >= 40 and label_smoothing == 0:
            assert_allclose(outputs.grad.abs().max(), 1.0, rtol=1e-3)


def test_rows_that_are_right_weigh_little_under_focal_loss() -> None:
    right, wrong = torch.tensor([[3.0]]), torch.tensor([[-3.0]])
    one = torch.ones(1, 1)
    assert float(FocalLoss(2.0)(right, one) / CrossEntropy()(right, one)) < 0.01
    assert float(FocalLoss(2.0)(wrong, one) / CrossEntropy()(wrong, one)) > 0.9


# -- logit-adjusted loss


@each_kind
@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
def test_logit_adjusted_loss_is_cross_entropy_of_shifted_outputs(kind: str, label_smoothing: float) -> None:
    outputs, target = CLASSES[kind]()
    log_prior = [-1.25, 0.5, -3.0][: outputs.shape[1]]
    shifted = outputs + torch.tensor(log_prior)
    adjusted, plain = LogitAdjustedLoss(log_prior, label_smoothing), CrossEntropy(label_smoothing)
    torch.testing.assert_close(adjusted(outputs, target), plain(shifted, target))
    torch.testing.assert_close(adjusted.eval()(outputs, target), plain.eval()(shifted, target))
    assert not torch.allclose(adjusted(outputs, target), plain(outputs, target))


@given(share=st.floats(0.05, 0.95), prior=st.floats(0.05, 0.95))
def test_the_least_logit_adjusted_loss_is_at_the_log_odds_minus_those_of_the_prior(share: float, prior: float) -> None:
    loss = LogitAdjustedLoss([logit(prior)])
    best = logit(share) - logit(prior)

    def mean_loss(output: float) -> float:
        losses = loss(torch.full((2, 1), output, dtype=torch.float64), torch.tensor([[0.0], [1.0]]).double())
        return float(losses @ torch.tensor([1 - share, share], dtype=torch.float64))

    assert mean_loss(best) < mean_loss(best + 0.1)
    assert mean_loss(best) < mean_loss(best - 0.1)
    assert mean_loss(best) == pytest.approx(-share * math.log(share) - (1 - share) * math.log(1 - share), rel=1e-5)


def test_under_a_classes_own_prior_nothing_but_the_prior_is_known_at_zero() -> None:
    """With frequencies as the prior and no columns, the least loss is at equal outputs: all classes are even."""
    counts = torch.tensor([60, 30, 10])
    outputs = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    target = torch.arange(3).repeat_interleave(counts)
    loss = LogitAdjustedLoss((counts / 100).log().tolist())
    loss(outputs.expand(100, 3), target).sum().backward()
    assert_allclose(outputs.grad, [0, 0, 0], atol=1e-4)
    outputs.grad = None
    CrossEntropy()(outputs.expand(100, 3), target).sum().backward()
    assert_allclose(outputs.grad, [100 / 3 - 60, 100 / 3 - 30, 100 / 3 - 10], rtol=1e-6)


def test_the_prior_moves_with_the_loss_and_is_not_learned() -> None:
    loss = LogitAdjustedLoss([0.5, -0.5])
    assert list(loss.parameters()) == []
    assert list(loss.state_dict()) == ["log_prior"]
    assert loss.double().log_prior.dtype == torch.float64


# -- numbers


def test_squared_error_by_hand() -> None:
    losses = SquaredError()(torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, -1.0]]))
    assert losses.tolist() == [2.0, 5.0]


def test_squared_error_is_torchs() -> None:
    outputs, target = random_numbers(N, 3), random_numbers(N, 3, seed=1)
    torch.testing.assert_close(SquaredError()(outputs, target), F.mse_loss(outputs, target, reduction="none").mean(1))


def test_huber_loss_by_hand() -> None:
    """Up to 2 away half the square; 5 away 2 * (5 - 1)."""
    losses = HuberLoss(delta=2.0)(torch.tensor([[0.0], [1.0], [2.0], [5.0], [-5.0]]), torch.zeros(5, 1))
    assert losses.tolist() == [0.0, 0.5, 2.0, 8.0, 8.0]


@pytest.mark.parametrize("delta", [0.5, 1.0, 4.0])
def test_huber_loss_by_numpy(delta: float) -> None:
    outputs, target = random_numbers(N, 2), random_numbers(N, 2, seed=1)
    off = (outputs - target).abs().numpy()
    expected = np.where(off <= delta, off**2 / 2, delta * (off - delta / 2)).mean(axis=1)
    assert (off < delta).any()
    assert (off > delta).any()
    assert_allclose(HuberLoss(delta)(outputs, target), expected, rtol=1e-12)


def test_a_far_off_target_pulls_no_harder_than_one_at_delta() -> None:
    outputs = torch.zeros(4, 1, requires_grad=True)
    HuberLoss(2.0)(outputs, torch.tensor([[1.0], [2.0], [100.0], [-1e6]])).sum().backward()
    assert outputs.grad is not None
    assert outputs.grad[:, 0].tolist() == [-1.0, -2.0, -2.0, 2.0]


def test_pinball_loss_by_hand() -> None:
    outputs, target = torch.zeros(3, 1), torch.tensor([[4.0], [-4.0], [0.0]])
    assert PinballLoss(0.75)(outputs, target).tolist() == [3.0, 1.0, 0.0]
    assert PinballLoss()(outputs, target).tolist() == [2.0, 2.0, 0.0]


def test_pinball_loss_at_the_median_is_half_the_absolute_error() -> None:
    outputs, target = random_numbers(N, 3), random_numbers(N, 3, seed=1)
    expected = F.l1_loss(outputs, target, reduction="none").mean(dim=1) / 2
    torch.testing.assert_close(PinballLoss(0.5)(outputs, target), expected)


@given(
    values=st.lists(st.integers(-20, 20), min_size=1, max_size=15),
    quantile=st.sampled_from([0.05, 0.25, 0.5, 0.8, 0.95]),
)
def test_the_least_pinball_loss_is_at_the_quantile(values: list[int], quantile: float) -> None:
    target = torch.tensor(values, dtype=torch.float64)[:, None]

    def mean_loss(output: float) -> float:
        return float(PinballLoss(quantile)(torch.full_like(target, output), target).mean())

    best = mean_loss(float(np.quantile(values, quantile, method="inverted_cdf")))
    for output in np.arange(-21, 21.5, 0.5):
        assert best <= mean_loss(output) + 1e-9, output


def test_quantiles_apart_have_their_least_losses_apart() -> None:
    target = torch.arange(101.0)[:, None]
    grid = np.arange(-5, 106)
    at = []
    for quantile in (0.105, 0.505, 0.905):
        loss = PinballLoss(quantile)
        at.append(int(grid[np.argmin([float(loss(torch.full((101, 1), float(g)), target).mean()) for g in grid])]))
    assert at == [10, 51, 91]
    assert all(a < b for a, b in itertools.pairwise(at))
