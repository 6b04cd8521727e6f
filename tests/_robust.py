"""Small models of a mixed table, which attacks and certificates are tried on."""

from __future__ import annotations

from typing import Any

from sklearn.linear_model import LogisticRegression

from hybridlearn import (
    AdditiveNetClassifier,
    BoostedTreesClassifier,
    HybridClassifier,
    TableEncoder,
    TabMClassifier,
    TabularMLPClassifier,
    make_tabular_pipeline,
)

TREES: dict[str, Any] = {"n_estimators": 15, "learning_rate": 0.3, "max_depth": 3, "early_stopping": False}
NET: dict[str, Any] = {"max_epochs": 8, "learning_rate": 0.02, "early_stopping": False, "random_state": 0}


def linear() -> Any:
    return make_tabular_pipeline(TableEncoder(encode="onehot"), LogisticRegression(max_iter=1000))


def models() -> dict[str, Any]:
    trees = BoostedTreesClassifier(**TREES, random_state=0)
    mlp = TabularMLPClassifier(hidden_layer_sizes=(16, 8), **NET)
    return {
        "trees": trees,
        "native trees": BoostedTreesClassifier(**TREES, categories="native", random_state=0),
        "mlp": mlp,
        "piecewise": TabularMLPClassifier(hidden_layer_sizes=(16,), numeric_embedding="quantile", **NET),
        "tabm": TabMClassifier(k=4, n_blocks=1, d_block=8, **NET),
        "additive net": AdditiveNetClassifier(d_hidden=4, **NET),
        "linear": linear(),
        "hybrid": HybridClassifier(
            estimators=[("trees", trees), ("mlp", mlp), ("linear", linear())], cv=2, random_state=0
        ),
    }


MODELS = list(models())
