"""One system on one split, in a process of its own and in whichever environment has it; see accuracy.py.

    python benchmarks/_peers.py FOLDER

The folder holds ``work.json``, ``train.parquet`` and ``test.parquet``; ``outcome.json`` and ``prediction.npy`` are
written into it. Only the system itself is imported, so that AutoGluon's environment need not hold hybridlearn.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

TARGET = "target"


class Work(NamedTuple):
    """What is asked for; `task` is "binary", "multiclass" or "regression"."""

    system: str
    task: str
    n_classes: int
    seed: int
    threads: int
    seconds: float
    gigabytes: float

    @property
    def classification(self) -> bool:
        return self.task != "regression"

    def of(self, module: str, stem: str, separator: str = "") -> Any:
        """A class of the task by its name, as ``XGB`` + ``Classifier``."""
        kind = "Classifier" if self.classification else "Regressor"
        return getattr(import_module(module), f"{stem}{separator}{kind}")


class System(NamedTuple):
    """What is installed for it, what makes it, and, where it has one, its own limit in seconds."""

    package: str
    make: Callable[[Work], Any]
    own_seconds: float = 0.0


# hybridlearn


def ours(stem: str, **params: Any) -> Callable[[Work], Any]:
    def make(work: Work) -> Any:
        model = work.of("hybridlearn", stem)(random_state=work.seed, **params)
        return model.set_params(n_jobs=work.threads) if "n_jobs" in model.get_params(deep=False) else model

    return make


# peers, each with its defaults


def xgb(work: Work) -> Any:
    kind = work.of("xgboost", "XGB")
    return kind(enable_categorical=True, tree_method="hist", n_jobs=work.threads, random_state=work.seed)


def lgbm(work: Work) -> Any:
    return work.of("lightgbm", "LGBM")(n_jobs=work.threads, random_state=work.seed, verbose=-1)


class Reading:
    """A model that wants its tables read in another way."""

    def __init__(self, model: Any):
        self.model = model

    def read(self, X: pd.DataFrame) -> pd.DataFrame:
        raise NotImplementedError

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> None:
        self.model.fit(self.read(X), y)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict(self.read(X))

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self.read(X))


class WithoutNames(Reading):
    """LightGBM refuses some characters in names of columns."""

    def read(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.set_axis([f"x{i}" for i in range(X.shape[1])], axis=1)


class CatBoost(Reading):
    """Categories as text, a missing one being a level."""

    def __init__(self, work: Work):
        kind = work.of("catboost", "CatBoost")
        super().__init__(kind(thread_count=work.threads, random_seed=work.seed, verbose=0, allow_writing_files=False))

    def read(self, X: pd.DataFrame) -> pd.DataFrame:
        return X.assign(**{name: X[name].astype(object).fillna("missing").astype(str) for name in categories(X)})

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> None:
        self.model.fit(self.read(X), y, cat_features=categories(X))


def categories(X: pd.DataFrame) -> list[str]:
    return list(X.select_dtypes("category"))


def encoder() -> Any:
    """Standardised numbers, imputed by the median; one-hot levels, the rare ones as one."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    numbers = make_pipeline(SimpleImputer(add_indicator=True, strategy="median"), StandardScaler())
    levels = OneHotEncoder(
        handle_unknown="infrequent_if_exist", min_frequency=3, max_categories=50, sparse_output=False, dtype=np.float32
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_include="category")),
    )


def linear(work: Work) -> Any:
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline

    model = LogisticRegression(max_iter=1000) if work.classification else RidgeCV(np.logspace(-3, 4, 15))
    return make_pipeline(encoder(), model)


def hist_gradient_boosting(work: Work) -> Any:
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import TargetEncoder

    def many_levels(X: pd.DataFrame) -> list[str]:
        return [name for name in categories(X) if len(X[name].cat.categories) > 254]

    coded = make_column_transformer(
        (TargetEncoder(random_state=work.seed), many_levels), remainder="passthrough", verbose_feature_names_out=False
    )
    boosting = work.of("sklearn.ensemble", "HistGradientBoosting")
    return make_pipeline(
        coded.set_output(transform="pandas"), boosting(categorical_features="from_dtype", random_state=work.seed)
    )


def skorch_mlp(work: Work) -> Any:
    """Two hidden layers of 256 with stock skorch: what people write by hand."""
    import torch
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from skorch.callbacks import EarlyStopping
    from skorch.dataset import ValidSplit
    from torch import nn

    layers: list[nn.Module] = []
    for _ in range(2):
        layers += [nn.LazyLinear(256), nn.ReLU(), nn.Dropout(0.1)]
    last = [nn.LazyLinear(work.n_classes)] if work.classification else [nn.LazyLinear(1), nn.Flatten(0)]
    torch.manual_seed(work.seed)
    net = work.of("skorch", "NeuralNet")(
        nn.Sequential(*layers, *last),
        criterion=nn.CrossEntropyLoss if work.classification else nn.MSELoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=1e-4,
        lr=1e-3,
        batch_size=256,
        max_epochs=200,
        iterator_train__shuffle=True,
        train_split=ValidSplit(0.2, stratified=work.classification, random_state=work.seed),
        callbacks=[EarlyStopping(patience=16, load_best=True, sink=lambda text: None)],
        verbose=0,
    )
    net = make_pipeline(encoder(), FunctionTransformer(np.asarray, kw_args={"dtype": np.float32}), net)
    if work.classification:
        return net
    column = make_pipeline(StandardScaler(), FunctionTransformer(np.asarray, kw_args={"dtype": np.float32}))
    return TransformedTargetRegressor(net, transformer=column, check_inverse=False)


def stack(work: Work) -> Any:
    members = [("xgb", xgb(work)), ("mlp", skorch_mlp(work)), ("linear", linear(work))]
    return work.of("sklearn.ensemble", "Stacking")(members, cv=5)


class Pytabkit(Reading):
    """Numbers imputed, which all of its models ask for; a missing category is a level."""

    def __init__(self, work: Work, stem: str):
        kind = work.of("pytabkit", stem, "_")
        params: dict[str, Any] = {"val_metric_name": "cross_entropy"} if work.classification else {}
        self.limit = {}
        if stem == "RealMLP_TD":
            self.limit = {"time_to_fit_in_seconds": int(0.85 * work.seconds)}
            params |= {"use_ls": False} if work.classification else {}
        super().__init__(kind(device="cpu", random_state=work.seed, n_threads=work.threads, **params))

    def read(self, X: pd.DataFrame) -> pd.DataFrame:
        gaps = {f"{name} is missing": X[name].isna().astype(float) for name in self.gaps}
        levels = {name: X[name].astype(object).fillna("missing").astype("category") for name in categories(X)}
        return X.assign(**X[self.medians.index].fillna(self.medians), **gaps, **levels)

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> None:
        numbers = X.select_dtypes("number")
        self.medians, self.gaps = numbers.median().fillna(0.0), numbers.columns[numbers.isna().any()]
        self.model.fit(self.read(X), y, cat_col_names=categories(X), **self.limit)


class AutoGluon:
    """Its presets, asked for the metric that is measured."""

    def __init__(self, work: Work, preset: str, seconds: float):
        self.work, self.preset, self.seconds = work, preset, seconds

    def fit(self, X: pd.DataFrame, y: np.ndarray) -> None:
        from autogluon.tabular import TabularPredictor

        metrics = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "root_mean_squared_error"}
        self.folder = tempfile.TemporaryDirectory()
        self.model = TabularPredictor(
            TARGET, path=self.folder.name, verbosity=0, problem_type=self.work.task, eval_metric=metrics[self.work.task]
        ).fit(
            X.assign(**{TARGET: y}),
            presets=self.preset,
            time_limit=self.seconds,
            num_cpus=self.work.threads,
            num_gpus=0,
        )

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict(X).to_numpy()

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(X, as_multiclass=True).sort_index(axis=1).to_numpy()


def pytabkit(stem: str) -> Callable[[Work], Any]:
    return lambda work: Pytabkit(work, stem)


def autogluon(preset: str, seconds: float) -> System:
    return System("autogluon.tabular", lambda work: AutoGluon(work, preset, seconds), seconds)


def in_time(seconds: float) -> System:
    return System("hybridlearn", ours("Hybrid", preset="best", time_limit=seconds), seconds)


SYSTEMS = {
    "hybrid_fast": System("hybridlearn", ours("Hybrid", preset="fast")),
    "hybrid": System("hybridlearn", ours("Hybrid")),
    "hybrid_additive": System("hybridlearn", ours("Hybrid", estimators="additive")),
    "hybrid_best": System("hybridlearn", ours("Hybrid", preset="best")),
    "hybrid_60": in_time(60),
    "hybrid_240": in_time(240),
    "hl_trees": System("hybridlearn", ours("BoostedTrees")),
    "hl_mlp": System("hybridlearn", ours("TabularMLP")),
    "hl_tabm": System("hybridlearn", ours("TabM")),
    "linear": System("scikit-learn", linear),
    "xgb": System("xgboost", xgb),
    "lgbm": System("lightgbm", lambda work: WithoutNames(lgbm(work))),
    "catboost": System("catboost", CatBoost),
    "hgb": System("scikit-learn", hist_gradient_boosting),
    "skorch_mlp": System("skorch", skorch_mlp),
    "stack": System("scikit-learn", stack),
    "xgb_td": System("pytabkit", pytabkit("XGB_TD")),
    "lgbm_td": System("pytabkit", pytabkit("LGBM_TD")),
    "realmlp_td": System("pytabkit", pytabkit("RealMLP_TD")),
    "tabm_d": System("pytabkit", pytabkit("TabM_D")),
    "ag_medium": autogluon("medium_quality", 60),
    "ag_best": autogluon("best_quality", 240),
}


def peak_megabytes() -> float:
    """Of this process; ``ru_maxrss`` would be at least that of the process that has started it."""
    status = Path("/proc/self/status").read_text()
    return round(int(status.split("VmHWM:")[1].split()[0]) / 1024, 1)


def run(folder: Path) -> None:
    work = Work(**json.loads((folder / "work.json").read_text()))
    system = SYSTEMS[work.system]
    if work.gigabytes:
        # what a process may hold of its own; addresses alone cost nothing
        most = int(work.gigabytes * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    outcome: dict[str, Any] = {"version": f"{system.package} {version(system.package)}"}

    def tell(**facts: Any) -> None:
        outcome.update(facts, peak_rss_mb=peak_megabytes())
        (folder / "outcome.json").write_text(json.dumps(outcome))

    def give_up(started: float) -> None:
        tell(status="timeout", fit_seconds=round(time.perf_counter() - started, 3))
        os._exit(0)

    train, test = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "test"))
    X, y = train.drop(columns=TARGET), train[TARGET].to_numpy()
    try:
        model = system.make(work)
        started = time.perf_counter()
        watch = threading.Timer(work.seconds + system.own_seconds, give_up, [started])
        watch.daemon = True
        watch.start()
        model.fit(X, y)
        watch.cancel()
        fitted = time.perf_counter()
        prediction = np.asarray(model.predict_proba(test) if work.classification else model.predict(test), dtype=float)
        done = time.perf_counter()
    except Exception as error:
        tell(status="error", error=f"{type(error).__name__}: {str(error)[:300]}")
        raise
    np.save(folder / "prediction.npy", prediction.reshape(len(test), -1))
    tell(status="ok", fit_seconds=round(fitted - started, 3), predict_seconds=round(done - fitted, 3))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Path(sys.argv[1]))
