"""What nets and trees have learned to see, side by side: the head learns from rows that no embedder was fitted on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost as xgb
from scipy import sparse
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, MaxAbsScaler, OneHotEncoder, StandardScaler

from hybridlearn.crossfit import LeakError, MemberError, margin
from hybridlearn.ensemble import ConcatClassifier, ConcatRegressor, HybridClassifier
from hybridlearn.nets import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.table import UnseenCategoryWarning
from hybridlearn.trees import BoostedTreesClassifier, BoostedTreesRegressor

N_ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N_ROWS, 3))
NUMBER = X[:, 0] - 1.5 * (X[:, 1] > 0) + 0.5 * RNG.normal(size=N_ROWS)
TWO = np.where(NUMBER > -0.7, "yes", "no")
THREE = np.digitize(NUMBER, [-1.2, 0])
WEIGHT = RNG.integers(1, 5, N_ROWS).astype(float)
TREES = BoostedTreesClassifier(n_estimators=4, learning_rate=0.3, max_depth=2, early_stopping=False)
NET = TabularMLPClassifier(hidden_layer_sizes=(6,), max_epochs=4, learning_rate=0.02, device="cpu")
BOTH = [("trees", TREES), ("mlp", NET)]


def concat(embedders: Any = BOTH, **settings: Any) -> ConcatClassifier:
    return ConcatClassifier(**{"embedders": embedders, "cv": 3, "random_state": 0} | settings)


# rows


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_no_row_is_both_the_embedders_and_the_heads_and_each_is_the_heads_once(y: np.ndarray) -> None:
    weight = np.where(np.arange(N_ROWS) % 10 == 0, 0.0, 1.0)
    fitted = concat().fit(X, y, sample_weight=weight).concatenations_
    assert len(fitted) == 3
    for each in fitted:
        assert not np.intersect1d(each.embedder_rows, each.head_rows).size
        np.testing.assert_array_equal(np.union1d(each.embedder_rows, each.head_rows), np.flatnonzero(weight))
    rows = np.concatenate([each.head_rows for each in fitted])
    np.testing.assert_array_equal(np.sort(rows), np.flatnonzero(weight))


def test_rows_of_a_group_are_all_of_the_embedders_or_all_of_the_heads() -> None:
    groups = np.arange(N_ROWS) // 6
    for each in concat().fit(X, TWO, groups=groups).concatenations_:
        assert not np.intersect1d(groups[each.embedder_rows], groups[each.head_rows]).size


def test_heads_learn_from_rows_later_than_those_of_their_embedders() -> None:
    time = np.random.default_rng(1).permutation(N_ROWS)
    fitted = concat().fit(X, TWO, time=time).concatenations_
    assert len(fitted) == 3
    for each in fitted:
        assert time[each.embedder_rows].max() < time[each.head_rows].min()


class Keeps(TransformerMixin, ClassifierMixin, BaseEstimator):
    """Embedder or head that keeps all that it was fitted on."""

    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, groups: Any = None, time: Any = None) -> Keeps:
        self.rows_, self.weight_, self.groups_, self.time_ = X, sample_weight, groups, time
        self.classes_ = np.unique(y)
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return np.full((len(X), 2), 0.5)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.zeros(len(X), dtype=int)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "rows_")


@pytest.mark.parametrize("by", ["groups", "time"])
def test_weights_groups_and_times_reach_embedders_and_head(by: str) -> None:
    given = {"groups": np.arange(N_ROWS) // 4, "time": np.arange(N_ROWS)}[by]
    fitted = concat([("keeps", Keeps())], head=Keeps(), cv=2).fit(X, TWO, sample_weight=WEIGHT, **{by: given})
    for each in fitted.concatenations_:
        pairs = [(each.embedders["keeps"], each.embedder_rows), (each.head.estimator, each.head_rows)]
        for estimator, rows in pairs:
            np.testing.assert_array_equal(estimator.weight_, WEIGHT[rows])
            got = estimator.groups_ if by == "groups" else estimator.time_
            np.testing.assert_array_equal(
                np.unique(got, return_inverse=True)[1], np.unique(given[rows], return_inverse=True)[1]
            )
        np.testing.assert_array_equal(each.embedders["keeps"].rows_, X[each.embedder_rows])


def test_weights_move_a_scaler_and_trees() -> None:
    embedders = [("scaler", StandardScaler()), ("trees", TREES)]
    plain, weighted = (concat(embedders, cv=2).fit(X, TWO, sample_weight=w) for w in (None, WEIGHT))
    for one, other in zip(plain.concatenations_, weighted.concatenations_, strict=True):
        rows = one.embedder_rows
        np.testing.assert_array_equal(other.embedder_rows, rows)
        np.testing.assert_allclose(one.embedders["scaler"].mean_, X[rows].mean(axis=0))
        np.testing.assert_allclose(other.embedders["scaler"].mean_, np.average(X[rows], axis=0, weights=WEIGHT[rows]))
        assert (one.embedders["trees"].margin(X) != other.embedders["trees"].margin(X)).any()


def test_who_takes_no_weights_is_named_once() -> None:
    with pytest.warns(UserWarning, match=r"members \['pca'\] take no sample_weight") as said:
        concat([("pca", PCA(2)), ("trees", TREES)], cv=2).fit(X, TWO, sample_weight=WEIGHT)
    assert len(said) == 1


# what the head sees


def leaves_by_hand(trees: BoostedTreesClassifier, table: np.ndarray) -> np.ndarray:
    return trees.booster_.predict(xgb.DMatrix(trees.encoder_.transform(pd.DataFrame(table))), pred_leaf=True)


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_leaf_codes_are_the_leaves_that_xgboost_tells(y: np.ndarray) -> None:
    trees = clone(TREES).set_params(random_state=0).fit(X, y)
    codes = trees.embed(X)
    assert codes.dtype == np.int64
    assert codes.shape == (N_ROWS, 4 if y is TWO else 12)
    np.testing.assert_array_equal(codes, leaves_by_hand(trees, X).reshape(N_ROWS, -1))
    assert len(np.unique(codes[:, 0])) == 4, "two cuts, one after the other"


@pytest.mark.parametrize("y", [TWO, THREE], ids=["two", "three"])
def test_a_pair_by_hand_is_the_head_on_scaled_features_and_indicators_of_leaves(y: np.ndarray) -> None:
    fitted = concat([*BOTH, ("pca", PCA(2))], head=LogisticRegression(C=0.5), cv=2).fit(X, y)
    codes = np.unique(y, return_inverse=True)[1]
    margins = []
    for each in fitted.concatenations_:
        trees, net, pca = (each.embedders[name] for name in ("trees", "mlp", "pca"))

        def seen(table: np.ndarray, trees: Any = trees, net: Any = net, pca: Any = pca) -> list[np.ndarray]:
            return [leaves_by_hand(trees, table).reshape(len(table), -1), net.embed(table), pca.transform(table)]

        own = seen(X[each.head_rows])
        scalers = [
            scaler.fit(block)
            for scaler, block in zip(
                (OneHotEncoder(handle_unknown="ignore"), StandardScaler(), StandardScaler()), own, strict=True
            )
        ]

        def columns(blocks: list[np.ndarray], scalers: Any = scalers) -> Any:
            return sparse.hstack([s.transform(b) for s, b in zip(scalers, blocks, strict=True)], format="csr")

        head = LogisticRegression(C=0.5).fit(columns(own), codes[each.head_rows])
        margins.append(margin(head, columns(seen(X)), floor=1 / (2 * len(each.head_rows))))
        np.testing.assert_allclose(pca.mean_, X[each.embedder_rows].mean(axis=0))
        np.testing.assert_allclose(each.margin(X), margins[-1], atol=1e-5)
    np.testing.assert_allclose(fitted.margin(X), np.mean(margins, axis=0), atol=1e-5)
    assert (np.abs(margins[0] - margins[1]) > 0.01).any()


def test_margins_are_the_mean_over_the_pairs_and_make_the_probabilities() -> None:
    fitted = concat().fit(X, TWO)
    mean = np.mean([each.margin(X) for each in fitted.concatenations_], axis=0)
    np.testing.assert_array_equal(fitted.margin(X), mean)
    np.testing.assert_allclose(logit(fitted.predict_proba(X)[:, 1]), mean[:, 0])
    np.testing.assert_array_equal(fitted.predict(X), np.where(mean[:, 0] > 0, "yes", "no"))


def test_what_embedders_see_of_numbers_alone_is_dense() -> None:
    (each, _) = concat([("mlp", NET), ("pca", PCA(2))], head=GaussianNB(), cv=2).fit(X, TWO).concatenations_
    assert each.head.estimator.n_features_in_ == 8


def test_ordinal_codes_of_a_transformer_have_no_order_either() -> None:
    bins = KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf")
    numbers = concat([("bins", bins)], cv=2).fit(X, TWO).concatenations_[0]
    assert numbers.head.estimator.n_features_in_ == 3, "floats are numbers"
    for dtype in ("int64", "uint8"):
        codes = concat([("bins", make_pipeline(bins, As(dtype)))], cv=2).fit(X, TWO).concatenations_[0]
        assert codes.head.estimator.n_features_in_ == 12


class As(TransformerMixin, BaseEstimator):
    def __init__(self, dtype: str):
        self.dtype = dtype

    def fit(self, X: Any, y: Any = None) -> As:
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X: np.ndarray) -> np.ndarray:
        return X.astype(self.dtype)


def test_sparse_tables_are_for_embedders_that_take_them() -> None:
    table = sparse.csr_matrix(np.where(np.abs(X) > 1, X, 0))
    scaler = [("scaler", MaxAbsScaler())]
    one = concat(scaler).fit(table, TWO).margin(table)
    assert np.isfinite(one).all()
    assert one.std() > 0.1
    with pytest.raises(TypeError, match=r"sparse matrix, which members \['trees'\] do not take"):
        concat([*scaler, ("trees", TREES)]).fit(table, TWO)


# regression, mixed tables, hybrids


def test_a_regressor_answers_in_units_of_the_target() -> None:
    embedders = [
        ("trees", BoostedTreesRegressor(n_estimators=8, learning_rate=0.3, max_depth=2, early_stopping=False)),
        ("mlp", TabularMLPRegressor(hidden_layer_sizes=(8,), max_epochs=8, learning_rate=0.02)),
    ]
    fitted = ConcatRegressor(embedders=embedders, cv=2, random_state=0).fit(X, 1000 + 50 * NUMBER)
    assert isinstance(fitted.concatenations_[0].head.estimator, RidgeCV)
    assert fitted.score(X, 1000 + 50 * NUMBER) > 0.5
    np.testing.assert_array_equal(fitted.predict(X), fitted.margin(X)[:, 0])


def test_levels_that_a_fold_lacks_are_no_news_and_new_ones_are_told_of_once(mixed: Any) -> None:
    frame, y = mixed
    fitted = concat(cv=2).fit(frame.assign(town=np.where(np.arange(160) == 3, "once", frame["town"])), y)
    with pytest.warns(UnseenCategoryWarning, match=r"'town' \(2 rows\)") as said:
        p = fitted.predict_proba(frame.head(2).assign(town="elsewhere"))
    assert len(said) == 1
    assert np.isfinite(p).all()


def test_a_concatenation_is_a_member_like_any_other() -> None:
    members = [("concat", concat([*BOTH, ("scaler", StandardScaler())], cv=2)), ("linear", LogisticRegression())]
    hybrid = HybridClassifier(estimators=members, cv=3, random_state=0)
    groups = np.arange(N_ROWS) // 2
    hybrid.fit(X, TWO, sample_weight=WEIGHT, groups=groups)
    hybrid.ledger_.assert_leak_free()
    for fold, model in enumerate(hybrid.named_estimators_["concat"]):
        inside = np.flatnonzero(hybrid.oof_.fold != fold)
        for each in model.concatenations_:
            # it knows its rows by their positions among those of the fold
            assert not np.intersect1d(groups[inside][each.embedder_rows], groups[inside][each.head_rows]).size
    hybrid.set_params(concat__trees__max_depth=1, concat__cv=3)
    assert dict(hybrid.estimators)["concat"].cv == 3


def test_a_frozen_part_of_the_head_does_not_escape_the_ledger() -> None:
    frozen = make_pipeline(FrozenEstimator(StandardScaler().fit(np.zeros((2, 8)))), LogisticRegression())
    member = concat([("mlp", NET), ("pca", PCA(2))], head=frozen, cv=2)
    hybrid = HybridClassifier(estimators=[("concat", member)], cv=2, random_state=0).fit(X, TWO)
    with pytest.raises(LeakError, match="head__frozenestimator"):
        hybrid.ledger_.assert_leak_free()


def test_two_fits_agree_to_the_last_bit() -> None:
    first, again, other = (concat(random_state=seed).fit(X, TWO).margin(X) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


# parameters


def test_parameters_of_embedders_and_head_are_reached_by_name() -> None:
    auto = ConcatClassifier().set_params(trees__n_estimators=7, mlp__max_epochs=3)
    assert [(name, type(part)) for name, part in auto.embedders] == [
        ("trees", BoostedTreesClassifier),
        ("mlp", TabularMLPClassifier),
    ]
    assert auto.get_params()["trees__n_estimators"] == 7
    given = concat(head=LogisticRegression(C=2.0)).set_params(head__tol=0.1, mlp=PCA(2))
    assert given.get_params()["head__C"] == 2.0
    assert clone(given).head.tol == 0.1
    assert isinstance(dict(given.embedders)["mlp"], PCA)
    assert "head__C" not in given.get_params(deep=False)


def test_a_search_goes_over_embedders_and_head() -> None:
    search = GridSearchCV(
        concat([("pca", PCA())], head=LogisticRegression(), cv=2),
        {"pca__n_components": [1, 3], "head__C": [1e-4, 1.0]},
        cv=2,
    ).fit(X, TWO)
    assert search.best_params_ == {"pca__n_components": 3, "head__C": 1.0}


def test_the_progress_counts_every_embedder(capsys: pytest.CaptureFixture[str]) -> None:
    concat([("trees", TREES), ("pca", PCA(2))], cv=2, verbose=1).fit(X, TWO)
    assert "4/4" in capsys.readouterr().err


# what cannot be


@pytest.mark.parametrize(
    ("embedders", "settings", "error", "message"),
    [
        ([("a", LogisticRegression())], {}, TypeError, r"embedder 'a' \(LogisticRegression\) has neither embed nor"),
        ([("a", BoostedTreesRegressor())], {}, TypeError, r"'a' \(BoostedTreesRegressor\) is not a classifier"),
        ([("a", "drop")], {}, TypeError, "'a' is 'drop', not a scikit-learn estimator"),
        ([], {}, ValueError, "embedders is empty"),
        ([("head", TREES)], {}, ValueError, r"no parameter's; got \['head'\]"),
        (BOTH, {"head": Ridge()}, TypeError, r"'head' \(Ridge\) is not a classifier"),
        (BOTH, {"head": "none"}, ValueError, "The 'head' parameter of ConcatClassifier"),
        (BOTH, {"cv": 1}, ValueError, "The 'cv' parameter of ConcatClassifier"),
        (BOTH, {"head": GaussianNB()}, MemberError, "'head' failed: TypeError: Sparse data was passed"),
        ([("pca", PCA(9))], {}, MemberError, "'pca' failed: ValueError: n_components=9"),
        ([("t", clone(TREES).set_params(max_depth=-1))], {}, MemberError, "'t' failed: .*max_depth"),
    ],
)
def test_what_cannot_be_concatenated_is_refused_by_name(
    embedders: Any, settings: dict[str, Any], error: type, message: str
) -> None:
    estimator = concat(embedders, **settings)
    with pytest.raises(error, match=message):
        estimator.fit(X, TWO)
    assert not [name for name in vars(estimator) if name.endswith("_")]


def test_an_inner_fold_of_one_class_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="an inner fold holds one class only"):
        concat().fit(X, np.arange(N_ROWS) < 60, time=np.arange(N_ROWS))


def test_a_class_that_some_parts_lack_does_not_stop_the_fit() -> None:
    y = np.where(np.arange(N_ROWS) < 2, 2, THREE > 0)
    p = concat().fit(X, y).predict_proba(X)
    assert p.shape == (N_ROWS, 3)
    assert p[:, 2].mean() < 0.1
