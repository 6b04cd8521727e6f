"""``hybridlearn predict``, ``evaluate`` and ``show``: what is done with a model that lies in a file."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api import types
from sklearn import metrics
from tqdm import tqdm

from ._cli_columns import as_in_fit, numbers_in, row_of
from ._cli_errors import UserError, blaming, check_input, check_output, listed
from ._cli_tables import TableFile, check_table_ending, open_table, table_writer
from .persistence import ModelFileError, about, load
from .table import UNSEEN, Schema, UnseenCategoryWarning

__all__ = ["evaluate", "predict", "show"]


@dataclass(frozen=True)
class _Predictor:
    """A fitted estimator, the columns that it needs, and what was noted when it was saved."""

    path: Path
    model: Any
    schema: Schema
    notes: dict[str, Any]

    @property
    def is_classifier(self) -> bool:
        return hasattr(self.model, "classes_")

    @property
    def names(self) -> list[str]:
        return [str(column.name) for column in self.schema.columns]

    def answers(self, X: pd.DataFrame) -> tuple[np.ndarray, np.ndarray | None]:
        """Labels and probabilities of the classes, or numbers and None."""
        if not self.is_classifier:
            return self.model.predict(X), None
        probability = self.model.predict_proba(X)
        return self.model._labels_of(probability), probability


def _load(path: Path) -> _Predictor:
    check_input(path, "model file")
    with blaming(OSError, ModelFileError):
        model, notes = load(path), about(path).get("notes", {})
    schema = _schema_of(model)
    if schema is None or not all(isinstance(column.name, str) for column in schema.columns):
        raise UserError(f"{path} holds a {type(model).__name__} that was not fitted on a table with named columns")
    is_one = not getattr(model, "multilabel_", False) and (hasattr(model, "classes_") or model._n_outputs == 1)
    if not is_one:
        raise UserError(f"{path} holds a {type(model).__name__} of several targets, which this command does not know")
    return _Predictor(path, model, schema, notes)


def _schema_of(model: Any) -> Schema | None:
    """What the columns were in fit: ensembles know it themselves, of nets and trees it is what encodes."""
    encoder = getattr(model, "encoder_", None)
    found = (getattr(model, "schema_", None), getattr(encoder, "schema_", None), getattr(encoder, "schema", None))
    return next((schema for schema in found if isinstance(schema, Schema)), None)


def predict(arguments: argparse.Namespace) -> None:
    """Write a row of answers for each row of the table."""
    check_table_ending(arguments.output)
    check_output(arguments.output, arguments.table, arguments.model)
    table = open_table(arguments.table, sep=arguments.sep)
    predictor = _load(arguments.model)
    if arguments.proba and not predictor.is_classifier:
        raise UserError(f"--proba is for classes; {arguments.model} holds a {type(predictor.model).__name__}")
    n_rows = 0
    with blaming(OSError), table_writer(arguments.output) as write:
        for answers in _answer_frames(predictor, table, arguments):
            write(answers)
            n_rows += len(answers)
    print(f"{n_rows:,} predictions: {arguments.output}")


def _answer_frames(predictor: _Predictor, table: TableFile, arguments: argparse.Namespace) -> Iterator[pd.DataFrame]:
    """What is to be written, chunk by chunk; the first has no rows, lest a table without any give no header."""
    classes = predictor.model.classes_ if predictor.is_classifier else np.empty(0)
    nothing = (classes[:0], np.empty((0, len(classes))))
    yield _answer_frame(predictor, *nothing, with_proba=arguments.proba)
    for _, labels, probability in _answers(predictor, table, [], arguments):
        yield _answer_frame(predictor, labels, probability, with_proba=arguments.proba)


def _answer_frame(
    predictor: _Predictor, labels: np.ndarray, probability: np.ndarray | None, *, with_proba: bool
) -> pd.DataFrame:
    frame = pd.DataFrame({"prediction": pd.Series(labels, dtype="str" if labels.dtype.kind in "OU" else None)})
    if with_proba and probability is not None:
        names = [f"probability_{label}" for label in predictor.model.classes_]
        frame[names] = probability
    return frame


def _answers(
    predictor: _Predictor, table: TableFile, also: list[str], arguments: argparse.Namespace
) -> Iterator[tuple[pd.DataFrame, np.ndarray, np.ndarray | None]]:
    """Chunk by chunk: the columns `also`, labels or numbers, and probabilities of the classes.

    Levels that the model never saw are counted over all chunks and told of once.
    """
    missing = [name for name in [*predictor.names, *also] if name not in table.names]
    if missing:
        raise UserError(f"{table.path} lacks {len(missing)} columns that {predictor.path} needs: {listed(missing)}")
    columns = [*dict.fromkeys([*predictor.names, *also])]
    n_unseen = np.zeros(len(predictor.schema.categorical), dtype=np.int64)
    n_before = 0
    with tqdm(total=table.n_rows, unit=" rows", file=sys.stderr, disable=None, leave=False) as bar:
        for frame in table.chunks(columns, arguments.chunk_rows):
            X = as_in_fit(frame, predictor.schema, first_row=n_before, decimal=arguments.decimal)
            n_unseen += (predictor.schema.category_codes(X, warn=False) == UNSEEN).sum(axis=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UnseenCategoryWarning)
                labels, probability = predictor.answers(X)
            yield frame[also], labels, probability
            n_before += len(frame)
            bar.update(len(frame))
    _warn_unseen(predictor.schema, n_unseen)


def _warn_unseen(schema: Schema, n_unseen: np.ndarray) -> None:
    found = [f"{c.name!r} ({n} rows)" for c, n in zip(schema.categorical, n_unseen, strict=True) if n]
    if found:
        text = f"levels that were not there in fit, treated as unknown: column {', column '.join(found)}"
        warnings.warn(text, UnseenCategoryWarning, stacklevel=2)


def evaluate(arguments: argparse.Namespace) -> None:
    """Print how the model's answers compare with what the table says."""
    table = open_table(arguments.table, sep=arguments.sep)
    predictor = _load(arguments.model)
    target = arguments.target or predictor.notes.get("target")
    if not isinstance(target, str):
        raise UserError(f"{arguments.model} does not know the name of its target; say --target COLUMN")
    if target not in table.names:
        raise UserError(f"{table.path} has no target {target!r}; name it by --target, it has {listed(table.names)}")
    truths, answers, n_before = [], [], 0
    for frame, labels, probability in _answers(predictor, table, [target], arguments):
        truths.append(_truth(frame[target], predictor, n_before, arguments.decimal))
        answers.append(labels if probability is None else probability)
        n_before += len(frame)
    if not truths:
        raise UserError(f"{table.path} has no rows to judge by")
    truth, answer = np.concatenate(truths), np.concatenate(answers)
    figures = _of_classes(truth, answer, predictor.model) if predictor.is_classifier else _of_numbers(truth, answer)
    print(f"{len(truth):,} rows of {table.path}, target {target!r}")
    for name, value in figures.items():
        print(f"{name:<10}" + (f"{value:>14.6g}" if isinstance(value, float) else f"   {value}"))


def _truth(column: pd.Series, predictor: _Predictor, n_before: int, decimal: str) -> np.ndarray:
    """The target as numbers: positions in ``classes_``, or what was to be predicted."""
    missing = column.isna()
    if missing.any():
        raise UserError(f"target {column.name!r} is missing in row {row_of(missing, n_before)}: nothing to judge by")
    if predictor.is_classifier:
        codes = _codes(column, predictor.model.classes_)
        bad, known = codes < 0, f"one of the model's classes {listed(predictor.model.classes_.tolist())}"
    elif types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=np.float64)
    else:
        numbers, bad = numbers_in(column.astype("str"), decimal=decimal)
        codes, known = numbers, "a number"
    if bad.any():
        row = row_of(bad, n_before)
        raise UserError(f"target {column.name!r}, row {row}: {column.iloc[row - n_before - 1]!r} is not {known}")
    return codes.to_numpy()


def _codes(column: pd.Series, classes: np.ndarray) -> pd.Series:
    """Positions of labels in `classes`, -1 for others: as they are written, else as the numbers that they are."""
    written = {_as_written(label): code for code, label in enumerate(classes.tolist())}
    as_numbers = {float(label): code for code, label in enumerate(classes.tolist()) if isinstance(label, int | float)}

    def code_of(label: Any) -> int:
        text = _as_written(label)
        if text in written:
            return written[text]
        try:
            return as_numbers.get(float(text), -1)
        except ValueError:
            return -1

    labels = column.astype("object")
    return labels.map({label: code_of(label) for label in labels.unique()}).astype("int64")


def _as_written(label: Any) -> str:
    """A label as text, a whole number without its point."""
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def _of_classes(truth: np.ndarray, probability: np.ndarray, model: Any) -> dict[str, float | str]:
    labels, known = model._labels_of(probability), np.arange(len(model.classes_))
    # of two classes scikit-learn looks at the second one's probability
    scores = probability[:, 1] if len(known) == 2 else probability
    auc: float | str = "not defined: not all classes are in the table"
    if len(np.unique(truth)) == len(known):
        auc = float(metrics.roc_auc_score(truth, scores, multi_class="ovr", labels=known))
    return {
        "log loss": float(metrics.log_loss(truth, probability, labels=known)),
        "AUC": auc,
        "accuracy": float(np.mean(model.classes_[truth] == labels)),
        "Brier": float(metrics.brier_score_loss(truth, scores, labels=known)),
    }


def _of_numbers(truth: np.ndarray, answer: np.ndarray) -> dict[str, float | str]:
    return {
        "RMSE": float(metrics.root_mean_squared_error(truth, answer)),
        "MAE": float(metrics.mean_absolute_error(truth, answer)),
        "R2": float(metrics.r2_score(truth, answer)) if len(truth) > 1 else "not defined: one row",
    }


def show(arguments: argparse.Namespace) -> None:
    """Print what is in a model file."""
    predictor = _load(arguments.model)
    model, manifest = predictor.model, about(arguments.model)
    print(f"{type(model).__name__} in {arguments.model} ({arguments.model.stat().st_size / 1e6:.1f} MB)")
    print("written with " + ", ".join(f"{name} {number}" for name, number in manifest["versions"].items()))
    if "target" in predictor.notes:
        print(f"target: {predictor.notes['target']!r}")
    if predictor.is_classifier:
        print(f"classes: {listed(model.classes_.tolist())}")
    print(f"fitted on {predictor.schema.n_rows:,} rows")
    if hasattr(model, "leaderboard_"):
        print(f"\nmembers by out-of-fold {model.scoring}:\n{model.leaderboard_.to_string(index=False)}")
    print(f"\nfeatures:\n{predictor.schema.frame.to_string(index=False)}")
