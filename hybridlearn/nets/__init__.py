"""Estimators that have a net."""

from hybridlearn.nets._additive import AdditiveNetClassifier, AdditiveNetRegressor
from hybridlearn.nets._ft_transformer import FTTransformerClassifier, FTTransformerRegressor
from hybridlearn.nets._joint import JointNetClassifier, JointNetRegressor
from hybridlearn.nets._mlp import TabularMLPClassifier, TabularMLPRegressor
from hybridlearn.nets._module import ModuleClassifier, ModuleRegressor
from hybridlearn.nets._resnet import TabularResNetClassifier, TabularResNetRegressor
from hybridlearn.nets._search_space import search_space
from hybridlearn.nets._tabm import TabMClassifier, TabMRegressor

__all__ = [
    "AdditiveNetClassifier",
    "AdditiveNetRegressor",
    "FTTransformerClassifier",
    "FTTransformerRegressor",
    "JointNetClassifier",
    "JointNetRegressor",
    "ModuleClassifier",
    "ModuleRegressor",
    "TabMClassifier",
    "TabMRegressor",
    "TabularMLPClassifier",
    "TabularMLPRegressor",
    "TabularResNetClassifier",
    "TabularResNetRegressor",
    "search_space",
]
