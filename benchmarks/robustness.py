"""Robustness in figures: nets, trees and hybrids clean, attacked and certified; guards; selective prediction; speed.

Rows are attacked with numbers free to move by ``--eps`` robust standard deviations of their columns (of breast cancer:
by 0.02 of the range), all else staying as it is. ``sound`` counts rows that a certificate covers and an attack turns
all the same: there must be none. Tables and splits are those of accuracy.py.

    pip install 'hybridlearn[robust]'
    python benchmarks/robustness.py cancer
    python benchmarks/robustness.py tables --sets mortgages
    python benchmarks/robustness.py sound --sets mortgages wine
    python benchmarks/robustness.py guards --sets mortgages wine
    python benchmarks/robustness.py selective --sets mortgages wine
    python benchmarks/robustness.py speed
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from accuracy import MOST_TRAIN, index_of, load, packaged, parts_of, split_of
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

import hybridlearn as hl
from hybridlearn import FeatureConstraints, attack, certify

N_SEEDS = 5
# Of the guards' test: columns that are moved, and by how many standard deviations.
N_MOVED, FAR = 3, 5.0


def tables(args: argparse.Namespace, seed: int) -> Iterator[tuple[str, Any, Any, Any, Any]]:
    """Name, training rows, their target, test rows, their target: of the sets with classes."""
    for name in args.sets or list(packaged() if args.data is None else index_of(args.data)):
        table = load(name, args.data)
        if table.n_classes:
            train, test = split_of(table, seed, args.train_rows)
            X, X_test = parts_of(table, train, test)
            yield name, X, table.y[train], X_test.reset_index(drop=True), table.y[test]


def net(mode: str | None, eps: Any, seed: int) -> hl.TabularMLPClassifier:
    return hl.TabularMLPClassifier(
        hidden_layer_sizes=(128, 128), adversarial=mode, adversarial_eps=eps, random_state=seed
    )


def hybrid(mode: str | None, eps: Any, seed: int, resample: Any = None) -> hl.HybridClassifier:
    members = [("trees", hl.BoostedTreesClassifier()), ("net", net(mode, eps, seed))]
    return hl.HybridClassifier(estimators=members, cv=3, features=None, resample=resample, random_state=seed)


def models(eps: Any, seed: int) -> dict[str, Any]:
    return {
        "trees": hl.BoostedTreesClassifier(random_state=seed),
        "net": net(None, eps, seed),
        "net, pgd": net("pgd", eps, seed),
        "net, ibp": net("ibp", eps, seed),
        "hybrid": hybrid(None, eps, seed),
        "hybrid, ibp net": hybrid("ibp", eps, seed),
        "hybrid, ibp net, corners": hybrid("ibp", eps, seed, hl.CornerSampler(eps=eps)),
    }


def judged(model: Any, X: pd.DataFrame, y: np.ndarray, how: dict[str, Any], budget: int) -> dict[str, float]:
    found = attack(model, X, y, budget=budget, **how)
    certified = certify(model, X, y, **how).certified
    if (certified & found.success).any():
        raise AssertionError("an attack has turned a certified row")
    stands = found.attacked & ~found.success
    figures = {"clean": found.attacked.mean(), "attacked": stands.mean(), "certified": certified.mean()}
    if len(model.classes_) == 2:
        figures["AUC"] = roc_auc_score(y, model.predict_proba(X)[:, 1])
    figures["fell"] = 1 - stands.sum() / max(found.attacked.sum(), 1)
    return {name: float(figure) for name, figure in figures.items()}


def summed_up(rows: list[dict[str, Any]], by: list[str]) -> pd.DataFrame:
    """Means over seeds, and their standard errors."""
    groups = pd.DataFrame(rows).drop(columns="seed").groupby(by, sort=False)
    return groups.mean().join(groups.sem().add_suffix(" ±")).reset_index()


def cancer(args: argparse.Namespace) -> pd.DataFrame:
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X = (X - X.min()) / (X.max() - X.min())
    how = {"eps": dict.fromkeys(X, 0.02)}
    rows = []
    for seed in range(N_SEEDS):
        train, test = train_test_split(np.arange(len(X)), stratify=y, random_state=seed)
        for name, model in models(how["eps"], seed).items():
            fitted = model.fit(X.iloc[train], y.iloc[train])
            figures = judged(fitted, X.iloc[test], y.iloc[test].to_numpy(), how, args.budget)
            rows.append({"model": name, "seed": seed, **figures})
    return summed_up(rows, ["model"])


def compare(args: argparse.Namespace) -> pd.DataFrame:
    rows = []
    for seed in range(args.seeds):
        for name, X, y, X_test, y_test in tables(args, seed):
            some = np.random.default_rng(seed).permutation(len(X_test))[: args.rows]
            how = {"constraints": FeatureConstraints(scale=FeatureConstraints.from_data(X).scale)}
            for eps in args.eps:
                wanted = {kind: model for kind, model in models(eps, seed).items() if kind in args.models}
                for kind, model in wanted.items():
                    fitted = model.fit(X, y)
                    figures = judged(fitted, X_test.iloc[some], y_test[some], how | {"eps": eps}, args.budget)
                    rows.append({"set": name, "eps": eps, "model": kind, "seed": seed, **figures})
                    print(rows[-1], flush=True)
    return summed_up(rows, ["set", "eps", "model"])


def sound(args: argparse.Namespace) -> pd.DataFrame:
    """Certified under attacked under clean, row by row; the attack has ten times the usual budget."""
    rows = []
    for name, X, y, X_test, y_test in tables(args, 0):
        constraints = FeatureConstraints(scale=FeatureConstraints.from_data(X).scale)
        model = hybrid("ibp", min(args.eps), 0).fit(X, y)
        some = np.random.default_rng(0).permutation(len(X_test))[: args.rows]
        part, target = X_test.iloc[some], y_test[some]
        for eps in args.eps:
            how: dict[str, Any] = {"eps": eps, "constraints": constraints}
            found = attack(model, part, target, budget=10 * args.budget, **how)
            certificate = certify(model, part, target, **how)
            broken = certificate.certified & found.success
            over = found.attacked & (found.ahead < certificate.margin_lower)
            facts = {"set": name, "eps": eps, "rows": len(part), "certified": int(certificate.certified.sum())}
            facts |= {"stand": int((found.attacked & ~found.success).sum()), "right": int(found.attacked.sum())}
            rows.append(facts | {"broken": int(broken.sum()), "margins below their bound": int(over.sum())})
            print(rows[-1], flush=True)
    return pd.DataFrame(rows)


def guards(args: argparse.Namespace) -> pd.DataFrame:
    rows = []
    for seed in range(N_SEEDS):
        for name, X, y, X_test, y_test in tables(args, seed):
            trees = hl.BoostedTreesClassifier(n_estimators=50, early_stopping=False, random_state=seed)
            model = hl.GuardedClassifier(estimator=trees, guard=args.guard, random_state=seed).fit(X, y)
            few = X_test[: args.rows]
            numbers = few.select_dtypes("number").columns
            chosen = np.random.default_rng(seed).permutation(numbers)[:N_MOVED]
            deviation = X[chosen].std()
            moved = few.assign(**{column: few[column] + FAR * deviation[column] for column in chosen})
            p_value, p_moved = model.p_values(few), model.p_values(moved)
            attacked = attack(model.estimator_, few[:300], y_test[:300], eps=0.3, budget=50)
            changed = attacked.X_adversarial.iloc[np.flatnonzero(attacked.success)]
            told = np.concatenate([p_value, p_moved])
            facts = {"flagged": (p_value <= model.alpha).mean(), "flagged of moved": (p_moved <= model.alpha).mean()}
            facts["AUROC"] = roc_auc_score(np.repeat([1, 0], len(few)), told)
            facts["flagged of adversarial"] = (
                (model.p_values(changed) <= model.alpha).mean() if len(changed) else np.nan
            )
            spread = model.alpha * (1 - model.alpha) * (1 / len(few) + 1 / len(X))
            rows.append({"set": name, "seed": seed, **facts, "most": model.alpha + 3 * np.sqrt(spread / N_SEEDS)})
    return summed_up(rows, ["set"])


def selective(args: argparse.Namespace) -> pd.DataFrame:
    rows = []
    for seed in range(args.seeds):
        for name, X, y, X_test, y_test in tables(args, seed):
            trees = hl.BoostedTreesClassifier(random_state=seed)
            model = hl.SelectiveClassifier(estimator=trees, random_state=seed).fit(X, y)
            found = model.predict_with_rejection(X_test)
            right = found.y_pred == y_test
            facts = {"accuracy": right.mean(), "of accepted": right[found.accepted].mean()}
            rows.append({"set": name, "seed": seed, "accepted": found.accepted.mean(), **facts})
    return summed_up(rows, ["set"])


def speed(args: argparse.Namespace) -> pd.DataFrame:
    """A certificate of 300 trees of depth 6 and a net of 2 x 128; an attack of 1,000 mixed rows by descent."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(4000, 8)), columns=[f"x{i}" for i in range(8)])
    X = X.assign(**{f"c{i}": rng.choice(list("abcdef"), 4000) for i in range(6)})
    y = (X["x0"] + X["x1"] * X["x2"] + (X["c0"] == "a") + rng.normal(size=4000) > 0).astype(int).to_numpy()
    trees = hl.BoostedTreesClassifier(n_estimators=300, max_depth=6, early_stopping=False)
    mlp = hl.TabularMLPClassifier(hidden_layer_sizes=(128, 128), max_epochs=10)
    fitted = {name: clone(model).fit(X[2000:], y[2000:]) for name, model in (("trees", trees), ("net", mlp))}
    frozen = [(name, FrozenEstimator(model)) for name, model in fitted.items()]
    both = hl.HybridStackingClassifier(estimators=frozen, cv="prefit", final_estimator="nonnegative")
    both.fit(X[:2000], y[:2000])
    rows = []
    for name, act in {
        "certify, ms a row": lambda: certify(both, X[:256], eps=0.1),
        "certify by intervals, ms a row": lambda: certify(both, X[:256], eps=0.1, method="intervals"),
        "attack of the net by descent, ms a row": lambda: attack(fitted["net"], X[:1000], eps=0.3, method="pgd"),
    }.items():
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            act()
            seconds.append(time.perf_counter() - started)
        n_rows = 1000 if "attack" in name else 256
        rows.append({"what": name, "median of three": 1000 * float(np.median(seconds)) / n_rows})
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, action in {
        "cancer": cancer,
        "tables": compare,
        "sound": sound,
        "guards": guards,
        "selective": selective,
        "speed": speed,
    }.items():
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        command.add_argument("--data", type=Path, help="folder of Parquet files with an index.json")
        command.add_argument("--sets", nargs="*", default=[])
        command.add_argument("--seeds", type=int, default=3)
        command.add_argument("--train-rows", type=int, default=MOST_TRAIN, help="at most")
        command.add_argument("--rows", type=int, default=300, help="of the test part that are attacked")
        command.add_argument("--eps", nargs="*", type=float, default=[0.1, 0.3])
        command.add_argument("--budget", type=int, default=200)
        command.add_argument("--guard", default="lof")
        command.add_argument("--models", nargs="*", default=list(models(0.1, 0)), help="of tables")
    args = parser.parse_args()
    print(args.action(args).to_markdown(index=False, floatfmt=".4g"))


if __name__ == "__main__":
    main()
