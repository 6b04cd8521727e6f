"""What resampling does to a classifier of rare classes, before and after its margin is put right; MixedSMOTE's speed.

Without a bench folder ``run`` takes the mortgages, which come with a package. With one, splits are those of its
``peers.py``, which is not part of this project. Each set and seed is a process of one thread; a line of JSON a system
is appended to the output, and what is there is not run again.

    python benchmarks/imbalance.py run --out imbalance.jsonl
    python benchmarks/imbalance.py run --bench ../shared/bench --data ../shared/data/dev --out imbalance.jsonl
    python benchmarks/imbalance.py report imbalance.jsonl
    python benchmarks/imbalance.py thresholds --bench ... --data ...   plain learning, threshold tuned: mammography
    python benchmarks/imbalance.py detect --bench ... --data ...       can trees tell synthetic rows from real ones?
    python benchmarks/imbalance.py speed                               MixedSMOTE beside imbalanced-learn's
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from ensembles import command_line, done, keep, load_split, read_lines, run_each
from imblearn.over_sampling import SMOTE, SMOTENC
from scipy.special import expit
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, log_loss, roc_auc_score
from sklearn.model_selection import cross_val_predict

import hybridlearn as hl

SETS = ("mammography", "sick", "oil_spill", "amazon_employee", "bank_marketing", "default_credit")
MIXED_SETS = ("adult", "bank_marketing", "credit_g", "sick", "heloc", "default_credit")
SEEDS = range(5)
OVER = ("over", "smote")


def systems(seed: int) -> dict[str, Any]:
    """Boosted trees, cross-fitted alike, unfitted."""
    alone = [("trees", hl.BoostedTreesClassifier())]
    resampled = {
        name: hl.ResampledClassifier(sampler=name, random_state=seed) for name in ("weights", "under", "over", "smote")
    }
    return {
        "plain": hl.HybridClassifier(estimators=alone, final_estimator="mean", random_state=seed),
        **resampled,
        "under-bagging": hl.UnderBaggingClassifier(random_state=seed),
        "by chance": hl.UnderBaggingClassifier(self_paced=False, random_state=seed),
    }


def scores(y: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    return {
        "auc": float(roc_auc_score(y, probability)),
        "ap": float(average_precision_score(y, probability)),
        "log_loss": float(log_loss(y, np.clip(probability, 1e-6, 1 - 1e-6))),
    }


def uncorrected(model: Any, X: pd.DataFrame) -> np.ndarray:
    """Probability of the second class as the resampled learners have it."""
    (models,) = model.models_.values()
    return expit(np.mean([replace(each, shift=None).margin(X)[:, 0] for each in models], axis=0))


def run_one(args: argparse.Namespace, name: str, seed: int) -> None:
    split = load_split(args, name, seed)
    for system, model in systems(seed).items():
        if (args.systems and system not in args.systems) or (name, seed, system) in done(args.out):
            continue
        started = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(split.X, split.y)
            seconds = time.process_time() - started
            after = scores(split.y_test, model.predict_proba(split.X_test)[:, 1])
            before = scores(split.y_test, uncorrected(model, split.X_test))
        line = {"dataset": name, "seed": seed, "system": system, "cpu_seconds": seconds}
        line |= {"before": before["log_loss"], "after": after["log_loss"], "auc": after["auc"], "ap": after["ap"]}
        keep(args.out, line)


def run(args: argparse.Namespace) -> None:
    run_each(__file__, run_one, args.sets or (["mortgages"] if args.bench is None else SETS), args)


def standard_error(values: pd.Series) -> float:
    return float(values.std() / np.sqrt(len(values)))


def report(args: argparse.Namespace) -> None:
    """Log loss over that of plain learning, before and after correction, and where that did not help."""
    lines = read_lines(args).set_index(["dataset", "seed"])
    plain = lines[lines["system"] == "plain"]
    print(f"{'system':16}{'before':>17}{'after':>17}{'AUC - plain':>20}  log loss not lowered, though raised, on")
    for system, own in lines.groupby("system", sort=False):
        if system == "plain":
            continue
        ratios = {when: np.log(own[when] / plain["after"]).dropna() for when in ("before", "after")}
        row = f"{system:16}"
        for ratio in ratios.values():
            by_seed = np.exp(ratio.groupby("seed").mean())
            row += f"{by_seed.mean():9.3f} ± {standard_error(by_seed):.3f}"
        gain = (own["auc"] - plain["auc"]).dropna().groupby("seed").mean()
        row += f"{gain.mean():12.4f} ± {standard_error(gain):.4f}"
        print(f"{row}  {', '.join(not_mended(own, plain)) or '-'}")
    for when in ("before", "after"):
        table = lines.groupby(["dataset", "system"], sort=False)[when].mean().unstack("system")
        print(f"\nlog loss {when} correction\n{table.round(4).to_string()}")
    table = lines.groupby(["dataset", "system"], sort=False)["auc"].mean().unstack("system")
    print(f"\nAUC\n{table.round(4).to_string()}")


def not_mended(own: pd.DataFrame, plain: pd.DataFrame) -> list[str]:
    """Sets where resampling raised the log loss by more than a standard error, and correction did not lower it."""
    found = []
    for name, cells in own.groupby("dataset"):
        raised = cells["before"] - plain["after"].loc[[name]]
        if raised.mean() > standard_error(raised) and cells["after"].mean() >= cells["before"].mean():
            found.append(str(name))
    return found


def thresholds(args: argparse.Namespace) -> None:
    """F1 and balanced accuracy of plain learning with the threshold tuned out of fold, 10 seeds."""
    found: dict[str, list[float]] = {"f1": [], "balanced_accuracy": []}
    measures = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score}
    for seed in range(10):
        split = load_split(args, "mortgages" if args.bench is None else "mammography", seed)
        for name, values in found.items():
            model = systems(seed)["plain"].set_params(threshold=name).fit(split.X, split.y)
            values.append(float(measures[name](split.y_test, model.predict(split.X_test))))
    for name, values in found.items():
        print(f"{name:20}{np.mean(values):.3f} ± {standard_error(pd.Series(values)):.3f}")


# synthetic rows


def detector_auc(real: pd.DataFrame, synthetic: pd.DataFrame, seed: int) -> float:
    """How well boosted trees tell them apart on rows that they have not seen."""
    X = pd.concat([real, synthetic], ignore_index=True)
    y = np.repeat([0, 1], [len(real), len(synthetic)])
    trees = hl.BoostedTreesClassifier(n_estimators=100, learning_rate=0.1, early_stopping=False, random_state=seed)
    with warnings.catch_warnings():
        # of levels that one fold alone holds
        warnings.simplefilter("ignore")
        return float(roc_auc_score(y, cross_val_predict(trees, X, y, cv=5, method="predict_proba")[:, 1]))


def synthetic_rows(sampler: Any, X: pd.DataFrame, y: np.ndarray) -> pd.DataFrame:
    """As many new rows of the rarest class as there are real ones."""
    rarest = int(np.argmin(np.bincount(y)))
    sampler.set_params(sampling_strategy={rarest: 2 * int((y == rarest).sum())})
    return sampler.fit_resample(X, y)[0].iloc[len(X) :]


def imputed(X: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Medians and most frequent categories for what is missing, as SMOTENC needs it; and the categorical columns."""
    numbers = X.select_dtypes("number").columns.tolist()
    categories = [name for name in X.columns if name not in numbers]
    impute = make_column_transformer(
        (SimpleImputer(strategy="median"), numbers),
        (SimpleImputer(strategy="most_frequent"), categories),
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    filled = impute.fit_transform(X.astype(dict.fromkeys(categories, object)))
    whole = {name: X[name].dtype for name in numbers if pd.api.types.is_integer_dtype(X[name].dtype)}
    return filled[X.columns].astype(dict.fromkeys(categories, "category") | whole), categories


def detect(args: argparse.Namespace) -> None:
    """AUC of a detector (less is better), rows equal to real ones, and what became of the columns."""
    print(f"{'table':18}{'MixedSMOTE':>18}{'SMOTENC':>18}{'copies':>9}{'by chance':>11}  columns")
    for name in args.sets or (["mortgages"] if args.bench is None else MIXED_SETS):
        ours, theirs, copies, chance = [], [], [], []
        kept = True
        for seed in args.seeds:
            split = load_split(args, name, seed)
            X, y = split.X.reset_index(drop=True), split.y
            real = X[y == np.argmin(np.bincount(y))]
            new = synthetic_rows(hl.MixedSMOTE(random_state=seed), X, y)
            kept = kept and is_alike(X, new)
            ours.append(detector_auc(real, new, seed))
            copies.append(share_known(new, real))
            # real rows that another real one equals: what chance alone gives
            chance.append(float(real.duplicated(keep=False).mean()))
            filled, categories = imputed(X)
            smotenc = SMOTENC(categorical_features=categories, random_state=seed)
            theirs.append(detector_auc(real, synthetic_rows(smotenc, filled, y), seed))
        row = f"{name:18}"
        for values in (ours, theirs):
            row += f"{np.mean(values):10.4f} ± {standard_error(pd.Series(values)):.4f}"
        print(f"{row}{np.mean(copies):9.4f}{np.mean(chance):11.4f}  {'unchanged' if kept else 'CHANGED'}", flush=True)


def is_alike(X: pd.DataFrame, new: pd.DataFrame) -> bool:
    """Dtypes, categories and names are those of `X`, and whole numbers are whole."""
    same = (X.dtypes == new.dtypes).all() and list(X.columns) == list(new.columns)
    for name in X.columns:
        if isinstance(X[name].dtype, pd.CategoricalDtype):
            same = same and X[name].cat.categories.equals(new[name].cat.categories)
        elif pd.api.types.is_float_dtype(X[name].dtype):
            whole = (X[name].dropna() % 1 == 0).all()
            same = same and (not whole or bool((new[name].dropna() % 1 == 0).all()))
    return bool(same)


def share_known(new: pd.DataFrame, real: pd.DataFrame) -> float:
    both = pd.concat([real, new], ignore_index=True)
    return float(both.duplicated(keep="first").iloc[len(real) :].mean())


def speed(args: argparse.Namespace) -> None:
    """Median seconds of 5 turns side by side, 50,000 rows of 20 columns."""
    rng = np.random.RandomState(0)
    numbers = rng.randn(50_000, 20)
    mixed = pd.DataFrame(numbers[:, :10], columns=[f"n{i}" for i in range(10)])
    for i, n_levels in enumerate([2, 3, 4, 5, 6, 8, 10, 20, 50, 100]):
        mixed[f"c{i}"] = pd.Categorical(rng.randint(n_levels, size=len(mixed)).astype(str))
    theirs = {"numbers": SMOTE(), "mixed": SMOTENC(categorical_features=[f"c{i}" for i in range(10)])}
    print(f"{'columns':10}{'rare':>7}{'MixedSMOTE':>12}{'imblearn':>10}{'ratio':>8}")
    for (kind, X), share in product({"numbers": numbers, "mixed": mixed}.items(), (0.05, 0.2, 0.4)):
        y = (rng.uniform(size=len(X)) < share).astype(int)
        turns = [
            [seconds(s.set_params(random_state=0), X, y) for s in (hl.MixedSMOTE(), theirs[kind])] for _ in range(5)
        ]
        ours, other = np.median(turns, axis=0)
        print(f"{kind:10}{share:7.2f}{ours:12.2f}{other:10.2f}{ours / other:8.2f}", flush=True)


def seconds(sampler: Any, X: Any, y: np.ndarray) -> float:
    started = time.perf_counter()
    sampler.fit_resample(X, y)
    return time.perf_counter() - started


if __name__ == "__main__":
    command_line(__doc__, (run, report, thresholds, detect, speed), seeds=SEEDS, out="imbalance.jsonl")
