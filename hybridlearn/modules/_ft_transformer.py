"""FT-Transformer: attention among the columns of a row."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hybridlearn.modules._dropout import Dropout


class GatedUnit(nn.Module):
    """``relu(u) * v`` of an input split into halves ``u, v`` (ReGLU)."""

    def forward(self, x: Tensor) -> Tensor:
        u, v = x.chunk(2, dim=-1)
        return torch.relu(u) * v


class AttentionBlock(nn.Module):
    """Attention among tokens, then a gated perceptron on each; norm before both, the input added after both."""

    def __init__(self, d_block: int, n_heads: int, d_hidden: int, attention_dropout: float, dropout: float):
        super().__init__()
        self.norm = nn.LayerNorm(d_block)
        self.attention = nn.MultiheadAttention(d_block, n_heads, dropout=attention_dropout, batch_first=True)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(d_block),
            nn.Linear(d_block, 2 * d_hidden),
            GatedUnit(),
            Dropout(dropout),
            nn.Linear(d_hidden, d_block),
        )

    def forward(self, tokens: Tensor, *, weights: bool = False) -> tuple[Tensor, Tensor | None]:
        normed = self.norm(tokens)
        mixed, attention = self.attention(normed, normed, normed, need_weights=weights, average_attn_weights=False)
        tokens = tokens + mixed
        return tokens + self.perceptron(tokens), attention


class FTTransformer(nn.Module):
    """Feature tokenizer's transformer [1]_: a row's columns are tokens that attend to each other.

    A learned token, put last, gathers what the row says; its final state is the output.

    Parameters
    ----------
    n_blocks : int, default=2
    d_block : int, default=64
        Width of a token; a multiple of `n_heads`.
    n_heads : int, default=4
    d_hidden : int, default=128
        Hidden units of the gated perceptron in a block.
    attention_dropout : float, default=0.1
    dropout : float, default=0.1
        Of those hidden units.

    **Shape:** input ``(n_rows, n_tokens, d_block)``, output ``(n_rows, d_block)``.

    References
    ----------
    .. [1] Gorishniy, Rubachev, Khrulkov and Babenko, "Revisiting Deep Learning Models for Tabular Data", NeurIPS
       2021.

    Examples
    --------
    >>> net = FTTransformer(d_block=16, n_heads=2)
    >>> net(torch.zeros(5, 3, 16)).shape
    torch.Size([5, 16])
    >>> net.attention(torch.zeros(5, 3, 16)).shape  # rows, blocks, heads, tokens that ask, tokens that are asked
    torch.Size([5, 2, 2, 4, 4])
    """

    def __init__(
        self,
        *,
        n_blocks: int = 2,
        d_block: int = 64,
        n_heads: int = 4,
        d_hidden: int = 128,
        attention_dropout: float = 0.1,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.reader = nn.Parameter(torch.empty(d_block).uniform_(-1, 1) / d_block**0.5)
        self.blocks = nn.ModuleList(
            AttentionBlock(d_block, n_heads, d_hidden, attention_dropout, dropout) for _ in range(n_blocks)
        )
        self.last = nn.Sequential(nn.LayerNorm(d_block), nn.ReLU())

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self._with_reader(tokens)
        for block in self.blocks:
            tokens, _ = block(tokens)
        return self.last(tokens[:, -1])

    def attention(self, tokens: Tensor) -> Tensor:
        """Attention weights, shape (n_rows, n_blocks, n_heads, n_tokens + 1, n_tokens + 1).

        Each row sums to 1; in training it does so before dropout only.
        """
        tokens, maps = self._with_reader(tokens), []
        for block in self.blocks:
            tokens, weights = block(tokens, weights=True)
            maps.append(weights)
        return torch.stack(maps, dim=1)

    def _with_reader(self, tokens: Tensor) -> Tensor:
        return torch.cat([tokens, self.reader.expand(len(tokens), 1, -1)], dim=1)
