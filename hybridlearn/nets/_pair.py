"""What makes a classifier or a regressor of a head and a family: parameters and text that all nets share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hybridlearn._compat import StrOptions, real
from hybridlearn._docs import also_takes, shares_doc

LEVELS = """
    max_levels : int, default=?
        Levels kept a categorical column, the most frequent first; the others share one embedding.
    adversarial : {"pgd", "ibp"} or None, default=?
        What else the net is trained on, half and half: rows moved to where its loss is high, by projected gradient
        descent; or interval bounds of its outputs, which can be certified (of perceptrons, TabM and additive nets). The
        moves grow over the first eighth of the epochs, after which stopping begins. None is nothing.
    adversarial_eps : float, array-like of shape (n_columns,) or dict of column to float, default=?
        How far numbers move: a number is in robust standard deviations of each column, an array or a dict in its units.
"""
EMBEDDING = """
    numeric_embedding : {"periodic", "quantile", "target", "linear", "none"}, default=?
        What a number becomes: itself and learned cosines of it; a learned function that is linear between quantiles
        of its column, or between the splits of a decision tree of the target on it; a line; or itself.
    d_embedding : int, default=?
        Numbers that each number becomes.
    n_frequencies : int, default=?
        Cosines behind each periodic embedding.
    frequency_scale : float, default=?
        Standard deviation of their initial frequencies, a unit being about the column's interquartile range; larger
        fits finer wiggles.
    n_bins : int, default=?
        At most, of a piecewise linear embedding.
"""
_TRAINING = """
    learning_rate : float, default=?
        Of AdamW, constant.
    weight_decay : float, default=?
        Of AdamW.
    l1 : float, default=?
        Times the sum of the absolute weights (matrices of that name, not biases, not norms), added to the loss.
    gradient_clipping : float, default=?
        Largest norm of a step's gradient, in units of the loss; infinity leaves it alone.
    weight_averaging : float, default=?
        Share of the running mean of the weights that a step keeps; the mean is what stops early and predicts. 0 takes
        no mean.
    batch_size : int or "auto", default=?
        Rows a step; "auto" is the power of two from 32 to 256 that is nearest, in ratio, to a twentieth of the
        training rows.
    max_epochs : int, default=?
        Upper bound of passes over the training rows.
    early_stopping : bool, default=?
        Whether to keep rows aside, stop when their loss no longer falls, and go back to the best weights.
    validation_fraction : float, default=?
        Share of the rows (of the groups, if given) kept aside; stratified in classification, the latest with `time`.
    n_iter_no_change : int, default=?
        Epochs without a lower loss before training stops.
    warm_start : bool, default=?
        Whether ``fit`` goes on from the weights, scales and levels of the last fit; parameters of the architecture
        then have no effect.
    time_limit : float or None, default=?
        Seconds that ``fit`` may take; None sets no limit. At its end training stops after the step under way, one step
        at least is made, and with early stopping the best weights so far are kept. Nets that train as one program have
        the time together.
    device : str, default=?
        A torch device; "auto" takes CUDA, then MPS, then the CPU. The fitted net is kept on the CPU. Fits in several
        processes take turns on a GPU.
    random_state : int, RandomState or None, default=?
        Decides the split, the initial weights, the row order and dropout. Global seeds are left alone.
    verbose : int, default=?
        From 1 on, a progress bar over the epochs.
"""
_CLASSIFIER = """
    loss : {"log_loss", "focal", "logit_adjusted"}, default=?
        Cross-entropy; the same, less of rows that are right already; or with the classes' shares taken out, so that
        the net answers as if classes were balanced, in ``predict_proba`` too.
    focal_gamma : float, default=?
        How much less of them; 0 is cross-entropy.
    label_smoothing : float, default=?
        Share of a training row's label that is spread evenly over the classes.
    class_weight : "balanced", dict or None, default=?
        Multiplies ``sample_weight`` by class, as in scikit-learn; None is 1 each.
"""
_REGRESSOR = """
    loss : {"squared_error", "huber", "absolute_error", "quantile"}, default=?
        Of the standardised target. Against heavy tails "huber" keeps the mean in view and "absolute_error" goes for
        the median; with any loss predictions stay within the range of the targets seen.
    huber_delta : float, default=?
        Error, in standard deviations of the target, beyond which "huber" is linear.
    quantile : float, default=?
        Which one "quantile" goes for.
"""
_ATTRIBUTES = """
    module_ : torch.nn.Module
        The trained module, on the CPU, in evaluation mode.
    history_ : list of dict
        ``epoch``, ``train_loss`` and, with early stopping, ``valid_loss`` of each epoch; of adversarial training their
        parts too, ``train_clean_loss`` and ``train_robust_loss``.
    n_iter_ : int
        Epochs run.
    timed_out_ : bool
        Whether `time_limit` ended the training: the last epoch may be one in part, without a ``valid_loss``.
    stopping_rows_ : ndarray of int
        Positions of the rows that stopped the training.
    row_hashes_ : ndarray of uint64
        Of the rows seen: what tells that a holdout was trained on.
    n_features_in_ : int
        Columns seen in ``fit``.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, when all are strings.
"""
ENCODER = """
    encoder_ : TableEncoder
        What turns a table into the module's inputs.
"""
_CLASSES = """
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted; for several labels a row, their positions.
    multilabel_ : bool
        Whether rows may have several labels: `y` had several columns.
"""
_TARGET = """
    target_mean_, target_scale_ : ndarray of shape (n_outputs,)
        What the target was standardised with, in its units.
    target_range_ : ndarray of shape (2, n_outputs)
        Least and largest target seen.
"""

_SECTIONS = """
    Parameters
    ----------
    <parameters>
    <training>
    <head>

    Attributes
    ----------
    <head_attributes>
    <attributes>
    <shared_attributes>
"""

_CLASSIFIER_CONSTRAINTS: dict = {
    "loss": [StrOptions({"log_loss", "focal", "logit_adjusted"})],
    "focal_gamma": [real(0, closed="left")],
    "label_smoothing": [real(0, 1, closed="left")],
    "class_weight": [dict, StrOptions({"balanced"}), None],
}
_REGRESSOR_CONSTRAINTS: dict = {
    "loss": [StrOptions({"squared_error", "huber", "absolute_error", "quantile"})],
    "huber_delta": [real(0, closed="neither")],
    "quantile": [real(0, 1, closed="neither")],
}


def net_estimator(*, parameters: str, attributes: str) -> Callable[[type], type]:
    """Class decorator: make one of a pair of a head on a family.

    It adds the parameters that a net has as a classifier or as a regressor, and puts the sections on parameters and
    attributes where ``<sections>`` stands in the docstring.

    Parameters
    ----------
    parameters, attributes : str
        What the docstring says of the family's own.
    """

    def decorate(cls: Any) -> type:
        if cls._is_classifier:
            constraints, head, head_attributes = _CLASSIFIER_CONSTRAINTS, _CLASSIFIER, _CLASSES
            takes = also_takes(loss="log_loss", focal_gamma=2.0, label_smoothing=0.0, class_weight=None)
        else:
            constraints, head, head_attributes = _REGRESSOR_CONSTRAINTS, _REGRESSOR, _TARGET
            takes = also_takes(loss="squared_error", huber_delta=1.0, quantile=0.5)
        cls._parameter_constraints = {**cls._parameter_constraints, **constraints}
        fill = shares_doc(
            sections=_SECTIONS,
            parameters=parameters,
            training=_TRAINING,
            head=head,
            head_attributes=head_attributes,
            attributes=attributes,
            shared_attributes=_ATTRIBUTES,
        )
        return fill(takes(cls))

    return decorate
