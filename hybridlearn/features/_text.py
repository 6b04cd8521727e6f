"""Columns of text as a few numbers: hashed n-grams, and the directions in which they vary most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.pipeline import Pipeline, make_pipeline

from hybridlearn.features._levels import Unsupervised
from hybridlearn.features._seen import Guide, Seen, is_text
from hybridlearn.table import Column

_N_DIRECTIONS = 16
_N_HASHES = 2**14
# Texts by which the directions are found.
_MOST_TEXTS = 20_000


class Texts(Unsupervised):
    """Of each column of text: TF-IDF of hashed n-grams of letters and words, as a few singular directions."""

    def fit(self, seen: Seen, guide: Guide) -> Self:
        """As in :class:`Family`."""
        self._columns = [i for i, column in enumerate(seen.schema.columns) if is_text(column)]
        self._models = {i: self._learned(seen.schema.columns[i], guide.seed) for i in self._columns}
        self.names = [
            f"text{k}({seen.schema.columns[i].name})" for i in self._columns for k in range(_width(self._models[i]))
        ]
        return self

    @staticmethod
    def _learned(column: Column, seed: int) -> Pipeline:
        texts = np.array(column.levels, dtype=object)
        if len(texts) > _MOST_TEXTS:
            texts = np.random.RandomState(seed).choice(texts, _MOST_TEXTS, replace=False)
        n_directions = min(_N_DIRECTIONS, len(texts) - 1)
        model = make_pipeline(
            HashingVectorizer(analyzer="char_wb", ngram_range=(3, 4), n_features=_N_HASHES, alternate_sign=False),
            TfidfTransformer(sublinear_tf=True),
            TruncatedSVD(n_directions, random_state=seed),
        )
        with np.errstate(invalid="ignore"):
            # texts of blanks and signs do not vary at all
            return model.fit(texts)

    def columns(self, seen: Seen) -> Iterator[np.ndarray]:
        """As in :class:`Family`."""
        for i in self._columns:
            # a text is worked on once, however often it comes
            codes, texts = pd.factorize(seen.X.iloc[:, i])
            model = self._models[i]
            directions = np.full((len(texts) + 1, _width(model)), np.nan)
            if len(texts):
                directions[:-1] = model.transform([str(text) for text in texts])
            # the last slot serves code -1: a missing text stays missing
            yield from directions[codes].T


def _width(model: Any) -> int:
    return model[-1].n_components
