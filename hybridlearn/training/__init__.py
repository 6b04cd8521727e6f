"""The trainer: skorch on tensors that stay on the device."""

from hybridlearn.training._batches import TensorBatches, TensorTable
from hybridlearn.training._net import DivergedError, WeightedNet
from hybridlearn.training._together import train_together
from hybridlearn.training._train import History, Moments, Task, Trained, TrainingSettings, infer, train

__all__ = [
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
    "train",
    "train_together",
]
