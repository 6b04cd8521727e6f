"""What each parameter against overfitting does to a small net, and what TabM's margins cost against probabilities.

On the mortgages of `hybridlearn.datasets` (2,380 rows, a quarter held out, stratified): log loss on the rows held out,
and how far it is above that on the rows of the fit. Means over seeds with their standard error.

    python benchmarks/regularisation.py
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import expit
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from hybridlearn.datasets import load_mortgages
from hybridlearn.nets import TabMClassifier, TabularMLPClassifier

BARE = {
    "dropout": 0.0,
    "weight_decay": 0.0,
    "weight_averaging": 0.0,
    "early_stopping": False,
    "max_epochs": 60,
}
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "dropout=0.3": {"dropout": 0.3},
    "weight_decay=0.3": {"weight_decay": 0.3},
    "l1=1e-4": {"l1": 1e-4},
    "label_smoothing=0.1": {"label_smoothing": 0.1},
    "weight_averaging=0.998": {"weight_averaging": 0.998},
    "gradient_clipping=0.1": {"gradient_clipping": 0.1},
    "early_stopping": {"early_stopping": True, "max_epochs": 200},
}


def split(seed: int) -> list[Any]:
    X, y = load_mortgages()
    return train_test_split(X, y, stratify=y, random_state=seed)


def losses(seed: int, **params: Any) -> tuple[float, float]:
    """Log loss on the rows held out, and its distance from that on the rows of the fit."""
    X_train, X_test, y_train, y_test = split(seed)
    net = TabularMLPClassifier(random_state=seed, **params).fit(X_train, y_train)
    held_out = log_loss(y_test, net.predict_proba(X_test))
    return held_out, held_out - log_loss(y_train, net.predict_proba(X_train))


def members(seed: int) -> tuple[float, float]:
    """Log loss of TabM when margins are averaged, and what it would be with probabilities."""
    X_train, X_test, y_train, y_test = split(seed)
    net = TabMClassifier(random_state=seed).fit(X_train, y_train)
    inputs = net._inputs(X_test, np.arange(len(X_test)))
    with torch.no_grad():
        margins = net.module_.output(net.module_.hidden(net.module_.embedding(*inputs.values())))[:, :, 0].numpy()
    codes = y_test == net.classes_[1]
    return log_loss(codes, expit(margins.mean(axis=1))), log_loss(codes, expit(margins).mean(axis=1))


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    settings = {name: BARE | change for name, change in CHANGES.items()} | {"the defaults": {}}
    rows = {name: zip(*(losses(seed, **params) for seed in seeds), strict=True) for name, params in settings.items()}
    table = {name: [spread(values) for values in columns] for name, columns in rows.items()}
    print(pd.DataFrame(table, index=["log loss", "above the fitted rows"]).T.to_string())
    by_margins, by_probabilities = zip(*(members(seed) for seed in seeds), strict=True)
    print(f"\nTabM, margins averaged: {spread(by_margins)}, probabilities averaged: {spread(by_probabilities)},")
    print(f"difference {spread([m - p for m, p in zip(by_margins, by_probabilities, strict=True)])}")


if __name__ == "__main__":
    main()
