"""From a table in a file to a model in a file, and from both to predictions: what comes out."""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from _cli import csv, fit, only_line, run
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

import hybridlearn
from hybridlearn import BoostedTreesRegressor, HybridClassifier, persistence
from hybridlearn._cli_fit import _read_target
from hybridlearn.crossfit import _running

# fit


def test_a_table_with_holes_and_text_becomes_a_model(
    folder: Path, tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "m.hybrid"
    assert fit(folder / "mortgages_train.csv", "deny", model, "--seed", 3) == 0
    said = capsys.readouterr()
    assert "classification of 'deny', which holds text (2 labels); 200 rows, 13 features" in said.out
    assert all(word in said.out for word in ("member", "blend", "linear", "neg_log_loss", str(model)))
    assert "10/10" in said.err
    assert list(tmp_path.iterdir()) == [model]
    fitted = persistence.load(model)
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.random_state == 3
    assert persistence.about(model)["notes"] == {"target": "deny"}
    kinds = dict(zip(fitted.schema_.frame["column"], fitted.schema_.frame["kind"], strict=True))
    assert (kinds["pirat"], kinds["mhist"], kinds["single"]) == ("numeric", "numeric", "categorical")
    # the same as in Python, on the table as pandas reads it
    train, test = (pd.read_csv(folder / f"mortgages_{half}.csv") for half in ("train", "test"))
    peer = HybridClassifier(random_state=3).fit(train.drop(columns="deny"), train["deny"])
    np.testing.assert_allclose(*(model.predict_proba(test.drop(columns="deny")) for model in (peer, fitted)), rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "asked", "task", "why"),
    [
        (["a", "b"] * 10, "auto", "classification", "text (2 labels)"),
        (["True", "false"] * 10, "auto", "classification", "text (2 labels)"),
        (["0", "1"] * 10, "auto", "classification", "2 different numbers"),
        (["01", "1"] * 10, "auto", "classification", "2 different numbers"),
        (["1.0", "2.0"] * 10, "auto", "classification", "2 different numbers"),
        ([str(i) for i in range(20)], "auto", "regression", "20 different whole numbers in 20 rows"),
        ([str(i) for i in range(21)] * 10, "auto", "regression", "21 different whole numbers in 210 rows"),
        (["0.5", "1"] * 10, "auto", "regression", "not whole"),
        (["0.5", "1"] * 10, "classification", "classification", "2 different numbers"),
        (["0", "1"] * 10, "regression", "regression", "2 different whole numbers in 20 rows"),
    ],
)
def test_which_task_a_target_is(values: list[str], asked: str, task: str, why: str) -> None:
    arguments = argparse.Namespace(task=asked, decimal=".")
    target = _read_target(pd.Series(values, dtype="str", name="y"), None, arguments)  # type: ignore[arg-type]
    assert (target.is_classification, target.values.tolist()) == (
        task == "classification",
        values if task == "classification" else [float(value) for value in values],
    )
    assert why in target.why


@pytest.mark.parametrize(
    ("values", "task"),
    [
        (pd.Series([True, False] * 10), "classification"),
        (pd.Series(["a", "b"] * 10, dtype="category"), "classification"),
        (pd.Series([1, 2] * 10), "classification"),
        (pd.Series([1.5, 2] * 10), "regression"),
    ],
)
def test_types_of_a_target_are_kept(values: pd.Series, task: str) -> None:
    target = _read_target(values, None, argparse.Namespace(task="auto", decimal="."))  # type: ignore[arg-type]
    assert target.is_classification == (task == "classification")
    assert target.values.dtype == values.dtype


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_labels_come_back_as_they_were_written(ending: str, tmp_path: Path, quick: None) -> None:
    labels = ["01", "1", "1.0", "a, b", 'say "x"', " blank ", "two\nlines", "é"]
    target = np.repeat(labels, 10)
    x = np.repeat(np.arange(len(labels)) * 10.0, 10) + np.tile(np.arange(10) / 10, len(labels))
    table = csv(tmp_path / "t.csv", x=x, y=target)
    assert fit(table, "y", tmp_path / "m") == 0
    assert run("predict", tmp_path / "m", table, "-o", tmp_path / f"p.{ending}", "--proba", "--chunk-rows", 7) == 0
    path = tmp_path / f"p.{ending}"
    read = pd.read_parquet(path) if ending == "parquet" else pd.read_csv(path, dtype={"prediction": "str"})
    assert set(read["prediction"]) <= set(labels)
    assert (read["prediction"] == target).mean() > 0.9
    assert list(read) == ["prediction", *(f"probability_{label}" for label in sorted(labels))]
    assert run("evaluate", tmp_path / "m", table) == 0


def test_whole_numbers_of_a_parquet_file_come_back_as_such(tmp_path: Path, quick: None) -> None:
    table = pd.DataFrame({"x": np.arange(60.0), "y": np.repeat([1, 2], 30)})
    table.to_parquet(tmp_path / "t.parquet")
    assert fit(tmp_path / "t.parquet", "y", tmp_path / "m") == 0
    assert run("predict", tmp_path / "m", tmp_path / "t.parquet", "-o", tmp_path / "p.parquet") == 0
    predicted = pd.read_parquet(tmp_path / "p.parquet")["prediction"]
    assert predicted.dtype == table["y"].dtype
    assert (predicted == table["y"]).mean() > 0.9


class Asked:
    """Stands for an estimator; keeps what it is asked for."""

    def __init__(self, **params: Any):
        self.params = params

    def fit(self, X: pd.DataFrame, y: pd.Series, **given: pd.Series) -> None:
        self.X, self.y, self.given = X, y, given
        warnings.warn("something that\nthe user can act on", UserWarning, stacklevel=1)
        raise ValueError("enough\nseen")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    seen: list[Asked] = []

    def make(**params: Any) -> Asked:
        seen.append(Asked(**params))
        return seen[-1]

    monkeypatch.setattr(hybridlearn, "HybridRegressor", make)
    return seen


def test_options_and_columns_are_handed_on(
    asked: list[Asked], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    columns = {name: [0.5, 1.5, 2.5] for name in "abcdy"} | {"t": ["2024-01-03", "2024-01-01", "2024-01-02"]}
    table = csv(tmp_path / "t.csv", **columns, w=[1, 2, 3])
    options = ["--drop", "a", "b", "--time", "t", "--weights", "w", "--jobs", 2, "--seed", 7, "--device", "cpu"]
    options += ["--preset", "best"]
    assert fit(table, "y", tmp_path / "m", *options, "--time-limit", 9, "--checkpoint", tmp_path / "c") == 2
    (one,) = asked
    assert one.params == {
        "preset": "best",
        "device": "cpu",
        "n_jobs": 2,
        "random_state": 7,
        "verbose": 1,
        "time_limit": 9.0,
        "checkpoint": str(tmp_path / "c"),
    }
    assert (list(one.X), list(one.y)) == (["c", "d"], [0.5, 1.5, 2.5])
    assert {name: list(values) for name, values in one.given.items()} == {
        "sample_weight": [1.0, 2.0, 3.0],
        "time": [pd.Timestamp(day) for day in columns["t"]],
    }
    assert capsys.readouterr().err.splitlines() == [
        "hybridlearn fit: warning: something that the user can act on",
        "hybridlearn fit: enough seen",
    ]
    assert list(tmp_path.iterdir()) == [table]


def test_what_is_not_given_is_not_handed_on(asked: list[Asked], tmp_path: Path) -> None:
    table = csv(tmp_path / "t.csv", a=[1, 2], g=["x", "y"], y=[0.5, 1.5])
    assert fit(table, "y", tmp_path / "m", "--groups", "g") == 2
    assert asked[0].params == {"preset": "balanced", "device": "auto", "n_jobs": 1, "random_state": 0, "verbose": 1}
    assert {name: list(values) for name, values in asked[0].given.items()} == {"groups": ["x", "y"]}


def test_a_fit_that_is_interrupted_goes_on(
    folder: Path, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of ten units three are there when Ctrl-C is pressed: the next fit does the other seven."""
    n_fitted = 0
    honest = _running.fit_and_keep

    def until(last: int) -> Any:
        def fit_and_keep(*arguments: Any) -> Any:
            nonlocal n_fitted
            if n_fitted == last:
                raise KeyboardInterrupt
            n_fitted += 1
            return honest(*arguments)

        return fit_and_keep

    arguments = [folder / "mortgages_train.csv", "deny", tmp_path / "m", "--checkpoint", tmp_path / "c"]
    monkeypatch.setattr(_running, "fit_and_keep", until(3))
    assert fit(*arguments) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "hybridlearn: interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    monkeypatch.setattr(_running, "fit_and_keep", until(-1))
    assert fit(*arguments) == 0
    assert n_fitted == 10
    predictions = [
        persistence.load(model).predict_proba(pd.read_csv(folder / "mortgages_test.csv").drop(columns="deny"))
        for model in (tmp_path / "m", folder / "mortgages.hybrid")
    ]
    np.testing.assert_array_equal(*predictions)


# predict


@pytest.mark.parametrize("name", ["mortgages", "houses"])
@pytest.mark.parametrize("n_rows", [1, 50, 10_000])
def test_predictions_do_not_hang_on_chunks(name: str, n_rows: int, folder: Path, tmp_path: Path) -> None:
    """In a chunk of one row nearly every column is missing, or looks like whole numbers."""
    table, out = pd.read_csv(folder / f"{name}_test.csv"), tmp_path / "p.csv"
    table = table.iloc[:10] if n_rows == 1 else table
    table.to_csv(tmp_path / "t.csv", index=False)
    model = persistence.load(folder / f"{name}.hybrid")
    options = ["--chunk-rows", n_rows, *(["--proba"] if name == "mortgages" else [])]
    assert run("predict", folder / f"{name}.hybrid", tmp_path / "t.csv", "-o", out, *options) == 0
    predicted = pd.read_csv(out)
    X = table[model.schema_.frame["column"]]
    assert len(predicted) == len(table)
    if name == "houses":
        np.testing.assert_allclose(predicted["prediction"], model.predict(X), rtol=1e-9)
        return
    assert predicted["prediction"].tolist() == model.predict(X).tolist()
    names = ["probability_no", "probability_yes"]
    np.testing.assert_allclose(predicted[names], model.predict_proba(X), rtol=1e-9)


def test_other_columns_other_order_other_types_same_predictions(folder: Path, tmp_path: Path) -> None:
    """Parquet with categories, whole numbers and nulls; columns that the model does not know; no target."""
    table = pd.read_csv(folder / "mortgages_test.csv")
    table["chist"] = table["chist"].astype("Int64")
    other = table.drop(columns="deny").iloc[:, ::-1].assign(extra=1)
    other = other.astype({name: "category" for name in other if pd.api.types.is_string_dtype(other[name])})
    other.to_parquet(tmp_path / "t.parquet", row_group_size=50)
    outs = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    tables = [folder / "mortgages_test.csv", tmp_path / "t.parquet"]
    for path, out in zip(tables, outs, strict=True):
        assert run("predict", folder / "mortgages.hybrid", path, "-o", out, "--proba", "--chunk-rows", 30) == 0
    pd.testing.assert_frame_equal(*(pd.read_parquet(out) for out in outs))


def test_levels_never_seen_are_told_of_once(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(folder / "mortgages_test.csv").iloc[:20].assign(single="maybe")
    table.loc[3:5, "selfemp"] = "sometimes"
    table.to_csv(tmp_path / "t.csv", index=False)
    assert (
        run("predict", folder / "mortgages.hybrid", tmp_path / "t.csv", "-o", tmp_path / "p.csv", "--chunk-rows", 3)
        == 0
    )
    line = only_line(capsys.readouterr().err)
    assert line.startswith("hybridlearn predict: warning: levels that were not there in fit")
    assert "'single' (20 rows)" in line


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_no_rows_in_no_rows_out(ending: str, folder: Path, tmp_path: Path) -> None:
    header = (folder / "mortgages_test.csv").read_text().splitlines()[0]
    (tmp_path / "t.csv").write_text(header + "\n")
    out = tmp_path / f"p.{ending}"
    assert run("predict", folder / "mortgages.hybrid", tmp_path / "t.csv", "-o", out, "--proba") == 0
    read = pd.read_parquet(out) if ending == "parquet" else pd.read_csv(out)
    assert (list(read), len(read)) == (["prediction", "probability_no", "probability_yes"], 0)


@pytest.mark.parametrize("error", [OSError("no space left\non device"), KeyboardInterrupt()])
def test_a_prediction_that_is_cut_short_leaves_what_was(
    error: BaseException, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any, **__: Any) -> None:
        raise error

    out = tmp_path / "p.csv"
    out.write_text("what was there")
    monkeypatch.setattr("os.replace", failing)
    status = run("predict", folder / "mortgages.hybrid", folder / "mortgages_test.csv", "-o", out)
    assert status == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert out.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [out]


# evaluate and show


def figures(said: str) -> dict[str, float]:
    lines = [line.rsplit(maxsplit=1) for line in said.splitlines()[1:]]
    return {name.strip(): float(value) for name, value in lines}


def test_classes_are_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "mortgages_test.csv"
    assert run("evaluate", folder / "mortgages.hybrid", path, "--chunk-rows", 30) == 0
    table, model = pd.read_csv(path), persistence.load(folder / "mortgages.hybrid")
    probability, y = model.predict_proba(table[model.schema_.frame["column"]]), table["deny"]
    assert figures(capsys.readouterr().out) == pytest.approx(
        {
            "log loss": log_loss(y, probability),
            "AUC": roc_auc_score(y, probability[:, 1]),
            "accuracy": accuracy_score(y, model.classes_[probability.argmax(axis=1)]),
            "Brier": brier_score_loss(y, probability[:, 1], pos_label="yes"),
        },
        rel=1e-5,
    )


def test_numbers_are_judged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "houses_test.csv"
    assert run("evaluate", folder / "houses.hybrid", path, "--chunk-rows", 30) == 0
    table, model = pd.read_csv(path), persistence.load(folder / "houses.hybrid")
    said, pair = capsys.readouterr(), (table["Price"], model.predict(table[model.schema_.frame["column"]]))
    assert figures(said.out) == pytest.approx(
        {"RMSE": root_mean_squared_error(*pair), "MAE": mean_absolute_error(*pair), "R2": r2_score(*pair)}, rel=1e-5
    )


def test_many_classes_are_judged_also_where_one_is_absent(
    tmp_path: Path, quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({"x": np.arange(90.0), "y": np.repeat([10, 9, 8], 30)})
    table.to_parquet(tmp_path / "t.parquet")
    assert fit(tmp_path / "t.parquet", "y", tmp_path / "m") == 0
    capsys.readouterr()
    # as text, as floats, under another name
    other = csv(tmp_path / "o.csv", x=table["x"], z=table["y"].astype("float64"))
    judged = []
    for arguments in ([tmp_path / "t.parquet"], [other, "--target", "z"]):
        assert run("evaluate", tmp_path / "m", *arguments) == 0
        judged.append(figures(capsys.readouterr().out))
    assert judged[0] == judged[1]
    model, n_there = persistence.load(tmp_path / "m"), 60
    table.iloc[:n_there].to_csv(tmp_path / "few.csv", index=False)
    assert run("evaluate", tmp_path / "m", tmp_path / "few.csv") == 0
    said = capsys.readouterr().out
    assert "AUC          not defined: not all classes are in the table" in said
    expected = log_loss(table["y"].iloc[:n_there], model.predict_proba(table[["x"]])[:n_there], labels=[8, 9, 10])
    assert float(said.split("log loss")[1].split()[0]) == pytest.approx(expected, rel=1e-5)


def test_a_model_file_is_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", folder / "mortgages.hybrid") == 0
    said = capsys.readouterr()
    assert said.err == ""
    model = persistence.load(folder / "mortgages.hybrid")
    told = ["HybridClassifier", "target: 'deny'", "classes: 'no', 'yes'", "fitted on 200 rows", "neg_log_loss"]
    told += [f"hybridlearn {hybridlearn.__version__}", f"{(folder / 'mortgages.hybrid').stat().st_size / 1e6:.1f} MB"]
    told += [f"{weight:.6f}" for weight in model.weights_]
    assert [word for word in told if word not in said.out] == []
    for column in model.schema_.columns:
        assert any(line.split()[:2] == [column.name, column.kind] for line in said.out.splitlines())


def test_a_model_without_members_predicts_too(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(folder / "houses_test.csv")
    trees = BoostedTreesRegressor(n_estimators=5).fit(table.drop(columns="Price"), table["Price"])
    persistence.save(trees, tmp_path / "m")
    assert run("show", tmp_path / "m") == 0
    assert "BoostedTreesRegressor" in capsys.readouterr().out
    assert run("predict", tmp_path / "m", folder / "houses_test.csv", "-o", tmp_path / "p.csv") == 0
    read = pd.read_csv(tmp_path / "p.csv")["prediction"]
    np.testing.assert_allclose(read, trees.predict(table.drop(columns="Price")), rtol=1e-9)
    capsys.readouterr()
    assert run("evaluate", tmp_path / "m", folder / "houses_test.csv") == 2
    assert "say --target COLUMN" in only_line(capsys.readouterr().err)
