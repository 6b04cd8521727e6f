"""Writes model files of this version, which later versions must load, and what the models say.

``PYTHONPATH=tests python tests/persistence/make_models.py`` adds those that are not there yet: a file that was released
stays as it is.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from _models import estimator, lasting_table, members, numbers
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from torch import nn

import hybridlearn as hl
from hybridlearn.persistence import save

MODELS = Path(__file__).parent / "models"


def models() -> dict[str, Any]:
    net = ("net", estimator(hl.TabularMLPClassifier, "two"))
    forest, neighbours = ExtraTreesClassifier(3, max_depth=3, random_state=0), KNeighborsClassifier(3)
    encoder = hl.TableEncoder(encode="onehot")
    strangers = [("forest", make_pipeline(encoder, forest)), ("neighbours", make_pipeline(encoder, neighbours))]
    families = ("TabularMLP", "TabularResNet", "FTTransformer", "TabM", "JointNet", "BoostedTrees", "Concat")
    ensembles = ("HybridBagging", "HybridBoosting", "HybridStacking")
    return {
        "Hybrid": hl.HybridClassifier(estimators=[*members("two"), net], cv=2, random_state=0),
        "strangers": hl.HybridClassifier(estimators=strangers, cv=2, random_state=0),
        "pipeline": members("two")[1][1],
        "Module": hl.ModuleClassifier(
            module=nn.Linear, module_params={"in_features": 2, "out_features": 1}, max_epochs=2, random_state=0
        ),
        **{name: estimator(getattr(hl, f"{name}Classifier"), "two") for name in (*families, *ensembles)},
    }


def main() -> None:
    X, y = lasting_table()
    said = MODELS / "margins.json"
    margins = json.loads(said.read_text()) if said.exists() else {}
    for name, model in models().items():
        path = MODELS / f"{name}.hybrid"
        if path.exists():
            continue
        table = numbers(X) if name == "Module" else X
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            save(model.fit(table, y), path)
        margins[name] = hl.margin(model, table[:12]).round(9).tolist()
    said.write_text(json.dumps(margins, indent=1) + "\n")


if __name__ == "__main__":
    MODELS.mkdir(exist_ok=True)
    main()
