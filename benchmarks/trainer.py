"""CPU time of one epoch: our trainer, a hand-written torch loop and stock skorch, side by side.

The same module (periodic embeddings, two hidden layers of 256), data (20,000 x 30, binary), batches (256) and
optimiser (AdamW), one thread; the three take turns, and the median of five turns is quoted.

    python benchmarks/trainer.py
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import skorch
import torch
from torch import Tensor, nn

from hybridlearn.modules import MLP, CategoricalEmbedding, CrossEntropy, PeriodicEmbedding, TableEmbedding, TabularNet
from hybridlearn.training import TensorTable, TrainingSettings, train

N_ROWS, N_COLUMNS, WIDTH, BATCH_SIZE = 20_000, 30, 256, 256
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2


def make_data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(N_ROWS, N_COLUMNS, generator=generator)
    y = (X[:, 0] * X[:, 1] + X[:, 2] + torch.randn(N_ROWS, generator=generator) > 0).float()
    return X, y.unsqueeze(1)


def make_module() -> TabularNet:
    embedding = TableEmbedding(PeriodicEmbedding(N_COLUMNS), CategoricalEmbedding([]))
    return TabularNet(embedding, MLP(4 * N_COLUMNS, hidden_layer_sizes=(WIDTH, WIDTH)), nn.Linear(WIDTH, 1))


class OneInput(nn.Module):
    """The module for stock skorch, which would collate a second, empty input row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = make_module()

    def forward(self, X: Tensor) -> Tensor:
        return self.inner(X, torch.empty(len(X), 0, dtype=torch.int64))


def ours(X: Tensor, y: Tensor, n_epochs: int) -> None:
    table = TensorTable({"x_num": X, "x_cat": torch.empty(len(X), 0, dtype=torch.int64)}, y, torch.ones(len(X)))
    settings = TrainingSettings(
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        l1=0.0,
        gradient_clipping=math.inf,
        weight_averaging=0.0,
        batch_size=BATCH_SIZE,
        max_epochs=n_epochs,
        n_iter_no_change=n_epochs,
        seed=0,
        device=torch.device("cpu"),
    )
    train(make_module, CrossEntropy(), table, None, settings)


def torch_loop(X: Tensor, y: Tensor, n_epochs: int) -> None:
    module, loss = make_module().train(), nn.BCEWithLogitsLoss()
    codes = torch.empty(len(X), 0, dtype=torch.int64)
    optimizer = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    for _ in range(n_epochs):
        for rows in torch.randperm(len(X)).split(BATCH_SIZE):
            optimizer.zero_grad()
            loss(module(X[rows], codes[rows]), y[rows]).backward()
            optimizer.step()


def stock_skorch(X: Tensor, y: Tensor, n_epochs: int) -> None:
    net = skorch.NeuralNet(
        OneInput,
        criterion=nn.BCEWithLogitsLoss,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=WEIGHT_DECAY,
        lr=LEARNING_RATE,
        batch_size=BATCH_SIZE,
        max_epochs=n_epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
    )
    net.fit(X.numpy(), y.numpy())


def epoch_seconds(trainer: Callable[[Tensor, Tensor, int], None], X: Tensor, y: Tensor, n_epochs: int) -> float:
    started = time.process_time()
    trainer(X, y, n_epochs)
    return (time.process_time() - started) / n_epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=4, help="epochs a turn")
    args = parser.parse_args()
    torch.set_num_threads(1)
    X, y = make_data()
    trainers = {"hybridlearn": ours, "torch loop": torch_loop, "stock skorch": stock_skorch}
    for trainer in trainers.values():
        trainer(X, y, 1)
    turns = [{name: epoch_seconds(t, X, y, args.epochs) for name, t in trainers.items()} for _ in range(args.turns)]
    print(f"CPU seconds an epoch, {N_ROWS} x {N_COLUMNS}, width {WIDTH}, batch {BATCH_SIZE}, one thread,")
    print(f"median of {args.turns} turns (range); ratio: hybridlearn over it, median of the turns' ratios")
    for name in trainers:
        seconds = np.array([turn[name] for turn in turns])
        ratio = np.median([turn["hybridlearn"] / turn[name] for turn in turns])
        print(f"{name:13s} {np.median(seconds):6.3f} ({seconds.min():.3f} to {seconds.max():.3f})  ratio {ratio:5.2f}")


if __name__ == "__main__":
    main()
