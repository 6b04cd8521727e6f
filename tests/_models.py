"""Fitted models of every kind, and all that they answer: compared with what they answer in another process.

``python _models.py FOLDER`` answers for each model file of a folder.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _estimators import SMALL_TREES, Perceptron, public_estimators, small
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from torch import Tensor, nn

import hybridlearn
from hybridlearn import TableEncoder, TabularPipeline
from hybridlearn.persistence import load
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

TESTS = Path(__file__).parent
N_ROWS = 120
TASKS = ("two", "three", "number")


class Recurrent(nn.Module):
    """Layers whose weights live outside of their own names, buffers that are None, and tied weights."""

    def __init__(self, n_features: int, n_outputs: int):
        super().__init__()
        self.recurrent = nn.LSTM(1, 8, batch_first=True)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.register_buffer("nothing", None)
        self.output = nn.Linear(8, n_outputs)

    def forward(self, X: Tensor) -> Tensor:
        (hidden, _) = self.recurrent(X.unsqueeze(-1))
        return self.output(self.second(self.first(hidden[:, -1])))

    def embed(self, X: Tensor) -> Tensor:
        return self.recurrent(X.unsqueeze(-1))[0][:, -1]


def mean_distance(estimator: Any, X: Any, y: np.ndarray) -> float:
    """A user's scorer."""
    return -float(np.abs(estimator.predict(X) - y).mean())


TRUSTED = [Perceptron, Recurrent, mean_distance]


def table() -> pd.DataFrame:
    """Numbers with gaps, text with gaps, an ordered category, booleans and dates."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "a": rng.normal(size=N_ROWS),
            "b": rng.normal(size=N_ROWS).round(1),
            "colour": rng.choice(["red", "green", "blue"], N_ROWS),
            "size": pd.Categorical(rng.choice(["s", "m", "l"], N_ROWS), ["s", "m", "l"], ordered=True),
            "flag": rng.random(N_ROWS) < 0.5,
            "day": pd.Timestamp("2024-01-31") + pd.to_timedelta(rng.integers(0, 300, N_ROWS), unit="D"),
        }
    )
    frame.loc[::20, "a"] = np.nan
    frame.loc[5:8, "colour"] = None
    return frame


def target(task: str) -> np.ndarray:
    """Labels are text."""
    X = table()
    noise = np.random.default_rng(1).normal(size=N_ROWS)
    number = X["a"].fillna(0) - X["b"] + (X["colour"] == "red") + 0.3 * noise
    if task == "number":
        return number.to_numpy()
    names = ["no", "perhaps", "yes"] if task == "three" else ["no", "yes"]
    return np.array(names)[np.digitize(number, [-0.5, 0.8] if task == "three" else [0.2])]


def lasting_table() -> tuple[pd.DataFrame, np.ndarray]:
    """A table of no random numbers, which no version of numpy draws otherwise, and labels."""
    i = np.arange(60)
    frame = pd.DataFrame(
        {
            "a": np.sin(i),
            "b": (i * 7 % 11) / 2,
            "colour": np.array(["red", "green", "blue"])[i * 5 % 3],
            "day": pd.Timestamp("2024-01-31") + pd.to_timedelta(i * 13 % 50, unit="D"),
        }
    )
    frame.loc[::9, "a"] = np.nan
    frame.loc[4:6, "colour"] = None
    labels = np.where(np.sin(i) + (frame["colour"] == "red") + np.cos(5 * i) / 2 > 0.3, "yes", "no")
    return frame, labels


def numbers(X: pd.DataFrame) -> np.ndarray:
    """What takes no table gets of it."""
    return X[["a", "b"]].fillna(0).to_numpy()


def takes_tables(model: Any) -> bool:
    return not getattr(model, "only_numbers", False) and "Module" not in type(model).__name__


def members(task: str) -> list[tuple[str, Any]]:
    trees: Any = BoostedTreesRegressor if task == "number" else BoostedTreesClassifier
    linear = Ridge() if task == "number" else LogisticRegression()
    return [("trees", trees(**SMALL_TREES)), ("linear", make_pipeline(TableEncoder(encode="onehot"), linear))]


def estimator(cls: type[BaseEstimator], task: str) -> BaseEstimator:
    """A small one that takes the table."""
    changes: dict[str, Any] = {"random_state": 0} if "random_state" in small(cls).get_params() else {}
    if cls.__name__.startswith("HybridBoosting") and task != "number":
        stages = [("trees", BoostedTreesClassifier(**SMALL_TREES, early_stopping=False)), members("number")[1]]
        changes["estimators"] = stages
    elif "estimators" in small(cls).get_params():
        changes["estimators"] = members(task)
    if "estimator" in small(cls).get_params():
        changes["estimator"] = members(task)[1][1]
    if cls is TabularPipeline:
        changes["steps"] = [("same", FunctionTransformer()), *members(task)[1][1].steps]
    return small(cls, **changes)


def fits_task(cls: type[BaseEstimator], task: str) -> bool:
    name = "PipelineClassifier" if cls is TabularPipeline else cls.__name__
    return (
        name == "TableEncoder" if task == "none" else name.endswith("Regressor" if task == "number" else "Classifier")
    )


def fit(model: Any, task: str) -> Any:
    X, y = table(), target(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X if takes_tables(model) else numbers(X), y)


def every_public(task: str) -> dict[str, Any]:
    classes = [cls for cls in public_estimators(hybridlearn) if fits_task(cls, task) or cls is TableEncoder]
    return {cls.__name__: fit(estimator(cls, task), task) for cls in classes}


def run_python(*arguments: Any) -> str:
    """What a fresh interpreter prints."""
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run([sys.executable, *map(str, arguments)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-3000:]}"
    return done.stdout


# what is compared

ASKED = (
    "predict",
    "predict_proba",
    "decision_function",
    "margin",
    "transform",
    "predict_set",
    "predict_interval",
    "embed",
)


def answers(model: Any) -> dict[str, Any]:
    """All that a fitted model says of the table it was fitted on, in another order of rows."""
    X = table().iloc[::-1]
    X = X if takes_tables(model) else numbers(X)
    said: dict[str, Any] = {"class": type(model).__name__, "params": shown(model.get_params())}
    asked = [name for name in ASKED if hasattr(model, name)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        said |= {name: answer(getattr(model, name), X) for name in asked}
    for name in ("classes_", "feature_names_in_", "leaderboard_", "weights_", "history_", "cv_results_"):
        if hasattr(model, name):
            said[name] = getattr(model, name)
    if hasattr(model, "oof_"):
        said |= {"oof": model.oof_.frame, "ledger": model.ledger_.frame}
        # who came fitted is vouched for
        model.ledger_.assert_leak_free(trust=model.oof_.members if getattr(model, "cv", None) == "prefit" else ())
    return said


def answer(ask: Any, X: Any) -> Any:
    try:
        return ask(X)
    except ValueError as error:
        return str(error)


def refitted(model: Any, task: str) -> dict[str, Any]:
    said = answers(fit(clone(model), task))
    if "leaderboard_" in said:
        said["leaderboard_"] = said["leaderboard_"].filter(regex="^(?!.*seconds)")
    said.pop("history_", None)  # has seconds too
    return said


def shown(params: dict[str, Any]) -> dict[str, str]:
    """Estimators are equal where their texts are."""
    return {name: repr(value).partition(" at 0x")[0] for name, value in sorted(params.items())}


def assert_same(found: Any, expected: Any, path: str = "") -> None:
    """The same to the last bit and type."""
    assert type(found) is type(expected), f"{path}: {type(found)}, not {type(expected)}"
    if isinstance(expected, dict):
        assert list(found) == list(expected), path
        for name in expected:
            assert_same(found[name], expected[name], f"{path}.{name}")
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected), path
        for i, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_same(one, other, f"{path}[{i}]")
    elif isinstance(expected, np.ndarray) and expected.dtype != object:
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), path
        assert found.tobytes() == expected.tobytes(), path
    elif isinstance(expected, np.ndarray):
        assert_same(found.tolist(), expected.tolist(), path)
    elif isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True, obj=path)
    elif isinstance(expected, pd.Series):
        pd.testing.assert_series_equal(found, expected, check_exact=True, obj=path)
    elif expected is not pd.NA:
        assert found == expected or (found != found and expected != expected), f"{path}: {found!r}, not {expected!r}"


def main(folder: Path) -> None:
    """Answer for each file, and again after a fit of a clone where the name of the file asks for one."""
    said: dict[str, Any] = {}
    for path in sorted(folder.glob("*.hybrid")):
        task, _, how = path.stem.split("-")
        model = load(path, trusted=TRUSTED)
        said[path.stem] = None if how == "unfitted" else answers(model)
        if how != "fitted":
            said[path.stem + " refitted"] = refitted(model, task)
    (folder / "answers.pkl").write_bytes(pickle.dumps(said))


if __name__ == "__main__":
    # the classes of this file are those of `_models`, as in the tests
    import _models

    _models.main(Path(sys.argv[1]))
