"""The blend judged by folds: what row i is told comes from weights that never saw its fold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    make_scorer,
    mean_absolute_error,
    roc_auc_score,
    root_mean_squared_error,
)

from hybridlearn._heads import centred, probabilities
from hybridlearn.crossfit import BLEND, Ledger, OutOfFold
from hybridlearn.ensemble._assembly import Assembly, assemble, blend_learner, leaderboard
from hybridlearn.ensemble._blend import Blend, fit_blend, fit_temperature
from hybridlearn.ensemble._loss import mean_loss

KINDS = ("greedy", "nonnegative", "mean")


def make_oof(n_classes: int, *, seed: int = 0, n_rows: int = 120, weighted: bool = True) -> OutOfFold:
    """Three members of different worth, as the engine would leave them behind; 0 classes are a regression."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(scale=1.5, size=(n_rows, n_classes if n_classes > 2 else 1))
    margins = {name: truth + noise * rng.normal(size=truth.shape) for name, noise in [("a", 1), ("b", 1), ("c", 3)]}
    target: np.ndarray = truth[:, 0] + 1
    if n_classes:
        target = np.array([rng.choice(n_classes, p=p) for p in probabilities(truth)])
        margins = margins if n_classes == 2 else {name: centred(m) for name, m in margins.items()}
    return OutOfFold(
        margins=margins,
        fold=np.arange(n_rows) % 4,
        target=target,
        classes=np.array([f"class {k}" for k in range(n_classes)]) if n_classes else None,
        weight=rng.uniform(0.5, 2, n_rows) if weighted else np.ones(n_rows),
        positions=np.arange(n_rows),
        is_ordered=False,
        tests=[np.arange(k, n_rows, 4) for k in range(4)],
        models={name: [] for name in margins},
        fit_seconds={"a": 1.0, "b": 2.0, "c": 4.0},
        failed={},
        ledger=Ledger(),
    )


def assembled(oof: OutOfFold, kind: str, *, seed: int) -> Assembly:
    return assemble(oof, blend_learner(oof, kind, seed=seed))


def stack(oof: OutOfFold) -> np.ndarray:
    return np.stack([oof.margins[name] for name in "abc"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_the_margin_of_a_fold_is_that_of_weights_learned_without_it(n_classes: int, kind: str) -> None:
    oof = make_oof(n_classes)
    assembly = assembled(oof, kind, seed=7)
    by_hand = np.empty_like(oof.margins["a"])
    for k in range(4):
        others, held_out = oof.fold != k, oof.fold == k
        blend = fit_blend(
            kind,
            stack(oof)[:, others],
            oof.target[others],
            oof.weight[others],
            classification=n_classes > 0,
            seed=7,
        )
        by_hand[held_out] = blend.margin(stack(oof)[:, held_out])
    raw = by_hand.copy()
    for k in range(4):
        others = oof.fold != k
        temperature = assembly.by_fold[k].temperature
        if temperature != 1:
            assert temperature == fit_temperature(raw[others], oof.target[others], oof.weight[others])
        by_hand[~others] /= temperature
    np.testing.assert_allclose(assembly.oof.margins[BLEND], by_hand, rtol=1e-9, atol=1e-12)
    everything = fit_blend(kind, stack(oof), oof.target, oof.weight, classification=n_classes > 0, seed=7)
    np.testing.assert_allclose(assembly.final.combiner.weights, everything.weights, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(assembly.final.combiner.intercept, everything.intercept, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["greedy", "nonnegative"])
@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_the_targets_of_a_fold_do_not_move_its_own_weights(n_classes: int, kind: str) -> None:
    """Member margins held fast. Only the temperature of the fold may move: that is of the second order."""
    oof = make_oof(n_classes)
    before = assembled(oof, kind, seed=0).oof.margins[BLEND]
    fold = oof.fold == 2
    if n_classes:
        oof.target[fold] = (oof.target[fold] + 1) % n_classes
    else:
        oof.target[fold] = -5 * oof.target[fold]
    after = assembled(oof, kind, seed=0).oof.margins[BLEND]
    ratio = after / before
    assert np.ptp(ratio[fold]) < 1e-9
    assert np.ptp(ratio[~fold]) > 1e-3
    if not n_classes:
        np.testing.assert_array_equal(after[fold], before[fold])


def test_the_ledger_names_the_steps_of_the_second_order() -> None:
    assembly = assembled(make_oof(2), "mean", seed=0)
    assert assembly.final.temperature != 1
    entries = assembly.oof.ledger.entries
    assert [(e.step, e.member, e.fold, e.order) for e in entries] == [
        (step, BLEND, k, 2) for step in ("blend weights", "calibration") for k in range(4)
    ]
    for entry in entries:
        np.testing.assert_array_equal(entry.predicted, np.flatnonzero(assembly.oof.fold == entry.fold))
        np.testing.assert_array_equal(entry.fitted_on, np.flatnonzero(assembly.oof.fold != entry.fold))
    assembly.oof.ledger.assert_leak_free()


def test_rows_without_a_fold_teach_and_get_nothing() -> None:
    oof = make_oof(2)
    oof.fold[:20] = -1
    first = assembled(oof, "nonnegative", seed=0)
    for margin in oof.margins.values():
        margin[:20] = np.nan
    oof.target[:20] = 1 - oof.target[:20]
    again = assembled(oof, "nonnegative", seed=0)
    np.testing.assert_array_equal(first.final.combiner.weights, again.final.combiner.weights)
    np.testing.assert_array_equal(np.isnan(again.oof.margins[BLEND][:, 0]), np.arange(120) < 20)


# calibration


def test_calibration_is_kept_where_it_helps_only() -> None:
    """Over many tables, both happen; each time the losses of rows that the temperature has not seen decide."""
    kept = []
    for seed in range(8):
        oof = make_oof(2, seed=seed)
        assembly = assembled(oof, "nonnegative", seed=0)
        raw = np.empty((120, 1))
        for k in range(4):
            others, held_out = oof.fold != k, oof.fold == k
            blend = fit_blend(
                "nonnegative",
                stack(oof)[:, others],
                oof.target[others],
                oof.weight[others],
                classification=True,
                seed=0,
            )
            raw[held_out] = blend.margin(stack(oof)[:, held_out])
        temperatures = [
            fit_temperature(raw[oof.fold != k], oof.target[oof.fold != k], oof.weight[oof.fold != k]) for k in range(4)
        ]
        cool = raw / np.array(temperatures)[oof.fold][:, None]
        losses = [mean_loss(m, oof.target, oof.weight, classification=True) for m in (raw, cool)]
        kept.append(losses[1] < losses[0])
        expected = fit_temperature(raw, oof.target, oof.weight) if kept[-1] else 1.0
        assert assembly.final.temperature == pytest.approx(expected, rel=1e-9)
        for k in range(4):
            others, held_out = oof.fold != k, oof.fold == k
            told = [
                mean_loss(m[others], oof.target[others], oof.weight[others], classification=True) for m in (raw, cool)
            ]
            wanted = cool if told[1] < told[0] else raw
            np.testing.assert_allclose(assembly.oof.margins[BLEND][held_out], wanted[held_out], rtol=1e-9)
    assert len(set(kept)) == 2


def test_whether_a_fold_is_calibrated_is_told_by_folds_it_learns_from() -> None:
    """In order of time, targets of a fold move no margin of earlier folds, nor whether these have a temperature."""
    for seed in range(8):
        oof = replace(make_oof(2, seed=seed), is_ordered=True)
        before = assembled(oof, "nonnegative", seed=0).oof.margins[BLEND]
        later = oof.fold >= 2
        oof.target[later] = 1 - oof.target[later]
        after = assembled(oof, "nonnegative", seed=0).oof.margins[BLEND]
        np.testing.assert_array_equal(after[oof.fold <= 2], before[oof.fold <= 2])
        assert (after[oof.fold > 2] != before[oof.fold > 2]).all()


def test_where_nothing_is_learned_a_sum_may_be_given() -> None:
    oof = replace(make_oof(0), is_ordered=True)
    blend = Blend(np.ones(3), np.zeros(1))
    assembly = assemble(oof, blend_learner(oof, "nonnegative", seed=0), unlearned=blend)
    first = oof.fold == 0
    np.testing.assert_allclose(assembly.oof.margins[BLEND][first], stack(oof)[:, first].sum(axis=0))


def test_a_mean_of_independent_members_is_too_timid_and_gets_sharpened() -> None:
    rng = np.random.default_rng(0)
    halves = rng.normal(scale=1.5, size=(2, 2000, 1))
    oof = make_oof(2, n_rows=2000, weighted=False)
    oof.target[:] = rng.random(2000) < probabilities(halves.sum(axis=0))[:, 1]
    oof.margins.update(a=halves[0], b=halves[1])
    del oof.margins["c"], oof.models["c"]
    assembly = assembled(oof, "mean", seed=0)
    assert 0.35 < assembly.final.temperature < 0.75


# leaderboard


def told(margin: np.ndarray, oof: OutOfFold) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and labels."""
    p = probabilities(margin)
    return p, oof.classes[p.argmax(axis=1)]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_classifiers_are_those_of_scikit_learn(n_classes: int, weighted: bool) -> None:
    oof = make_oof(n_classes, weighted=weighted)
    assembly = assembled(oof, "greedy", seed=0)
    labels = oof.classes[oof.target]
    weight = oof.weight if weighted else None
    scorings: dict[Any, Any] = {
        "neg_log_loss": lambda p, guess: -log_loss(labels, p, sample_weight=weight),
        "accuracy": lambda p, guess: accuracy_score(labels, guess, sample_weight=weight),
        make_scorer(balanced_accuracy_score): lambda p, guess: balanced_accuracy_score(
            labels, guess, sample_weight=weight
        ),
    }
    if n_classes == 2:
        scorings["roc_auc"] = lambda p, guess: roc_auc_score(labels, p[:, 1], sample_weight=weight)
    for scoring, by_hand in scorings.items():
        board = leaderboard(assembly, scoring, threshold=0.5).set_index("member")["score"]
        for name, margin in assembly.oof.margins.items():
            assert board[name] == pytest.approx(by_hand(*told(margin, oof)), rel=1e-12), (scoring, name)


def test_scores_of_regressors_are_those_of_scikit_learn() -> None:
    assembly = assembled(make_oof(0), "nonnegative", seed=0)
    oof = assembly.oof
    by_hand = {"neg_root_mean_squared_error": root_mean_squared_error, "neg_mean_absolute_error": mean_absolute_error}
    for scoring, metric in by_hand.items():
        board = leaderboard(assembly, scoring, threshold=0.5).set_index("member")["score"]
        for name, margin in oof.margins.items():
            assert board[name] == pytest.approx(-metric(oof.target, margin[:, 0], sample_weight=oof.weight))


def test_the_board_tells_members_weights_scores_and_seconds_best_first() -> None:
    assembly = assembled(make_oof(2), "greedy", seed=0)
    board = leaderboard(assembly, "neg_log_loss", threshold=0.5)
    assert board.columns.tolist() == ["member", "weight", "score", "fit_seconds"]
    assert sorted(board["member"]) == ["a", "b", BLEND, "c"]
    assert board["score"].is_monotonic_decreasing
    assert board["member"].iloc[-1] == "c"
    by_member = board.set_index("member")
    assert by_member["fit_seconds"].to_dict() == {"a": 1.0, "b": 2.0, "c": 4.0, BLEND: 7.0}
    assert by_member.loc[["a", "b", "c"], "weight"].tolist() == assembly.final.combiner.weights.tolist()
    assert np.isnan(by_member.loc[BLEND, "weight"])
    pd.testing.assert_index_equal(board.index, pd.RangeIndex(4))


def test_the_threshold_moves_labels_and_so_their_scores() -> None:
    assembly = assembled(make_oof(2, weighted=False), "greedy", seed=0)
    oof = assembly.oof
    board = leaderboard(assembly, "accuracy", threshold=0.3).set_index("member")["score"]
    guess = (probabilities(oof.margins["a"])[:, 1] > 0.3).astype(int)
    assert board["a"] == np.mean(guess == oof.target)
    assert board["a"] != np.mean((oof.margins["a"][:, 0] > 0) == oof.target)


def test_rows_without_a_fold_are_not_scored() -> None:
    oof = make_oof(2, weighted=False)
    oof.fold[:20] = -1
    assembly = assembled(oof, "mean", seed=0)
    board = leaderboard(assembly, "accuracy", threshold=0.5).set_index("member")["score"]
    assert board["a"] == np.mean((oof.margins["a"][20:, 0] > 0) == oof.target[20:])


def test_a_class_that_no_fold_tests_does_not_stop_the_board() -> None:
    """Time order or folds of the user may cover the rows of some classes only; the default score is defined there."""
    oof = make_oof(3)
    oof.fold[oof.target == 2] = -1
    board = leaderboard(assembled(oof, "mean", seed=0), "neg_log_loss", threshold=0.5).set_index("member")["score"]
    rows = oof.fold >= 0
    expected = mean_loss(oof.margins["a"][rows], oof.target[rows], oof.weight[rows], classification=True)
    assert board["a"] == pytest.approx(-expected)


def test_scorers_by_name_know_the_second_of_two_text_labels() -> None:
    oof = make_oof(2)
    as_text = replace(oof, classes=np.array(["no", "yes"], dtype=object))
    as_codes = replace(oof, classes=np.array([0, 1]))
    boards = [leaderboard(assembled(table, "mean", seed=0), "f1", threshold=0.5) for table in (as_text, as_codes)]
    pd.testing.assert_frame_equal(*boards)


def test_a_callable_that_takes_no_weights_scores_without() -> None:
    oof = make_oof(2)
    uneven = replace(oof, weight=np.linspace(0.5, 2, len(oof.target)))
    board = leaderboard(assembled(uneven, "mean", seed=0), lambda est, X, y: est.score(X, y), threshold=0.5)
    for _, row in board.iterrows():
        margin = assembled(uneven, "mean", seed=0).oof.margins[row["member"]][:, 0]
        assert row["score"] == np.mean((margin > 0) == uneven.target)
