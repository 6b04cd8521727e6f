"""What a fitted model has learned: explanations, importances, surrogates, each with a number to trust it by."""

from hybridlearn.inspection._attention import AttentionMaps, attention_maps
from hybridlearn.inspection._explain import explain
from hybridlearn.inspection._explanation import Explanation
from hybridlearn.inspection._faithfulness import Faithfulness, faithfulness
from hybridlearn.inspection._importance import Importance, importance
from hybridlearn.inspection._surrogate import Surrogate, surrogate

__all__ = [
    "AttentionMaps",
    "Explanation",
    "Faithfulness",
    "Importance",
    "Surrogate",
    "attention_maps",
    "explain",
    "faithfulness",
    "importance",
    "surrogate",
]
