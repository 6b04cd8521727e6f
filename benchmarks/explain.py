"""Explanations put to the test: do they add up, are they Shapley's values, how fast, how faithful, how simple.

``check`` fits a hybrid, explains some rows, and compares with shap's permutation explainer of the same margin, on the
same background: the largest gap between a margin and the sum of its parts (in units of the margin; of a regression, of
the target's standard deviation), the cosine of all values, and seconds against seconds. ``faithful`` deletes columns in
the order of explanation, attention and chance. ``surrogates`` gives fidelity by size. Tables and splits are those of
accuracy.py.

    pip install 'hybridlearn[explain]'
    python benchmarks/explain.py check --sets mortgages wine diabetes
    python benchmarks/explain.py faithful --sets mortgages diabetes
    python benchmarks/explain.py surrogates --sets mortgages wine diabetes
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import MOST_TRAIN, Table, index_of, load, packaged, parts_of, split_of

import hybridlearn as hl
from hybridlearn.inspection import attention_maps, explain, faithfulness, surrogate

N_BACKGROUND = 100


def ours(stem: str, table: Table, **params: Any) -> Any:
    return getattr(hl, stem + ("Classifier" if table.n_classes else "Regressor"))(random_state=0, **params)


def cells(args: argparse.Namespace) -> Iterator[tuple[str, Table, pd.DataFrame, np.ndarray, pd.DataFrame]]:
    """Name, table, training rows, their target, rows to be explained."""
    names = args.sets or list(packaged() if args.data is None else index_of(args.data))
    for name in names:
        table = load(name, args.data)
        rows, test = split_of(table, args.seed, args.train_rows)
        X, X_test = parts_of(table, rows, test)
        yield name, table, X, table.y[rows], X_test[: args.rows]


def unit_of(table: Table, y: np.ndarray) -> float:
    return 1.0 if table.n_classes else float(y.std())


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    return float((one * other).sum() / np.linalg.norm(one) / np.linalg.norm(other))


# values and seconds


def check(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name, table, X, y, rows in cells(args):
        model = ours(args.model, table).fit(X, y)
        background = X.sample(N_BACKGROUND, random_state=0)
        started = time.perf_counter()
        found = explain(model, rows, background)
        seconds = time.perf_counter() - started
        few = rows[: args.reference_rows]
        started = time.perf_counter()
        explain(model, few, background)
        ours_few = time.perf_counter() - started
        theirs, theirs_seconds = reference(model, few, background)
        yield {
            "set": name,
            "columns": X.shape[1],
            "categorical": X.select_dtypes("category").shape[1],
            "gap": found.check_additivity() / unit_of(table, y),
            "cosine": cosine(found.values[: len(few)], theirs),
            "ms a row": 1000 * seconds / len(rows),
            "seconds over shap's": ours_few / theirs_seconds,
            "methods": "; ".join(f"{key or args.model} {how}" for key, how in found.methods.items()),
        }


def reference(model: Any, rows: pd.DataFrame, background: pd.DataFrame) -> tuple[np.ndarray, float]:
    """Values of shap's permutation explainer, which takes arrays: categories go in as codes."""
    import shap

    dtypes = {name: dtype for name, dtype in background.dtypes.items() if isinstance(dtype, pd.CategoricalDtype)}

    def coded(part: pd.DataFrame) -> np.ndarray:
        return part.assign(**{key: part[key].cat.codes for key in dtypes}).to_numpy(dtype=np.float64)

    def margin(codes: np.ndarray) -> np.ndarray:
        table = pd.DataFrame(codes, columns=background.columns)
        for key, dtype in dtypes.items():
            table[key] = pd.Categorical.from_codes(table[key].astype(int), dtype=dtype)
        found = hl.margin(model, table)
        return found[:, 0] if found.shape[1] == 1 else found

    masker = shap.maskers.Independent(coded(background), max_samples=len(background))
    explainer = shap.PermutationExplainer(margin, masker, seed=0)
    started = time.perf_counter()
    values = explainer(coded(rows), max_evals=max(500, 2 * rows.shape[1] + 1), silent=True).values
    return values, time.perf_counter() - started


# faithfulness


def faithful(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Of an FT-Transformer, which has attention, and of the hybrid."""
    for name, table, X, y, rows in cells(args):
        background = X.sample(N_BACKGROUND, random_state=0)
        for model in (ours("FTTransformer", table), ours("Hybrid", table)):
            model.fit(X, y)
            toward = explain(model, rows, background).toward_prediction
            areas = faithfulness(model, rows, toward, background)
            row = {"set": name, "model": type(model).__name__, **told("explained", areas.frame, "scores")}
            row |= told("random", areas.frame, "random")
            if hasattr(model, "attention"):
                maps = attention_maps(model, rows, background)
                row |= told("attention", maps.faithfulness.frame, "scores")
                row |= {"attention's rank correlation": maps.rank_correlation}
            yield row


def told(name: str, frame: pd.DataFrame, order: str) -> dict[str, str]:
    facts = frame.loc[order]
    return {
        f"{name}: {kind}": f"{facts[kind]:.3f} ± {facts[f'{kind}_standard_error']:.3f}"
        for kind in ("deletion", "insertion")
    }


# surrogates


def surrogates(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name, table, X, y, _ in cells(args):
        model = ours(args.model, table).fit(X, y)
        for kind in ("tree", "linear", "additive"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = surrogate(model, X, kind=kind)
            for facts in found.front.to_dict("records"):
                yield {"set": name, "kind": kind, **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for action in (check, faithful, surrogates):
        command = commands.add_parser(action.__name__)
        command.set_defaults(action=action)
        command.add_argument("--data", type=Path, help="folder of Parquet files with an index.json")
        command.add_argument("--sets", nargs="*", default=[])
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--train-rows", type=int, default=MOST_TRAIN, help="at most")
        command.add_argument("--rows", type=int, default=50, help="to be explained")
        command.add_argument("--reference-rows", type=int, default=5, help="of them, by shap too")
        command.add_argument("--model", default="Hybrid", help="the name of an estimator without its task")
    args = parser.parse_args()
    rows = []
    for row in args.action(args):
        rows.append(row)
        print(
            " ".join(
                f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
            )
        )
    print(pd.DataFrame(rows).to_markdown(index=False, floatfmt=".4g"))


if __name__ == "__main__":
    main()
