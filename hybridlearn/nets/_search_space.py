"""Where to look for better parameters of a net."""

from __future__ import annotations

from typing import Any

from scipy.stats import loguniform, randint, uniform

from hybridlearn.nets._base import BaseNet

# In the order of how much they tend to matter. Distributions of parameters that an estimator lacks are left out.
_SPACE: dict[str, Any] = {
    "learning_rate": loguniform(3e-4, 1e-2),
    "weight_decay": loguniform(1e-4, 1e-1),
    "dropout": uniform(0.0, 0.5),
    "batch_size": ["auto", 64, 128, 256],
    "numeric_embedding": ["periodic", "quantile", "linear"],
    "d_embedding": [4, 8, 16],
    "n_frequencies": [8, 16, 32],
    "frequency_scale": loguniform(1e-2, 1.0),
    "n_bins": randint(8, 65),
    "hidden_layer_sizes": [(128, 128), (256, 256), (512, 512), (256, 256, 256)],
    "n_blocks": randint(1, 5),
    "d_block": [64, 128, 192, 256],
    "d_hidden": [32, 128, 256, 384, 512],
    "k": [8, 16, 32],
    "attention_dropout": uniform(0.0, 0.5),
    "label_smoothing": [0.0, 0.05, 0.1],
}


def search_space(estimator: BaseNet) -> dict[str, Any]:
    """Distributions of a net's parameters for scikit-learn's `RandomizedSearchCV`.

    They hold the defaults and follow the ranges of Gorishniy et al. (2021, 2025) and Holzmüller et al. (2024), narrowed
    to what a laptop trains in minutes.

    Parameters
    ----------
    estimator : net
        A classifier or regressor of this room, unfitted or not.

    Returns
    -------
    dict of str to distribution or list
        By parameter name; prefix the names for a net in a Pipeline or hybrid.

    Raises
    ------
    TypeError
        When `estimator` is no net of ours.

    Examples
    --------
    >>> from hybridlearn.nets import TabMRegressor
    >>> sorted(search_space(TabMRegressor()))[:3]
    ['batch_size', 'd_block', 'd_embedding']
    """
    if not isinstance(estimator, BaseNet):
        raise TypeError(f"search_space knows the nets of hybridlearn, got a {type(estimator).__name__}")
    known = estimator.get_params(deep=False)
    return {name: values for name, values in _SPACE.items() if name in known}
