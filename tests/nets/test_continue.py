"""Going on where a fit has ended: ``partial_fit`` and ``warm_start``."""

from __future__ import annotations

import pickle
from typing import Any

import matplotlib
import matplotlib.pyplot
import numpy as np
import pandas as pd
import pytest
import torch
from _nets import CLASSIFIERS, EXACT, NETS, REGRESSORS, TABLE_NETS, module_class, target, tiny, without_dropout

import hybridlearn.nets._base
from hybridlearn._device import present_devices
from hybridlearn.training import DivergedError


@pytest.fixture(scope="module")
def frame(numbers: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(numbers, columns=["a", "b", "c"])


def learned(net: Any) -> bytes:
    """Everything that a net has learned, bit by bit."""
    return pickle.dumps({name: value for name, value in vars(net).items() if name.endswith("_")})


# -- partial_fit


@pytest.mark.parametrize("cls", NETS)
def test_calls_on_the_whole_table_are_the_epochs_of_a_fit(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    """So the optimizer goes on too: AdamW that forgets its moments would go other ways."""
    y = target(cls, noisy)
    whole = without_dropout(cls, **EXACT, max_epochs=6).fit(numbers, y)
    bit_by_bit = without_dropout(cls, **{**EXACT, "max_epochs": 77, "weight_averaging": 0.9})
    for _ in range(6):
        assert bit_by_bit.partial_fit(numbers, y) is bit_by_bit
    np.testing.assert_allclose(bit_by_bit.margin(numbers), whole.margin(numbers), atol=1e-4)
    assert bit_by_bit.n_iter_ == 6
    assert [record["epoch"] for record in bit_by_bit.history_] == [1, 2, 3, 4, 5, 6]
    losses, expected = ([record["train_loss"] for record in net.history_] for net in (bit_by_bit, whole))
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    assert bit_by_bit.stopping_rows_.size == 0


@pytest.mark.parametrize("cls", NETS)
def test_each_call_has_an_order_of_rows_of_its_own_under_the_seed(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    nets = [tiny(cls).partial_fit(numbers, y).partial_fit(numbers, y) for _ in range(2)]
    np.testing.assert_array_equal(nets[0].margin(numbers), nets[1].margin(numbers))
    other = tiny(cls, random_state=1).partial_fit(numbers, y).partial_fit(numbers, y)
    assert not np.array_equal(nets[0].margin(numbers), other.margin(numbers))


@pytest.mark.parametrize("cls", NETS)
def test_more_calls_learn_more(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls)
    for part in np.tile(np.arange(120), 8).reshape(-1, 60):
        net.partial_fit(numbers[part], y[part], classes=["no", "yes"] if cls in CLASSIFIERS else None)
    assert net.n_iter_ == 16
    assert net.score(numbers, y) > (0.65 if cls in CLASSIFIERS else 0.2)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_classes_are_announced_at_the_first_call(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = np.digitize(noisy, [-1, 1]) * 10
    few = y < 20
    net = tiny(cls).partial_fit(numbers[few], y[few], classes=[20, 0, 10])
    assert net.classes_.tolist() == [0, 10, 20]
    assert net.partial_fit(numbers, y).predict_proba(numbers).shape == (120, 3)
    unannounced = tiny(cls).partial_fit(numbers[few], y[few])
    assert unannounced.classes_.tolist() == [0, 10]
    before = learned(unannounced)
    with pytest.raises(ValueError, match=r"labels \[20\] that are not among the classes \[0, 10\]"):
        unannounced.partial_fit(numbers, y)
    assert learned(unannounced) == before


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_other_classes_than_in_the_first_call_are_named(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    net = tiny(cls).partial_fit(numbers, noisy > 0, classes=[False, True])
    with pytest.raises(ValueError, match=r"classes=\[0, 1, 2\] are not those of the first call"):
        net.partial_fit(numbers, noisy > 0, classes=[0, 1, 2])
    assert net.partial_fit(numbers, noisy > 0, classes=[True, False]).n_iter_ == 2


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_a_call_may_hold_one_class(cls: type, numbers: np.ndarray) -> None:
    net = tiny(cls, early_stopping=False).partial_fit(numbers[:60], np.zeros(60, dtype=int), classes=[0, 1])
    assert np.isfinite(net.partial_fit(numbers[60:], np.ones(60, dtype=int)).margin(numbers)).all()


@pytest.mark.parametrize("cls", REGRESSORS)
def test_a_regression_has_no_classes_and_keeps_its_units(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    with pytest.raises(ValueError, match="classes is for classifiers"):
        tiny(cls).partial_fit(numbers, noisy, classes=[0, 1])
    net = tiny(cls).partial_fit(numbers[:60], noisy[:60])
    mean, scale = net.target_mean_, net.target_scale_
    net.partial_fit(numbers[60:], noisy[60:] + 10)
    np.testing.assert_array_equal((net.target_mean_, net.target_scale_), (mean, scale))
    np.testing.assert_array_equal(net.target_range_, [[noisy[:60].min()], [noisy[60:].max() + 10]])


@pytest.mark.parametrize("cls", NETS)
def test_another_number_of_outputs_is_named(cls: type, numbers: np.ndarray) -> None:
    y = (numbers > 0).astype(int)
    net = tiny(cls).partial_fit(numbers, y)
    before = learned(net)
    for wrong in (y[:, :2], y[:, 0]):
        with pytest.raises(ValueError, match=r"the fit that goes on|an earlier call"):
            net.partial_fit(numbers, wrong)
        assert learned(net) == before
    with pytest.raises(ValueError, match=r"the fit that goes on|an earlier call"):
        tiny(cls).partial_fit(numbers, y[:, 0]).partial_fit(numbers, y)


@pytest.mark.parametrize("cls", NETS)
def test_other_columns_are_an_error_and_nothing_is_lost(cls: type, frame: pd.DataFrame, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls).partial_fit(frame, y)
    before = learned(net)
    for wrong in (frame.rename(columns={"a": "z"}), frame[["a", "b"]], frame.assign(d=1.0), frame[["b", "a", "c"]]):
        with pytest.raises(ValueError, match="feature names should match"):
            net.partial_fit(wrong, y)
    with pytest.raises(ValueError, match="X has 2 features"), pytest.warns(UserWarning, match="feature names"):
        net.partial_fit(frame.to_numpy()[:, :2], y)
    assert learned(net) == before


@pytest.mark.parametrize("cls", [cls for cls in NETS if "FT" not in cls.__name__])
def test_a_call_that_diverges_leaves_what_was_there(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls).partial_fit(numbers, y)
    before = learned(net)
    with pytest.raises(DivergedError, match="lower learning_rate"):
        net.set_params(learning_rate=1e30).partial_fit(numbers, y)
    assert learned(net) == before


@pytest.mark.parametrize("cls", NETS)
def test_parameters_that_are_changed_hold_from_the_next_call_on(
    cls: type, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    net = tiny(cls).partial_fit(numbers, y)
    margin = net.margin(numbers)
    net.set_params(learning_rate=1e-12).partial_fit(numbers, y)
    np.testing.assert_allclose(net.margin(numbers), margin, atol=1e-6)
    # a step first takes the weights times 1 - 0.1 * 10, then moves each by about the rate
    net.set_params(learning_rate=0.1, weight_decay=10.0).partial_fit(numbers, y)
    assert max(float(p.detach().abs().max()) for p in net.module_.parameters() if p.ndim > 1) < 0.5


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_a_call_that_is_interrupted_between_two_steps_has_not_been(
    cls: type, monkeypatch: pytest.MonkeyPatch, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    net = tiny(cls, batch_size=40).partial_fit(numbers, y)
    before, passes, original = learned(net), [], module_class(cls).forward

    def forward(self: torch.nn.Module, *inputs: torch.Tensor) -> torch.Tensor:
        passes.append(1)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return original(self, *inputs)

    with monkeypatch.context() as patch:
        patch.setattr(module_class(cls), "forward", forward)
        with pytest.raises(KeyboardInterrupt):
            net.partial_fit(numbers, y)
    assert learned(net) == before
    undisturbed = tiny(cls, batch_size=40).partial_fit(numbers, y).partial_fit(numbers, y)
    np.testing.assert_array_equal(net.partial_fit(numbers, y).margin(numbers), undisturbed.margin(numbers))


@pytest.mark.parametrize("cls", NETS)
def test_a_first_call_that_fails_leaves_the_net_unfitted(
    cls: type, monkeypatch: pytest.MonkeyPatch, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    def break_off(*args: Any) -> None:
        raise KeyboardInterrupt

    net = tiny(cls)
    monkeypatch.setattr(hybridlearn.nets._base, "train", break_off)
    with pytest.raises(KeyboardInterrupt):
        net.partial_fit(numbers, target(cls, noisy))
    assert [name for name in vars(net) if name.endswith("_")] == []


@pytest.mark.parametrize("cls", NETS)
def test_a_pickle_between_calls_changes_nothing(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    straight, stored = tiny(cls).partial_fit(numbers, y), tiny(cls).partial_fit(numbers, y)
    stored = pickle.loads(pickle.dumps(stored))
    straight.partial_fit(numbers, y), stored.partial_fit(numbers, y)
    np.testing.assert_array_equal(straight.margin(numbers), stored.margin(numbers))


@pytest.mark.parametrize("device", present_devices())
@pytest.mark.parametrize("cls", NETS)
def test_what_is_kept_between_calls_lies_on_the_cpu(
    cls: type, device: str, numbers: np.ndarray, noisy: np.ndarray
) -> None:
    """Else a pickle from a machine with a GPU could not go on elsewhere."""
    y = target(cls, noisy)
    net = tiny(cls, device=device).partial_fit(numbers, y).partial_fit(numbers, y)
    moments = [value for state in net.moments_.values() for value in state.values()]
    assert moments
    assert {value.device.type for value in [*moments, *net.module_.parameters()]} == {"cpu"}


@pytest.mark.parametrize("cls", NETS)
def test_a_fit_can_be_gone_on_with(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = without_dropout(cls, max_epochs=5).fit(numbers, y)
    history = list(net.history_)
    encoder = getattr(net, "encoder_", None)
    net.partial_fit(numbers, y)
    assert net.history_[:-1] == history
    assert net.history_[-1]["epoch"] == len(history) + 1
    assert net.history_[-1]["train_loss"] < history[0]["train_loss"]
    assert getattr(net, "encoder_", None) is encoder


@pytest.mark.parametrize("cls", TABLE_NETS)
def test_levels_that_come_later_are_unseen(cls: type, mixed: pd.DataFrame) -> None:
    X, y = mixed[["age", "job"]], mixed["age"].fillna(0) > 40
    net = tiny(cls).partial_fit(X[:60], y[:60])
    with pytest.warns(UserWarning, match="'job'"):
        net.partial_fit(X[60:].assign(job="astronaut"), y[60:])
    assert np.isfinite(net.margin(X)).all()


# -- warm_start


@pytest.mark.parametrize("cls", NETS)
def test_a_warm_start_goes_on_from_the_weights(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    settings = {**EXACT, "max_epochs": 20}  # an epoch of one step tells the loss before it
    net = without_dropout(cls, **settings, warm_start=True).fit(numbers, y)
    first, encoder = net.history_, getattr(net, "encoder_", None)
    second = net.fit(numbers, y).history_
    assert len(second) == 20
    gained = first[0]["train_loss"] - first[-1]["train_loss"]
    assert abs(second[0]["train_loss"] - first[-1]["train_loss"]) < 0.15 * gained
    assert getattr(net, "encoder_", None) is encoder
    anew = net.set_params(warm_start=False).fit(numbers, y)
    assert anew.history_ == first
    assert getattr(net, "encoder_", 0) is not encoder


@pytest.mark.parametrize("cls", NETS)
def test_the_first_warm_fit_is_a_plain_one(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    warm, plain = tiny(cls, warm_start=True, max_epochs=3), tiny(cls, max_epochs=3)
    np.testing.assert_array_equal(warm.fit(numbers, y).margin(numbers), plain.fit(numbers, y).margin(numbers))


@pytest.mark.parametrize("cls", NETS)
def test_a_warm_fit_that_fails_keeps_what_was_there(
    cls: type, monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame, noisy: np.ndarray
) -> None:
    y = target(cls, noisy)
    net = tiny(cls, warm_start=True, max_epochs=3).fit(frame, y)
    before = learned(net)

    def break_off(build_module: Any, *args: Any) -> None:
        with torch.no_grad():
            next(build_module().parameters()).add_(1)
        raise KeyboardInterrupt

    with pytest.raises(ValueError, match="feature names should match"):
        net.fit(frame.rename(columns={"a": "z"}), y)
    with pytest.raises(ValueError, match="not among the classes" if cls in CLASSIFIERS else "must hold numbers"):
        net.fit(frame, np.where(noisy > 0, "yes", "maybe"))
    monkeypatch.setattr(hybridlearn.nets._base, "train", break_off)
    with pytest.raises(KeyboardInterrupt):
        net.fit(frame, y)
    assert learned(net) == before


@pytest.mark.parametrize("cls", NETS)
def test_a_warm_fit_forgets_the_optimizer_of_earlier_calls(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    """It has trained with one of its own; what a call goes on with must not be that of other weights."""
    y = target(cls, noisy)
    net = tiny(cls, warm_start=True, max_epochs=3).partial_fit(numbers, y)
    stale = net.moments_
    net.fit(numbers, y)
    assert getattr(net, "moments_", None) is not stale


@pytest.mark.parametrize("cls", NETS)
def test_one_row_is_enough_to_go_on(cls: type, numbers: np.ndarray, noisy: np.ndarray) -> None:
    y = target(cls, noisy)
    net = tiny(cls).partial_fit(numbers, y)
    assert net.partial_fit(numbers[:1], y[:1]).n_iter_ == 2


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_one_class_is_too_few_to_begin_with(cls: type, numbers: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"classes=\[0\] must hold at least 2 labels"):
        tiny(cls).partial_fit(numbers, np.zeros(120, dtype=int), classes=[0])


def test_a_history_that_went_on_is_drawn(numbers: np.ndarray, noisy: np.ndarray) -> None:
    matplotlib.use("Agg")
    axes = tiny(REGRESSORS[0]).fit(numbers, noisy).partial_fit(numbers, noisy).plot_history()
    lengths = {line.get_label(): len(line.get_xdata()) for line in axes.lines}
    assert lengths["train_loss"] == lengths["valid_loss"] + 1
    matplotlib.pyplot.close(axes.figure)
