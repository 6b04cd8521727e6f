"""What a fit hangs on has one key in every process, and another for everything else."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from hybridlearn.crossfit._identity import Identities, NoIdentityError
from hybridlearn.nets import TabularMLPClassifier
from hybridlearn.trees import BoostedTreesClassifier

X, Y = load_iris(return_X_y=True)
FRAME = pd.DataFrame(
    {
        "a": [1.0, np.nan, 3.0],
        "b": ["x", None, "z"],
        "c": pd.Categorical(["u", "v", "u"]),
        "d": pd.date_range("2020", periods=3, tz="UTC"),
        "e": [True, False, True],
    }
)


def key(thing: Any) -> str:
    return Identities().key(thing)


def things() -> list[Any]:
    """Things of all kinds, no two alike, made anew at each call."""
    return [
        *(None, True, 1, 1.0, "1", b"1", float("nan"), float("inf"), -0.0, 0.0, ...),
        *([], (), {}, set(), [1], (1,), {1}, frozenset({1}), {"a": 1, "b": 2}, {"a": 12}, ["ab"], ["a", "b"]),
        *(
            np.float32(1),
            np.int64(1),
            np.zeros(2),
            np.zeros((2, 1)),
            np.zeros(2, np.float32),
            np.array(["a", None], object),
        ),
        *(
            FRAME.copy(),
            FRAME.rename(columns={"a": "A"}),
            FRAME.astype({"c": "str"}),
            FRAME[::-1],
            FRAME["a"],
            FRAME.columns,
        ),
        *(
            FRAME.assign(a=[1.0, np.nan, 4.0]),
            FRAME.assign(b=["x", None, "y"]),
            FRAME.assign(c=FRAME["c"].cat.add_categories("w")),
        ),
        *(sparse.csr_array(np.eye(2)), sparse.csc_array(np.eye(2)), sparse.csr_array(2 * np.eye(2))),
        *(LogisticRegression, LogisticRegression(), LogisticRegression(C=2), BoostedTreesClassifier(), np.log, np.exp),
        *(TabularMLPClassifier(), TabularMLPClassifier(max_epochs=3), TabularMLPClassifier(hidden_layer_sizes=(3,))),
        *(
            make_pipeline(StandardScaler(), LogisticRegression()),
            make_pipeline(StandardScaler(), LogisticRegression(C=2)),
        ),
        *(FunctionTransformer(np.log), FunctionTransformer(np.exp), partial(np.add, 1), partial(np.add, 2)),
        *(FrozenEstimator(LogisticRegression(C=c, max_iter=1000).fit(X, Y)) for c in (1, 2)),
        *(FrozenEstimator(RandomForestClassifier(3, random_state=seed).fit(X, Y)) for seed in (0, 1)),
        *(FrozenEstimator(BoostedTreesClassifier(n_estimators=n, random_state=0).fit(X, Y)) for n in (2, 3)),
        *(FrozenEstimator(TabularMLPClassifier(max_epochs=n, random_state=0).fit(X, Y)) for n in (1, 2)),
        *(torch.zeros(2), torch.zeros(2, dtype=torch.float64), torch.ones(2)),
        *(np.random.RandomState(0), np.random.RandomState(1)),
    ]


def test_things_that_differ_have_other_keys() -> None:
    keys = [key(thing) for thing in things()]
    assert len(set(keys)) == len(keys)


def test_what_is_made_alike_has_the_same_key() -> None:
    for one, other in zip(things(), things(), strict=True):
        assert key(one) == key(other), one


ELSEWHERE = """
import sys
sys.path.insert(0, sys.argv[1])
import test_identity
print("\\n".join(map(test_identity.key, test_identity.things())))
"""


def test_keys_are_the_same_in_another_process() -> None:
    here = Path(__file__).parent
    run = [sys.executable, "-c", ELSEWHERE, str(here)]
    done = subprocess.run(run, capture_output=True, text=True, env={"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"})
    assert done.stdout.split() == [key(thing) for thing in things()], done.stderr


def test_an_object_that_is_changed_has_another_key() -> None:
    """Things are remembered while their identities live, and no longer."""
    array = np.zeros(3)
    before = key(array)
    array[1] = 1
    assert key(array) != before


def test_code_that_has_no_name_has_no_identity() -> None:
    def local() -> None: ...

    class Local: ...

    for thing in (lambda: 0, local, Local, [Local()], FunctionTransformer(lambda X: X)):
        with pytest.raises(NoIdentityError, match="local or a lambda"):
            key(thing)


def test_what_contains_itself_has_none_either() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(NoIdentityError, match="a list contains itself"):
        key(endless)
    with pytest.raises(NoIdentityError, match="has no state to show"):
        key(i for i in ())


def test_the_code_that_was_met_is_told() -> None:
    identities = Identities()
    identities.key([FunctionTransformer(np.log), TabularMLPClassifier])
    assert {"sklearn.preprocessing._function_transformer:FunctionTransformer"} <= set(identities.named)
    assert TabularMLPClassifier in identities.named.values()


def test_what_was_requested_counts() -> None:
    plain, keys = LogisticRegression(), []
    with config_context(enable_metadata_routing=True):
        keys = [key(clone(plain).set_fit_request(sample_weight=told)) for told in (True, True, False, "weight")]
    assert keys[0] == keys[1]
    assert len({key(plain), *keys}) == 4
