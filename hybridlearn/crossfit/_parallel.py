"""Units of work, here or in workers of joblib's: with as many threads as there are cores for each."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from joblib import Parallel, cpu_count, delayed, effective_n_jobs
from threadpoolctl import ThreadpoolController

# Work that is done here before anybody else is asked, and what is left must promise: new workers load torch first.
PROBE_SECONDS = 2.0
WORTH_SECONDS = 5.0

Job = tuple[Any, tuple[Any, ...], dict[str, Any]]


def run_jobs(jobs: Sequence[Job], n_jobs: int | None) -> Iterator[Any]:
    """Results of ``delayed(function)(...)`` calls, in their order.

    With several workers each bounds its threads to its share of the cores. Short work stays in this process, bounded
    alike, so that results do not hang on where they were computed.

    Parameters
    ----------
    jobs : sequence of joblib's delayed calls
    n_jobs : int or None
        As in joblib; None is 1, or what ``joblib.parallel_config`` says.
    """
    n_workers = effective_n_jobs(n_jobs)
    if n_workers == 1:
        yield from Parallel(n_jobs=1, return_as="generator")(jobs)
        return
    n_threads = max(1, cpu_count() // n_workers)
    started = time.perf_counter()
    n_done = 0
    while n_done < len(jobs) and not _is_worth_workers(time.perf_counter() - started, n_done, len(jobs)):
        yield _bounded(n_threads, jobs[n_done])
        n_done += 1
    rest = (delayed(_bounded)(n_threads, job) for job in jobs[n_done:])
    # workers that are threads share this process's pools: bounded from here, no worker undoes it for another
    with _threads(n_threads), _closing(Parallel(n_jobs=n_jobs, return_as="generator")(rest)) as results:
        yield from results


@contextmanager
def _closing(results: Generator[Any]) -> Iterator[Iterator[Any]]:
    """Cancel the work that is left when nobody asks for it, as after an error, without a word on it."""
    try:
        # not the generator itself, which ``yield from`` would close
        yield (result for result in results)
    finally:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"\d+ tasks (have been successfully|which were still)")
            results.close()


def _is_worth_workers(seconds: float, n_done: int, n_jobs: int) -> bool:
    if seconds < PROBE_SECONDS or n_done == 0 or n_jobs - n_done < 2:
        return False
    return seconds / n_done * (n_jobs - n_done) > WORTH_SECONDS


def _bounded(n_threads: int, job: Job) -> Any:
    function, args, kwargs = job
    with _threads(n_threads):
        return function(*args, **kwargs)


@contextmanager
def _threads(n_threads: int) -> Iterator[None]:
    """BLAS, OpenMP (XGBoost's too) and torch compute with so many threads, or with fewer where they already do."""
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch else 0
    pools = ThreadpoolController()
    limits = {pool.prefix: n_threads for pool in pools.lib_controllers if pool.num_threads > n_threads}
    # who has nothing to bound has nothing to give back either: a thread that ends late would undo what others have set
    with pools.limit(limits=limits) if limits else nullcontext():
        try:
            if torch and before > n_threads:
                torch.set_num_threads(n_threads)
            yield
        finally:
            if torch and before > n_threads:
                torch.set_num_threads(before)
