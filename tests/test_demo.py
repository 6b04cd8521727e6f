"""The demo's figures are right, and its report is whole, honest and safe."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import hybridlearn
from hybridlearn import _report
from hybridlearn._demo import (
    METRICS,
    DemoResult,
    compare,
    default_models,
    difference_text,
    is_best,
    run_demo,
    text_report,
    text_table,
    verdict,
)
from hybridlearn._report import check_folder, render, write_report
from hybridlearn.audit import expected_calibration_error

HOSTILE = "<script>alert('$x$ & \"y\"')</script>"
METRIC = {metric.key: metric for metric in METRICS}


class Blend(ClassifierMixin, BaseEstimator):
    """A stand-in for the hybrid: it knows the ratios only, and has weights."""

    def fit(self, X: pd.DataFrame, y: pd.Series) -> Blend:
        self.model_ = LogisticRegression().fit(X[["pirat"]], y)
        self.classes_ = self.model_.classes_
        self.weights_ = pd.Series({"first": len(X) / 1000, HOSTILE: 0.5})
        return self

    def predict_proba(self, X: pd.DataFrame) -> np.ndarray:
        return self.model_.predict_proba(X[["pirat"]]).astype(np.float32)

    def predict(self, X: pd.DataFrame) -> np.ndarray:
        return self.model_.predict(X[["pirat"]])


def tiny_models() -> dict[str, Any]:
    numbers = make_column_transformer((StandardScaler(), make_column_selector(dtype_include="number")))
    return {
        "Linear": make_pipeline(numbers, LogisticRegression()),
        HOSTILE: make_pipeline(numbers, GaussianNB()),
        "Blend": Blend(),
    }


@pytest.fixture(scope="module")
def result() -> DemoResult:
    return run_demo(tiny_models(), seed=3)


@pytest.fixture(scope="module")
def page(result: DemoResult) -> str:
    return render(result)


def scores_of(**by_model: list[float]) -> pd.DataFrame:
    """Fold-wise scores, the same in every column."""
    rows = {(model, fold): score for model, folds in by_model.items() for fold, score in enumerate(folds)}
    index = pd.MultiIndex.from_tuples(rows, names=["model", "fold"])
    return pd.DataFrame({column: list(rows.values()) for column in [*METRIC, "fit_seconds"]}, index=index)


class TestCompare:
    FOLDS = {"a": [0.6, 0.8, 0.7], "b": [0.9, 0.7, 0.8], "c": [0.5, 0.5, 0.5]}

    @pytest.mark.parametrize(("key", "best"), [("auc", "b"), ("average_precision", "b"), ("log_loss", "c")])
    def test_paired_differences_by_hand(self, key: str, best: str) -> None:
        frame = compare(scores_of(**self.FOLDS))
        for model, folds in self.FOLDS.items():
            paired = [mine - yours for mine, yours in zip(folds, self.FOLDS[best], strict=True)]
            cell = frame.loc[model, key]
            assert cell["mean"] == pytest.approx(statistics.mean(folds))
            assert cell["difference"] == pytest.approx(statistics.mean(paired))
            assert cell["standard_error"] == pytest.approx(statistics.stdev(paired) / 3**0.5)
            assert is_best(cell) == (model == best)

    def test_rows_and_columns_keep_their_order(self) -> None:
        frame = compare(scores_of(z=[0.1, 0.2], a=[0.2, 0.4]))
        assert frame.index.to_list() == ["z", "a"]
        assert frame.columns.unique(0).to_list() == [*METRIC, "fit_seconds"]
        assert frame["fit_seconds", "mean"].to_list() == pytest.approx([0.15, 0.3])

    def test_the_difference_is_not_that_of_unpaired_folds(self) -> None:
        """Folds that differ much and models that differ by a constant: the paired error is 0."""
        frame = compare(scores_of(a=[0.1, 0.5, 0.9], b=[0.2, 0.6, 1.0]))
        assert frame.loc["a", ("auc", "difference")] == pytest.approx(-0.1)
        assert frame.loc["a", ("auc", "standard_error")] == pytest.approx(0, abs=1e-15)

    def test_the_verdict_names_who_cannot_be_told_from_the_best(self) -> None:
        frame = compare(scores_of(far=[0.1, 0.11, 0.12], near=[0.5, 0.9, 0.6], top=[0.8, 0.7, 0.75]))
        assert verdict(frame, METRIC["auc"]) == "Highest AUC: top; within one standard error of it: near."
        assert verdict(frame, METRIC["brier"]) == "Lowest Brier: far; within one standard error of it: none."

    def test_twins_are_both_best(self) -> None:
        frame = compare(scores_of(one=[0.4, 0.6], two=[0.4, 0.6]))
        assert verdict(frame, METRIC["auc"]) == "Highest AUC: one; within one standard error of it: two."

    @pytest.mark.parametrize(
        ("difference", "error", "text"),
        [
            (0.01234, 0.00456, "+.0123 ± .0046"),
            (-0.5, 0.25, "-.5000 ± .2500"),
            (10.125, 20.5, "+10.1250 ± 20.5000"),
            (0.0, 0.0, "best"),
        ],
    )
    def test_how_a_difference_is_written(self, difference: float, error: float, text: str) -> None:
        assert difference_text(pd.Series({"difference": difference, "standard_error": error})) == text


class TestText:
    def test_the_table_of_the_real_models_fits_a_terminal(self) -> None:
        names = ["LogisticRegression", "BoostedTreesClassifier", "TabularMLPClassifier", "HybridClassifier"]
        frame = compare(scores_of(**{name: [0.5 + i / 7, 0.6, 0.4] for i, name in enumerate(names)}))
        lines = text_table(frame).splitlines()
        assert len(lines) == 2 + 2 * len(names)
        assert max(map(len, lines)) <= 110
        assert len({len(line) for line in lines if "0." in line}) == 1

    def test_each_column_has_its_star(self) -> None:
        text = text_table(compare(scores_of(a=[0.1, 0.3], b=[0.2, 0.5])))
        rows = {line.split()[0]: line for line in text.splitlines() if line[0] in "ab"}
        assert rows["a"].split()[1:] == ["0.2000", "0.2000", *["*", "0.2000"] * 3, "0.2"]
        assert rows["b"].split()[1:] == [*["*", "0.3500"] * 2, "0.3500", "0.3500", "0.3500", "0.3"]

    def test_the_report_judges_the_probabilities(self, result: DemoResult) -> None:
        text = text_report(result)
        assert text.startswith("2,380 mortgage decisions, 12% denied. 5 outer folds, seed 3.")
        assert text_table(result.frame) in text
        assert verdict(result.frame, METRIC["log_loss"]) in text
        assert verdict(result.frame, METRIC["brier"]) in text


class TestRun:
    def test_predictions_are_those_of_sklearn_on_the_same_folds(self, result: DemoResult) -> None:
        folds = StratifiedKFold(5, shuffle=True, random_state=3)
        for name, model in tiny_models().items():
            expected = cross_val_predict(model, result.X, result.y, cv=folds, method="predict_proba")[:, 1]
            np.testing.assert_array_equal(result.predictions[name], expected)

    def test_scores_are_those_of_each_fold(self, result: DemoResult) -> None:
        splits = StratifiedKFold(5, shuffle=True, random_state=3).split(result.X, result.y)
        for fold, (_, test) in enumerate(splits):
            happened, y_prob = result.y.iloc[test] == "yes", result.predictions["Linear"].iloc[test]
            row = result.scores.loc[("Linear", fold)]
            assert row["log_loss"] == pytest.approx(log_loss(happened, y_prob))
            assert row["brier"] == pytest.approx(np.mean((happened - y_prob) ** 2))
            assert row["ece"] == pytest.approx(expected_calibration_error(happened, y_prob))
            assert row["fit_seconds"] > 0

    def test_the_table_is_made_of_the_scores(self, result: DemoResult) -> None:
        pd.testing.assert_frame_equal(result.frame, compare(result.scores))
        assert result.frame.index.to_list() == list(tiny_models())
        assert len(result.scores) == 15

    def test_weights_of_every_fold_are_kept(self, result: DemoResult) -> None:
        assert result.weights.index.to_list() == [("Blend", fold) for fold in range(5)]
        assert result.weights["first"].to_list() == pytest.approx([1.904] * 5)
        assert result.weights[HOSTILE].to_list() == [0.5] * 5

    def test_settings_are_the_same_in_every_run(self, result: DemoResult) -> None:
        assert list(result.settings) == list(tiny_models())
        assert result.settings == run_demo(tiny_models(), n_splits=2).settings
        assert "make_column_selector>" in result.settings["Linear"]

    def test_models_are_not_fitted_in_place(self) -> None:
        model = Blend()
        run_demo({"Blend": model}, n_splits=2)
        assert not hasattr(model, "model_")

    def test_the_seed_decides_the_folds(self, result: DemoResult) -> None:
        linear = {"Linear": tiny_models()["Linear"]}
        again, other = run_demo(linear, seed=3), run_demo(linear, seed=4)
        pd.testing.assert_series_equal(again.predictions["Linear"], result.predictions["Linear"])
        assert not other.predictions["Linear"].equals(result.predictions["Linear"])

    @pytest.mark.parametrize("progress", [True, False])
    def test_the_bar_shows_on_stderr_when_asked(self, progress: bool, capsys: pytest.CaptureFixture[str]) -> None:
        run_demo({"Blend": Blend()}, n_splits=2, progress=progress)
        said = capsys.readouterr()
        assert said.out == ""
        assert ("fold 2 of 2, Blend: 100%" in said.err) == progress
        assert bool(said.err) == progress

    def test_the_five_models(self) -> None:
        models = default_models(seed=11, jobs=3)
        assert list(models) == [
            "LogisticRegression",
            "BoostedTreesClassifier",
            "TabularMLPClassifier",
            "StackingClassifier",
            "HybridClassifier",
        ]
        for name in ("BoostedTreesClassifier", "TabularMLPClassifier", "HybridClassifier"):
            assert type(models[name]) is getattr(hybridlearn, name)
            assert models[name].random_state == 11
        stack = models["StackingClassifier"]
        assert type(stack) is StackingClassifier
        assert [model for _, model in stack.estimators] == list(models.values())[:3]
        assert (stack.cv, stack.n_jobs, models["HybridClassifier"].n_jobs) == (5, 3, 3)


class Page(HTMLParser):
    """Reads a page as a browser would: what is open, what it refers to, what it shows."""

    VOID = {"meta", "br", "hr", "img", "link", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def values(self, name: str) -> list[str]:
        return [value for attribute, value in self.attributes if attribute == name]


class TestPage:
    def test_it_is_well_formed(self, page: str) -> None:
        read = Page(page)
        assert read.open == []
        assert read.tags.count("svg") == 2
        assert len(read.values("id")) == len(set(read.values("id")))

    def test_it_needs_nothing_from_outside(self, page: str) -> None:
        read = Page(page)
        assert not {"script", "link", "img", "iframe", "object"} & set(read.tags)
        references = read.values("src") + read.values("href") + read.values("xlink:href")
        assert all(reference.startswith("#") for reference in references)
        ids = {f"#{name}" for name in read.values("id")}
        assert set(references) <= ids
        assert set(re.findall(r"url\(([^)]*)\)", page)) <= ids
        assert "@import" not in page
        addresses = set(re.findall(r"https?://[^\"'\s]+", page))
        assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not links

    def test_every_placeholder_is_filled(self, page: str) -> None:
        assert re.findall(r"\$\w*", unescape(page)) == ["$x", "$"] * page.count("$x$")

    def test_what_is_not_markup_is_escaped(self, page: str) -> None:
        assert "alert" in page
        assert "<script" not in page
        assert HOSTILE in Page(page).text

    def test_it_holds_the_table(self, page: str, result: DemoResult) -> None:
        shown = Page(page).text
        for metric in METRICS:
            assert verdict(result.frame, metric) in shown
            for _, cell in result.frame[metric.key].iterrows():
                assert f"{cell['mean']:.4f}{difference_text(cell)}" in shown

    def test_it_says_how_to_get_the_same_again(self, page: str) -> None:
        shown = Page(page).text
        assert "hybridlearn demo --seed 3 --jobs 2" in shown
        assert "Munnell" in shown
        assert f"pandas {pd.__version__}" in shown
        assert "28% of the African-American applicants" in " ".join(shown.split())

    def test_light_and_dark_decide_the_colours_of_the_pictures(self, page: str) -> None:
        assert "prefers-color-scheme: dark" in page
        pictures = "".join(re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL))
        assert {"currentColor", "var(--muted)", "var(--accent)"} <= set(
            re.findall(r"currentColor|var\(--\w+\)", pictures)
        )
        assert re.findall(r"#[0-9a-fA-F]{6}\b", pictures) == []

    def test_it_is_a_function_of_the_result(self, page: str, result: DemoResult) -> None:
        assert render(result) == page

    def test_no_global_state_of_matplotlib_changes(self, result: DemoResult) -> None:
        before = dict(matplotlib.rcParams)
        render(result)
        assert dict(matplotlib.rcParams) == before

    def test_without_a_blend_there_is_no_picture_of_weights(self) -> None:
        page = render(run_demo({"Linear": tiny_models()["Linear"]}, n_splits=2))
        assert Page(page).tags.count("svg") == 1
        assert "None of these models is a blend." in page

    def test_wilson_intervals(self) -> None:
        """Reference values: 0 of 10, 5 of 10, 81 of 263 (Newcombe 1998)."""
        rows = pd.Series([10, 10, 263])
        low, high = _report._wilson(pd.Series([0, 5, 81]) / rows, rows)
        assert low.to_list() == pytest.approx([0.0, 0.2366, 0.2553], abs=1e-4)
        assert high.to_list() == pytest.approx([0.2775, 0.7634, 0.3662], abs=1e-4)


class TestFile:
    def test_it_is_written_where_it_says(self, result: DemoResult, page: str, tmp_path: Path) -> None:
        report = write_report(result, tmp_path / "deep" / "out")
        assert report == tmp_path / "deep" / "out" / "report.html"
        assert report.read_text(encoding="utf-8") == page
        assert list(report.parent.iterdir()) == [report]

    def test_others_may_read_it(self, result: DemoResult, tmp_path: Path) -> None:
        """A temporary file of the standard library would be for its owner only."""
        ordinary = tmp_path / "ordinary"
        ordinary.touch()
        assert write_report(result, tmp_path).stat().st_mode == ordinary.stat().st_mode

    @pytest.mark.parametrize("step", ["write", "move"])
    def test_a_failure_leaves_the_older_report(
        self, step: str, result: DemoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        older = tmp_path / "report.html"
        older.write_text("older")
        whole_write: Callable[..., int] = Path.write_text

        def half_write(path: Path, text: str, **options: Any) -> int:
            whole_write(path, text[: len(text) // 2], **options)
            raise OSError("disk full")

        def no_move(*_: Any) -> None:
            raise OSError("disk full")

        if step == "write":
            monkeypatch.setattr(Path, "write_text", half_write)
        else:
            monkeypatch.setattr(os, "replace", no_move)
        with pytest.raises(OSError, match="disk full"):
            write_report(result, tmp_path)
        assert older.read_text() == "older"
        assert list(tmp_path.iterdir()) == [older]

    def test_the_move_is_within_the_folder_and_of_the_whole_page(
        self, result: DemoResult, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moves = []
        move = os.replace

        def watched(source: Path, target: Path) -> None:
            moves.append((source.parent, target.name, source.read_text(encoding="utf-8")))
            move(source, target)

        monkeypatch.setattr(os, "replace", watched)
        write_report(result, tmp_path)
        assert moves == [(tmp_path, "report.html", page)]

    def test_a_failure_to_draw_touches_nothing(
        self, result: DemoResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: DemoResult) -> str:
            raise ValueError("no picture")

        monkeypatch.setattr(_report, "render", broken)
        with pytest.raises(ValueError, match="no picture"):
            write_report(result, tmp_path / "out")
        assert list(tmp_path.iterdir()) == []

    def test_a_good_folder_passes_the_check_and_is_not_made(self, tmp_path: Path) -> None:
        check_folder(tmp_path)
        check_folder(tmp_path / "not" / "yet")
        assert list(tmp_path.iterdir()) == []
