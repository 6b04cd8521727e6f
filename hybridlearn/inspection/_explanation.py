"""What :func:`explain` finds: values that sum to a margin, as tables and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import is_classifier

from hybridlearn._extras import require
from hybridlearn.inspection import _plots


@dataclass(frozen=True, eq=False)
class Explanation:
    """Shapley values of a model's margin.

    Attributes
    ----------
    values : ndarray of shape (n_rows, n_columns) or, of more than two classes, (n_rows, n_columns, n_classes)
        What each column adds to the margin: log-odds of the second class, centred log-probabilities, or units of the
        target.
    base_values : float or ndarray of shape (n_classes,)
        Mean margin over the background.
    margins : ndarray of shape (n_rows,) or (n_rows, n_classes)
        Of the rows: ``base_values`` plus the sum of ``values`` over the columns.
    feature_names : list of str
    data : DataFrame of shape (n_rows, n_columns)
        The rows.
    by_member : dict of str to ndarray of the shape of ``values``
        Of a hybrid, what each member gives, its weight included; they sum to ``values``. Empty of other models.
    methods : dict of str to str
        How the values of each member were found: "trees", "linear", "net" (exact, exact, rescale rule) or
        "permutations"; of a model that is no hybrid, under "".
    predictions : DataFrame of n_rows rows
        Of a classifier ``prediction`` and the probability of each class, else ``prediction``: calibration and
        threshold, which come behind the margin, change neither its order nor its parts.
    class_names : list of str
        Of more than two classes (of several labels or targets, these), in the order of the last axis of ``values``;
        else empty.
    """

    values: np.ndarray
    base_values: Any
    margins: np.ndarray
    feature_names: list[str]
    data: pd.DataFrame
    by_member: dict[str, np.ndarray] = field(repr=False)
    methods: dict[str, str]
    predictions: pd.DataFrame = field(repr=False)
    class_names: list[str]

    @classmethod
    def of(
        cls,
        model: Any,
        table: Any,
        names: list[str],
        margins: np.ndarray,
        base: np.ndarray,
        values: dict[str, np.ndarray],
        methods: dict[str, str],
    ) -> Self:
        """Put together what the parts of a model give: each of shape (n_rows, n_columns, n_outputs)."""
        is_one, mean = margins.shape[1] == 1, base.mean(axis=0)
        labels = model.classes_ if is_classifier(model) else range(margins.shape[1])

        def plain(array: np.ndarray) -> np.ndarray:
            return array[..., 0] if is_one else array

        predicted = pd.DataFrame(np.asarray(model.predict(table)).reshape(len(margins), -1))
        is_several = predicted.shape[1] > 1
        predicted.columns = [f"prediction of {label}" for label in labels] if is_several else ["prediction"]
        if is_classifier(model):
            predicted[[f"probability of {label}" for label in labels]] = model.predict_proba(table)
        return cls(
            values=plain(np.sum(list(values.values()), axis=0)),
            base_values=float(mean[0]) if is_one else mean,
            margins=plain(margins),
            feature_names=names,
            data=pd.DataFrame(np.asarray(table), columns=names) if not isinstance(table, pd.DataFrame) else table,
            by_member={name: plain(own) for name, own in values.items() if name},
            methods=methods,
            predictions=predicted,
            class_names=[] if is_one else [str(label) for label in labels],
        )

    def __len__(self) -> int:
        return len(self.values)

    def check_additivity(self) -> float:
        """The largest difference, over the rows, between a margin and what its parts sum to.

        Returns
        -------
        float
            In units of the margin.
        """
        return float(np.abs(self.base_values + self.values.sum(axis=1) - self.margins).max(initial=0.0))

    @property
    def frame(self) -> pd.DataFrame:
        """One row a row and column (and class): ``row``, ``column``, ``value``, ``contribution``."""
        n_rows, n_columns = self.values.shape[:2]
        facts = {
            "row": np.repeat(np.arange(n_rows), n_columns),
            "column": np.tile(self.feature_names, n_rows),
            "value": self.data.astype(object).to_numpy().ravel(),
        }
        if not self.class_names:
            return pd.DataFrame({**facts, "contribution": self.values.ravel()})
        parts = [
            pd.DataFrame({**facts, "class": label, "contribution": self.values[:, :, k].ravel()})
            for k, label in enumerate(self.class_names)
        ]
        return pd.concat(parts, ignore_index=True)

    @property
    def ranking(self) -> pd.Series:
        """Mean absolute contribution of each column, the largest first."""
        sizes = np.abs(self.values).reshape(len(self), len(self.feature_names), -1).mean(axis=(0, 2))
        ranking = pd.Series(sizes, index=pd.Index(self.feature_names, name="column"), name="mean |contribution|")
        return ranking.sort_values(ascending=False, kind="stable")

    @property
    def toward_prediction(self) -> np.ndarray:
        """What each column says for what is predicted, against the background: shape (n_rows, n_columns).

        Of more than two classes, its contribution to the class of the largest margin; else to the way that the margin
        goes from the base, up or down.
        """
        if self.class_names:
            return np.take_along_axis(self.values, self.margins.argmax(axis=1)[:, None, None], axis=2)[..., 0]
        return self.values * np.sign(self.margins - self.base_values)[:, None]

    def plot(
        self,
        kind: str = "beeswarm",
        *,
        row: int = 0,
        column: str | None = None,
        label: Any = None,
        max_columns: int = 12,
        ax: Any = None,
    ) -> Any:
        """Draw the explanation of one row, of all, or of one column.

        Parameters
        ----------
        kind : {"beeswarm", "waterfall", "dependence"}, default="beeswarm"
            All rows, a dot each, of the columns that matter most; one `row`, from the base to its margin; or what
            `column` adds by its value.
        row : int, default=0
            Position among the rows, for "waterfall".
        column : str, optional
            For "dependence"; default: the first of ``ranking``.
        label : class, optional
            Of more than two; default: the last.
        max_columns : int, default=12
            The others are summed up in a waterfall, and left out of a beeswarm.
        ax : matplotlib Axes, optional
            Default: new axes.

        Returns
        -------
        matplotlib Axes
        """
        if kind not in _plots.KINDS:
            raise ValueError(f"kind must be one of {sorted(_plots.KINDS)}, got {kind!r}")
        picture = _plots.Picture.of(self, label, max_columns, ax)
        return _plots.KINDS[kind](picture, row=row, column=column)

    def to_shap(self) -> Any:
        """As :class:`shap.Explanation`, for its plots."""
        shap = require("shap", purpose="Explanation.to_shap")
        base = np.tile(self.base_values, (len(self), 1) if self.class_names else len(self))
        names = {"feature_names": self.feature_names, "output_names": self.class_names or None}
        return shap.Explanation(self.values, base_values=base, data=self.data.to_numpy(), **names)
