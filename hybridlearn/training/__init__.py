"""The trainer: skorch on tensors that stay on the device."""

from hybridlearn.training._adversarial import ENDS, Adversary, layers_of_net
from hybridlearn.training._batches import TensorBatches, TensorTable
from hybridlearn.training._infer import infer
from hybridlearn.training._load import load_optimiser
from hybridlearn.training._net import DivergedError, WeightedNet
from hybridlearn.training._together import program_size, train_together
from hybridlearn.training._train import History, Moments, Task, Trained, TrainingSettings, train

__all__ = [
    "ENDS",
    "Adversary",
    "DivergedError",
    "History",
    "Moments",
    "Task",
    "TensorBatches",
    "TensorTable",
    "Trained",
    "TrainingSettings",
    "WeightedNet",
    "infer",
    "layers_of_net",
    "load_optimiser",
    "program_size",
    "train",
    "train_together",
]
