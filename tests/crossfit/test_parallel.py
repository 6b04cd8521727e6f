"""Units of work, here or in workers: the same results in the same order, with bounded threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from joblib import cpu_count, delayed, parallel_config
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from threadpoolctl import threadpool_info, threadpool_limits

from hybridlearn.crossfit import MemberError, cross_fit
from hybridlearn.crossfit import _parallel as parallel
from hybridlearn.crossfit._parallel import run_jobs


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are asked after the first job, however short it was."""
    monkeypatch.setattr(parallel, "PROBE_SECONDS", 0.0)
    monkeypatch.setattr(parallel, "WORTH_SECONDS", 0.0)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Every pool of this process has two threads, as on a laptop."""
    before = torch.get_num_threads()
    with threadpool_limits(2):
        torch.set_num_threads(2)
        yield
        torch.set_num_threads(before)


def n_threads() -> set[int]:
    """Of BLAS, OpenMP and torch, of the thread that asks."""
    return {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}


def assert_all_is_given_back() -> None:
    """To this thread, and to those that are yet to come (OpenMP gives these what the environment says)."""
    found = []
    asks = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    asks.start()
    asks.join()
    assert found == [2]
    assert n_threads() == {2}


def results(calls: list[Any], n_jobs: int | None = 2) -> list[Any]:
    return list(run_jobs(calls, n_jobs))


# order and place


def slow_then_quick() -> list[Any]:
    """Three jobs the first of which ends last."""
    return [delayed(lambda i, s: (time.sleep(s), i)[1])(i, 0.2 if i == 1 else 0.0) for i in range(6)]


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.usefixtures("eager")
def test_results_come_in_the_order_of_the_jobs(backend: str) -> None:
    for n_jobs in (1, 2):
        with parallel_config(backend=backend):
            assert results(slow_then_quick(), n_jobs) == list(range(6))


@pytest.mark.parametrize("n_jobs", [None, 1, 2])
def test_short_work_stays_in_this_process(n_jobs: int | None) -> None:
    assert results([delayed(os.getpid)()] * 5, n_jobs) == [os.getpid()] * 5


@pytest.mark.usefixtures("eager")
def test_long_work_goes_to_workers_but_for_the_job_that_told() -> None:
    first, *others = results([delayed(os.getpid)()] * 5)
    assert first == os.getpid()
    assert os.getpid() not in others
    assert 1 <= len(set(others)) <= 2


@pytest.mark.usefixtures("eager")
def test_a_single_job_that_is_left_stays_here() -> None:
    assert results([delayed(os.getpid)()] * 2) == [os.getpid()] * 2


@pytest.mark.usefixtures("eager")
def test_one_process_was_asked_for_and_no_other_works() -> None:
    for n_jobs in (None, 1):
        assert results([delayed(os.getpid)()] * 3, n_jobs) == [os.getpid()] * 3


@pytest.mark.parametrize(
    ("seconds", "n_done", "n_jobs", "worth"),
    [
        (0.0, 0, 9, False),
        (1.9, 1, 99, False),
        (2.1, 0, 9, False),
        (2.1, 1, 9, True),
        (2.1, 8, 9, False),
        (2.1, 5, 9, False),
        (6.0, 1, 2, False),
        (6.0, 1, 3, True),
    ],
)
def test_workers_must_be_worth_their_start(seconds: float, n_done: int, n_jobs: int, worth: bool) -> None:
    """Two seconds are over, two jobs are left, and they promise five seconds more."""
    assert parallel._is_worth_workers(seconds, n_done, n_jobs) == worth


def test_nothing_to_do_is_done() -> None:
    for n_jobs in (1, 2):
        assert results([], n_jobs) == []


# threads


@pytest.mark.usefixtures("eager", "two_threads")
def test_each_worker_has_its_share_of_the_cores() -> None:
    share = max(1, cpu_count() // 2)
    # the torch of a worker is loaded with the job, before threads are bounded
    jobs = [delayed(lambda: (os.getpid(), torch.get_num_threads(), threadpool_info()))() for _ in range(3)]
    for pid, of_torch, pools in results(jobs)[1:]:
        assert pid != os.getpid()
        assert of_torch <= share
        assert pools
        assert {pool["num_threads"] for pool in pools} <= set(range(1, share + 1))
    assert_all_is_given_back()


@pytest.mark.usefixtures("two_threads")
def test_work_that_stays_here_is_bounded_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    assert n_threads() == {2}
    assert results([delayed(n_threads)()] * 2) == [{1}, {1}]
    assert_all_is_given_back()
    # one process has all threads
    assert results([delayed(n_threads)()] * 2, n_jobs=1) == [{2}, {2}]


@pytest.mark.usefixtures("two_threads")
def test_bounds_raise_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 64)
    assert results([delayed(n_threads)()] * 2) == [{2}, {2}]


def fail() -> None:
    raise RuntimeError("enough")


@pytest.mark.usefixtures("two_threads")
def test_threads_are_given_back_after_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    with pytest.raises(RuntimeError, match="enough"):
        results([delayed(fail)()] * 2)
    assert_all_is_given_back()


def overlapping() -> list[Any]:
    """The first to begin is not the last to end: what one gives back another must not take away."""

    def job(i: int) -> set[int]:
        time.sleep(0.05 + 0.1 * i)
        return n_threads()

    return [delayed(job)(i) for i in range(4)]


@pytest.mark.usefixtures("eager", "two_threads")
def test_workers_that_are_threads_are_bounded_and_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    with parallel_config(backend="threading"):
        assert results(overlapping()) == [{1}] * 4
    assert_all_is_given_back()


@pytest.mark.usefixtures("eager", "two_threads")
def test_who_goes_before_the_end_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    with parallel_config(backend="threading"):
        answers = run_jobs([delayed(n_threads)()] * 4, 2)
        assert [next(answers), next(answers)] == [{1}, {1}]
        answers.close()
    assert_all_is_given_back()


# what workers are given


@pytest.mark.usefixtures("eager")
def test_a_large_array_is_mapped_into_the_workers_not_copied() -> None:
    large, small = np.zeros((500, 600)), np.zeros(3)
    first, *others = results([delayed(lambda *arrays: [type(array) for array in arrays])(large, small)] * 4)
    assert first == [np.ndarray, np.ndarray]
    assert others == [[np.memmap, np.ndarray]] * 3


# whole cross-fits


MEMBERS = [("linear", LogisticRegression()), ("bayes", GaussianNB())]


@pytest.mark.parametrize("backend", ["loky", "threading"])
@pytest.mark.usefixtures("eager")
def test_workers_fit_the_same_to_the_last_bit(table, backend: str) -> None:
    alone = cross_fit(MEMBERS, table.X, table.three, cv=3, n_jobs=1, random_state=0)
    with parallel_config(backend=backend, n_jobs=2):
        found = cross_fit(MEMBERS, table.X, table.three, cv=3, random_state=0)
    for name, margin in alone.margins.items():
        np.testing.assert_array_equal(found.margins[name], margin)
    for name, models in alone.models.items():
        for one, two in zip(models, found.models[name], strict=True):
            np.testing.assert_array_equal(one.margin(table.X), two.margin(table.X))


@pytest.mark.usefixtures("eager")
def test_a_large_table_is_fitted_in_workers_as_here() -> None:
    """Mapped into them, where it cannot be written to."""
    X = np.random.default_rng(0).normal(size=(20_000, 8))
    assert X.nbytes > 2**20
    alone, found = (cross_fit([("ridge", Ridge())], X, X[:, 0], cv=4, n_jobs=n, random_state=0) for n in (1, 2))
    np.testing.assert_array_equal(found.margins["ridge"], alone.margins["ridge"])
    assert not X.flags.writeable or X.flags.owndata


@pytest.mark.usefixtures("eager")
def test_a_member_that_fails_in_a_worker_is_named(table) -> None:
    bad = make_pipeline(FunctionTransformer(np.linalg.inv), LogisticRegression())
    with pytest.warns(UserWarning, match="member 'bad' failed: LinAlgError: .*left out"):
        oof = cross_fit([*MEMBERS, ("bad", bad)], table.X, table.two, cv=3, n_jobs=2, on_error="skip")
    assert oof.members == ["linear", "bayes"]
    # the work that is left is cancelled without a word
    with pytest.raises(MemberError, match="member 'bad' failed: LinAlgError: "):
        cross_fit([MEMBERS[0], ("bad", bad), MEMBERS[1]], table.X, table.two, cv=3, n_jobs=2)
