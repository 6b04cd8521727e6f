"""Which members a hybrid should have: their margins are stored once, and every blend of them is a matter of seconds.

``margins`` cross-fits each candidate by itself, in the folds that all share, and keeps its out-of-fold margins and the
mean margin of its fold models for the test rows; what is there is not fitted again. ``study`` re-blends them as
HybridClassifier and HybridRegressor do: without each member, with each candidate that is not one, with other ways to
blend, on either half of the sets. Tables and splits are those of accuracy.py.

    python benchmarks/blends.py margins --data ../shared/data/dev --seeds 0 1 --out margins/
    python benchmarks/blends.py study margins/ --members trees shallow_trees mlp linear
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import MOST_TRAIN, index_of, load, metrics_of, packaged, parts_of, split_of
from sklearn.compose import TransformedTargetRegressor, make_column_selector, make_column_transformer
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

import hybridlearn as hl
from hybridlearn._heads import probabilities
from hybridlearn.crossfit import Ledger, OutOfFold, Running, begin, cross_fit_rows
from hybridlearn.ensemble._assembly import assemble, blend_learner
from hybridlearn.ensemble._members import PORTFOLIO, default_members
from hybridlearn.table import TableEncoder

FACTS = "facts.npz"


def ours(stem: str, **params: Any) -> Callable[[bool], Any]:
    return lambda classification: getattr(hl, stem + ("Classifier" if classification else "Regressor"))(**params)


def extra_trees(classification: bool) -> Any:
    kind = ExtraTreesClassifier if classification else ExtraTreesRegressor
    return make_pipeline(TableEncoder(encode="onehot", max_levels=20), kind(300, min_samples_leaf=2))


def splines(classification: bool) -> Any:
    model = LogisticRegression(C=0.1, max_iter=500) if classification else RidgeCV(np.logspace(-2, 4, 13))
    encoder = TableEncoder(encode="onehot", max_levels=50)
    return make_pipeline(encoder, SplineTransformer(n_knots=5, knots="quantile"), model)


def wide_linear(classification: bool) -> Any:
    """With a coefficient for each level of a category."""
    levels = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=2)
    columns = make_column_transformer(
        (TableEncoder(), make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_include="category")),
    )
    return make_pipeline(columns, LogisticRegression(max_iter=1000) if classification else Ridge(1.0))


def behind_features(stem: str) -> Callable[[bool], Any]:
    make = ours(stem)
    return lambda classification: hl.make_tabular_pipeline(hl.FeatureBuilder(), make(classification))


def log_trees(classification: bool) -> Any:
    """Of the logarithm of a target that has one; classes have none."""
    if classification:
        return None
    return TransformedTargetRegressor(hl.BoostedTreesRegressor(), func=np.log1p, inverse_func=np.expm1)


CANDIDATES: dict[str, Callable[[bool], Any]] = {
    **PORTFOLIO,
    "native_trees": ours("BoostedTrees", categories="native"),
    "log_trees": log_trees,
    "features_trees": behind_features("BoostedTrees"),
    "extra_trees": extra_trees,
    "splines": splines,
    "wide_linear": wide_linear,
    "mlp_quantile": ours("TabularMLP", numeric_embedding="quantile", d_embedding=8),
    "features_mlp": behind_features("TabularMLP"),
    "resnet": ours("TabularResNet"),
    "deep_trees": ours("BoostedTrees", max_depth=8, subsample=0.65),
    "second_mlp": ours("TabularMLP", random_state=1000),
    "second_tabm": ours("TabM", random_state=1000),
    "second_random_trees": lambda classification: PORTFOLIO["random_trees"](classification).set_params(
        random_state=1000
    ),
}


@dataclass(frozen=True)
class Margins:
    """Of one set and seed: margins by candidate, (n_rows, n_outputs) of training rows out of fold and of test rows."""

    n_classes: int
    fold: np.ndarray
    target: np.ndarray
    test_target: np.ndarray
    out_of_fold: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    seconds: dict[str, float]


# fitting, once


def margins(args: argparse.Namespace) -> None:
    names = args.sets or list(packaged() if args.data is None else index_of(args.data))
    if args.inside:
        fit_all(args, names[0], args.seeds[0])
        return
    for seed, name in product(args.seeds, names):
        command = [sys.executable, __file__, "margins", "--inside", "--sets", name, "--seeds", str(seed)]
        command += ["--train-rows", str(args.train_rows), "--folds", str(args.folds)]
        command += ["--out", str(args.out), "--members", *args.members]
        command += ["--data", str(args.data)] if args.data else []
        command += ["--features"] if args.features else []
        subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}, check=True)


def fit_all(args: argparse.Namespace, name: str, seed: int) -> None:
    table = load(name, args.data)
    rows, test_rows = split_of(table, seed, args.train_rows)
    X, X_test = parts_of(table, rows, test_rows)
    folder = args.out / f"{name}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = {member: CANDIDATES[member](table.n_classes > 0) for member in args.members}
    wanted = {name: own for name, own in wanted.items() if own is not None and not (folder / f"{name}.npz").exists()}
    # with features all at once, lest each has its own made
    parts = [list(wanted.items())] if args.features else [[one] for one in wanted.items()]
    for members in filter(None, parts):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            oof = fitted(members, X, table.y[rows], args, seed)
            asked = {key: np.mean([model.margin(X_test) for model in oof.models[key]], axis=0) for key in oof.members}
        for member, seconds in oof.fit_seconds.items():
            own = {"out_of_fold": oof.margins[member], "test": asked[member], "seconds": seconds}
            np.savez(folder / f"{member}.npz", **own)
            print(f"{name:20}seed {seed}  {member:16}{seconds:8.1f} s", flush=True)
        facts = {"fold": oof.fold, "target": oof.target}
        np.savez(folder / FACTS, test_target=table.y[test_rows], n_classes=table.n_classes, **facts)


def fitted(
    members: list[tuple[str, Any]], X: pd.DataFrame, y: np.ndarray, args: argparse.Namespace, seed: int
) -> OutOfFold:
    """Cross-fit members, with `args.features` behind one builder of features a fold."""
    rows, classes, splits, seed = begin(members, X, y, None, None, args.folds, seed)
    front = hl.FeatureBuilder() if args.features else None
    how = {"weighted": False, "on_error": "raise", "running": Running(), "on_fit": lambda name: None}
    return cross_fit_rows(members, rows, splits, classes=classes, seed=seed, front=front, **how)


# blending, again and again


def read(folder: Path) -> Iterator[tuple[str, int, Margins]]:
    for own in sorted(path.parent for path in folder.glob(f"*/{FACTS}")):
        name, _, seed = own.name.rpartition("-")
        facts = np.load(own / FACTS)
        stored = {file.stem: np.load(file) for file in own.glob("*.npz") if file.name != FACTS}
        yield (
            name,
            int(seed),
            Margins(
                n_classes=int(facts["n_classes"]),
                fold=facts["fold"],
                target=facts["target"],
                test_target=facts["test_target"],
                out_of_fold={key: own["out_of_fold"] for key, own in stored.items()},
                test={key: own["test"] for key, own in stored.items()},
                seconds={key: float(own["seconds"]) for key, own in stored.items()},
            ),
        )


def blended_error(cell: Margins, members: Sequence[str], kind: str, seed: int) -> float:
    """``main`` of accuracy.py for the test rows."""
    n_rows = len(cell.target)
    oof = OutOfFold(
        margins={name: cell.out_of_fold[name] for name in members},
        fold=cell.fold,
        target=cell.target,
        classes=np.arange(cell.n_classes) if cell.n_classes else None,
        weight=np.ones(n_rows),
        positions=np.arange(n_rows),
        is_ordered=False,
        tests=[np.flatnonzero(cell.fold == k) for k in np.unique(cell.fold)],
        models={name: [] for name in members},
        fit_seconds=cell.seconds,
        failed={},
        ledger=Ledger(),
    )
    final = assemble(oof, blend_learner(oof, kind, seed=seed)).final
    margin = final.margin(np.stack([cell.test[name] for name in members]))
    return metrics_of(cell.n_classes, cell.test_target, probabilities(margin) if cell.n_classes else margin)["main"]


def study(args: argparse.Namespace) -> None:
    """Errors over that of the blend of the members, with the seconds of fitting that a change costs or saves."""
    cells = [cell for cell in read(args.folder) if set(args.members) <= set(cell[2].test)]
    candidates = sorted({name for _, _, cell in cells for name in cell.test})
    base = args.members
    variants: dict[str, tuple[list[str], str]] = {"members": (base, args.blend)}
    variants |= {f"by {kind}": (base, kind) for kind in ("greedy", "nonnegative", "mean") if kind != args.blend}
    variants |= {f"- {name}": ([m for m in base if m != name], args.blend) for name in base if len(base) > 1}
    variants |= {f"+ {name}": ([*base, name], args.blend) for name in candidates if name not in base}
    variants |= {f"{name} alone": ([name], args.blend) for name in candidates}
    rows = []
    for (name, seed, cell), (label, (members, kind)) in product(cells, variants.items()):
        if set(members) <= set(cell.test):
            seconds = sum(cell.seconds[member] for member in members)
            rows.append((name, seed, label, blended_error(cell, members, kind, seed), seconds))
    for name, seed, cell in read(args.over or args.folder):
        if args.over and set(base) <= set(cell.test):
            seconds = sum(cell.seconds[member] for member in base)
            rows.append((name, seed, "over", blended_error(cell, base, args.blend, seed), seconds))
    found = pd.DataFrame(rows, columns=["dataset", "seed", "variant", "error", "seconds"])
    print(table_of(found, list(variants), "over" if args.over else "members").round(4).to_string(index=False))


def table_of(found: pd.DataFrame, variants: list[str], base: str) -> pd.DataFrame:
    """Geometric means over sets; the halves are every other set, in the order of their names."""
    errors = found.pivot_table(index=["dataset", "seed"], columns="variant", values="error")
    seconds = found.pivot_table(index=["dataset", "seed"], columns="variant", values="seconds")
    by_set = np.log(errors.div(errors[base], axis=0)).groupby("dataset").mean()
    rows = []
    for label in variants:
        ratio = by_set[label].dropna()
        first, second = (np.exp(ratio.reindex(by_set.index[start::2]).mean()) for start in (0, 1))
        rows.append(
            {
                "variant": label,
                "sets": len(ratio),
                "error over members": np.exp(ratio.mean()),
                "standard error": ratio.sem(),
                "one half": first,
                "other half": second,
                "better on": int((ratio < 0).sum()),
                "seconds over members": (seconds[label] / seconds[base]).mean(),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    fits = commands.add_parser("margins")
    fits.set_defaults(action=margins)
    fits.add_argument("--data", type=Path, help="folder of Parquet files with an index.json")
    fits.add_argument("--sets", nargs="*", default=[])
    fits.add_argument("--seeds", nargs="*", type=int, default=[0])
    fits.add_argument("--train-rows", type=int, default=MOST_TRAIN, help="at most")
    fits.add_argument("--folds", type=int, default=5)
    fits.add_argument("--members", nargs="*", choices=sorted(CANDIDATES), default=list(CANDIDATES))
    fits.add_argument("--features", action="store_true", help="a FeatureBuilder in front of all, whatever the rows")
    fits.add_argument("--out", type=Path, default=Path("margins"))
    fits.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    blends = commands.add_parser("study")
    blends.set_defaults(action=study)
    blends.add_argument("folder", type=Path)
    blends.add_argument("--over", type=Path, help="margins of other folds, whose blend of the members all is over")
    blends.add_argument("--members", nargs="+", default=[name for name, _ in default_members(classification=True)])
    blends.add_argument("--blend", default="greedy", choices=["greedy", "nonnegative", "mean"])
    args = parser.parse_args()
    args.action(args)


if __name__ == "__main__":
    main()
