"""What models are made of, one at a time: stored, read and equal; or refused by name."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from _estimators import Perceptron
from _models import Recurrent, assert_same
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import TimeSeriesSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import Bunch
from torch import nn

from hybridlearn.persistence import NotStorableError, VersionWarning, load, save


def again(thing: Any, folder: Path, trusted: Any = ()) -> Any:
    save(thing, folder / "thing.hybrid")
    return load(folder / "thing.hybrid", trusted=trusted)


NUMBERS = np.arange(12.0).reshape(3, 4)
RECORDS = np.array([(1, 2.5, "a")], dtype=[("i", "<i4"), ("f", "<f8"), ("t", "<U3")])
VALUES: dict[str, Any] = {
    "floats": [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-320, 0.1 + 0.2],
    "integers": [0, -1, 2**200, True, False, None],
    "text": ["", "ä\x00\n€𝄞", "a" * 1000],
    "bytes": b"\x00\xff",
    "containers": [(), [], {}, set(), frozenset({1, "a"}), ((1, (2,)),)],
    "mappings": [{(1, "a"): 2, None: 3, 1.5: 4, np.float64(2): 5}, OrderedDict(b=1, a=2), Bunch(a=1)],
    "paths": [Path("a/b"), Path("/")],
    "slices": [slice(None), slice(1, None, -2), range(3, 9, 2)],
    "types": [int, float, str, object, np.float64, np.int8, np.dtype("<M8[ns]"), np.dtype("<U7"), RECORDS.dtype],
    "numpy scalars": [np.float32(0.1), np.int64(3), np.bool_(True), np.str_("a"), np.datetime64("2020-01-01", "D")],
    "empty arrays": [np.empty(0), np.empty((0, 3)), np.empty((3, 0), dtype=object), np.empty(0, dtype="<U4")],
    "small types": [NUMBERS.astype(np.float16), NUMBERS > 3, NUMBERS.astype(np.uint8), NUMBERS.astype(np.complex64)],
    "no dimension": [np.array(1.5), np.array("a"), np.array(None, dtype=object)],
    "text arrays": [np.array(["a", "bcd\x00e", "€"]), np.array([["x"], ["yy"]]).astype("<U9"), np.array([b"a", b"bc"])],
    "dates": [np.array(["2020-01-01", "NaT"], dtype="M8[ns]"), np.array([1], dtype="m8[25s]")],
    "objects": [np.array([1, "a", None, np.nan, 2.5, (1, 2), [3], pd.NaT, pd.NA], dtype=object)],
    "a list of lists as objects": np.array([[1, 2], [3, 4], None], dtype=object),
    "records": RECORDS,
    "instants": [pd.Timestamp("2024-02-29 12:00:00.000000001"), pd.Timedelta("3s"), pd.NaT, pd.NA],
    "functions": [accuracy_score, TimeSeriesSplit],
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_what_it_was(name: str, tmp_path: Path) -> None:
    assert_same(again(VALUES[name], tmp_path), VALUES[name], name)


def test_the_sign_of_zero_stays(tmp_path: Path) -> None:
    assert np.signbit(again(-0.0, tmp_path))


@pytest.mark.parametrize("array", [np.asfortranarray(NUMBERS), NUMBERS.T, NUMBERS[::2, ::-1], np.zeros((2, 3, 4)).T])
def test_an_array_keeps_its_order_and_can_be_written_to(array: np.ndarray, tmp_path: Path) -> None:
    found = again(array, tmp_path)
    np.testing.assert_array_equal(found, array)
    assert found.flags.c_contiguous != found.flags.f_contiguous
    assert found.flags.f_contiguous == array.flags.f_contiguous
    found[0] = 1


def test_masked_and_sparse_arrays(tmp_path: Path) -> None:
    masked = np.ma.MaskedArray([1.0, 2.0], mask=[False, True], fill_value=-5)
    found = again(masked, tmp_path)
    assert (found.tolist(), found.fill_value, found.dtype) == ([1.0, None], -5, masked.dtype)
    for make in (sparse.csr_array, sparse.csc_matrix):
        matrix = make(NUMBERS)
        assert_same(again(matrix, tmp_path).toarray(), NUMBERS)
        assert type(again(matrix, tmp_path)) is make


FRAME = pd.DataFrame(
    {
        "number": [1.5, np.nan, 3.0],
        "text": ["a", None, "c"],
        "mixed": pd.Series(["a", 1, None], dtype=object),
        "plain": pd.Series(["a", "b", "c"], dtype=object),
        "level": pd.Categorical(["x", None, "y"], ["y", "x"], ordered=True),
        "day": pd.to_datetime(["2024-01-01", None, "2024-01-03"]),
        "flag": [True, False, True],
    }
)


@pytest.mark.parametrize(
    "thing",
    [
        FRAME,
        FRAME.set_axis(["a", "b", "b", "a", "", "c", "d"], axis=1),
        FRAME.set_axis([10, 20, 20]),
        FRAME.set_axis(pd.Index(["x", "y", "z"], name="rows")),
        FRAME.set_axis(pd.DatetimeIndex(["2024-01-01", "2024-01-05", "2024-01-06"])),
        FRAME.iloc[:0],
        FRAME[[]],
        pd.DataFrame(index=range(4)),
        pd.DataFrame({("a", 1): [1]}, columns=pd.Index([("a", 1)], tupleize_cols=False)),
    ],
    ids=["plain", "doubled", "numbered", "named", "days", "no rows", "no columns", "nothing", "tuples"],
)
def test_frames(thing: pd.DataFrame, tmp_path: Path) -> None:
    found = again(thing, tmp_path)
    pd.testing.assert_frame_equal(found, thing, check_column_type="exact", check_index_type="exact")
    assert found.columns.tolist() == thing.columns.tolist()
    if thing.columns.is_unique:
        for name in thing.columns:
            pd.testing.assert_series_equal(again(thing[name], tmp_path), thing[name])


def test_who_is_there_twice_is_there_twice_again(tmp_path: Path) -> None:
    shared = np.arange(3)
    one, other = again([shared, {"a": shared}], tmp_path)
    assert one is other["a"]
    net = again(Recurrent(2, 1), tmp_path, [Recurrent])
    assert net.first.weight is net.second.weight
    assert len(list(net.parameters())) == len(list(Recurrent(2, 1).parameters()))


def test_a_recurrent_net_computes_and_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Recurrent(3, 1).eval()
    X = torch.randn(5, 3)
    found = again(net, tmp_path, [Recurrent])
    assert torch.equal(found(X), net(X))
    assert found.nothing is None
    assert not found.training
    for one in (net, found):
        one.train()(X).sum().backward()
    grads = [[p.grad for p in one.parameters() if p.grad is not None] for one in (net, found)]
    assert len(grads[0]) > 5
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    # moved as a whole: its flat weights are its weights
    assert found.double()(X.double()).dtype == torch.float64


def test_a_module_of_many_small_parts(tmp_path: Path) -> None:
    net = nn.Sequential(*[nn.Sequential(nn.Linear(2, 2), nn.ReLU()) for _ in range(300)])
    assert torch.equal(again(net, tmp_path)(torch.ones(1, 2)), net(torch.ones(1, 2)))


def test_a_tensor_that_is_a_parameter_twice_frozen(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    net.weight.requires_grad_(False)
    found = again(net, tmp_path)
    assert [p.requires_grad for p in found.parameters()] == [False, True]


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    X, y = NUMBERS, np.array([0, 1, 1])
    for name in ("one", "two"):
        save([KNeighborsClassifier(1).fit(X, y), {"b", "a"}, LogisticRegression().fit(X, y)], tmp_path / name)
    a, b = ((tmp_path / name).read_bytes() for name in ("one", "two"))
    assert a == b


# what is refused


class Own(ClassifierMixin, BaseEstimator):
    def fit(self, X: Any, y: Any) -> Any:
        self.classes_ = np.unique(y)
        return self


class Local(Perceptron):
    pass


def local_class() -> type:
    class Hidden(nn.Linear):
        pass

    return Hidden


def hooked() -> nn.Module:
    net = nn.Linear(1, 1)
    net.register_forward_hook(lambda *_: None)
    return net


def endless() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def deep(levels: int) -> Any:
    thing: Any = 1
    for _ in range(levels):
        thing = [thing]
    return thing


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Own(), r"Own is a .*:Own, which cannot be stored"),
        (make_pipeline(Own()), r"Pipeline\['steps'\]\[0\]\[1\] is a .*:Own"),
        (
            FunctionTransformer(lambda X: X),
            r"FunctionTransformer\['func'\] is a .*<lambda>|FunctionTransformer\['func'\]",
        ),
        (FunctionTransformer(partial(np.clip, a_min=0)), r"FunctionTransformer\['func'\]"),
        (FunctionTransformer("".join), r"FunctionTransformer\['func'\]"),
        ([local_class()], r"list\[0\] needs .*Hidden, which no other process can find"),
        ([local_class()(1, 1)], r"list\[0\] needs .*Hidden"),
        (hooked(), "has hooks"),
        (endless(), "contains itself"),
        (deep(5000), "nested too deeply"),
        ({"a": [pd.Timestamp("2024-01-01", tz="UTC")]}, r"dict\['a'\]\[0\] is a .*Timestamp"),
        (pd.Series(pd.array([1, None], dtype="Int64")), "has the dtype Int64"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "MultiIndex"),
        (np.zeros(2, dtype=">f8"), "has the dtype >f8"),
        (np.zeros(2, dtype=np.longdouble), "has the dtype"),
        (np.rec.array([(1, 2.0)]), "is a numpy.*:recarray"),
        (torch.zeros(2, dtype=torch.bfloat16), "tensor of type torch.BFloat16Tensor"),
        (torch.eye(2).to_sparse(), "tensor of type"),
        (np.random.RandomState(np.random.PCG64()), "RandomState of a PCG64"),
        (np.random.Generator(np.random.MT19937()), "MT19937"),
        (
            KNeighborsClassifier(metric="canberra", algorithm="ball_tree").fit(NUMBERS, [0, 1, 1]),
            r"_tree'\] is a .*Canberra",
        ),
        (iter([]), "list_iterator"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else type(value).__name__,
)
def test_what_cannot_be_stored_is_named_and_nothing_is_written(thing: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("before")
    for name in ("there", "new"):
        with pytest.raises(NotStorableError, match=message):
            save(thing, tmp_path / name)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("there", "before")]


@pytest.mark.parametrize("trusted", ["Perceptron", Perceptron, 5, [Perceptron(1, 1)], ["Perceptron"], None])
def test_trusted_holds_classes_and_functions(trusted: Any, tmp_path: Path) -> None:
    save(LogisticRegression(), tmp_path / "model")
    with pytest.raises(TypeError, match="trusted must"):
        load(tmp_path / "model", trusted=trusted)


def test_a_class_that_is_not_trusted_is_asked_for(tmp_path: Path) -> None:
    save(Perceptron(1, 1), tmp_path / "model")
    with pytest.raises(ValueError, match=r"load\(path, trusted=\[Perceptron\]\)"):
        load(tmp_path / "model", trusted=[Local])
    with pytest.raises(ValueError, match="is no module"):
        load(tmp_path / "model", trusted=[renamed(Own, Perceptron)])


def renamed(cls: type, like: type) -> type:
    return type(like.__name__, (cls,), {"__module__": like.__module__})


def test_a_path_may_be_text_and_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / ("long" * 60))
    for C in (1.0, 2.0):
        save(LogisticRegression(C=C), path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", VersionWarning)
            assert load(path).C == C
