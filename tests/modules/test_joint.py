"""Several nets on one table under one output: what each gives, side by side."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from hybridlearn.modules import (
    MLP,
    CategoricalEmbedding,
    FTTransformer,
    JointNet,
    LinearEmbedding,
    MemberLinear,
    PeriodicEmbedding,
    ResNet,
    TableEmbedding,
    TableTokens,
    TabM,
    TabularNet,
    common_placements,
)

# columns of numbers, codes a category
TABLES = [(2, [3, 5]), (3, [9, 4]), (1, [3, 3])]


def inputs_of(n_numeric: int, cardinalities: list[int], n_rows: int = 6) -> tuple[Tensor, Tensor]:
    codes = [torch.randint(c, (n_rows, 1)) for c in cardinalities]
    return torch.randn(n_rows, n_numeric), torch.cat([torch.empty(n_rows, 0, dtype=torch.int64), *codes], dim=1)


def mlp(n_numeric: int, cardinalities: list[int]) -> TabularNet:
    embedding = TableEmbedding(PeriodicEmbedding(n_numeric, d_embedding=4), CategoricalEmbedding(cardinalities))
    d_in = 4 * n_numeric + sum(embedding.categorical.widths)
    return TabularNet(embedding, MLP(d_in, hidden_layer_sizes=(8,), dropout=0.0), nn.Linear(8, 7))


def resnet(n_numeric: int, cardinalities: list[int]) -> TabularNet:
    embedding = TableEmbedding(nn.Identity(), CategoricalEmbedding(cardinalities))
    hidden = ResNet(n_numeric + sum(embedding.categorical.widths), n_blocks=1, d_block=6, d_hidden=4, dropout=0.0)
    return TabularNet(embedding, hidden, nn.Linear(6, 7))


def tabm(n_numeric: int, cardinalities: list[int]) -> TabularNet:
    embedding = TableEmbedding(LinearEmbedding(n_numeric, d_embedding=2), CategoricalEmbedding(cardinalities))
    widths = [2] * n_numeric + embedding.categorical.widths
    return TabularNet(embedding, TabM(sum(widths), widths, k=3, d_block=5, dropout=0.0), MemberLinear(5, 7, k=3))


def transformer(n_numeric: int, cardinalities: list[int]) -> TabularNet:
    numeric = LinearEmbedding(n_numeric, d_embedding=8)
    tokens = TableTokens(numeric, CategoricalEmbedding(cardinalities, widths=[8] * len(cardinalities)), 8)
    hidden = FTTransformer(n_blocks=1, d_block=8, n_heads=2, d_hidden=6, attention_dropout=0.0, dropout=0.0)
    return TabularNet(tokens, hidden, nn.Linear(8, 7))


WIDTHS = {mlp: 8, resnet: 6, tabm: 15, transformer: 8}


def joint(*builds: object, table: tuple[int, list[int]] = TABLES[0], dropout: float = 0.0) -> JointNet:
    branches = [build(*table) for build in builds]  # type: ignore[operator]
    return JointNet(branches, nn.Linear(sum(WIDTHS[build] for build in builds), 2), dropout=dropout)  # type: ignore[index]


def test_the_output_sees_the_branches_side_by_side() -> None:
    torch.manual_seed(0)
    branches, batch = [build(*TABLES[0]) for build in WIDTHS], inputs_of(*TABLES[0])
    net = JointNet(branches, nn.Linear(37, 2))
    embedded = net.embed(*batch)
    assert torch.equal(embedded, torch.cat([branch.embed(*batch) for branch in branches], dim=1))
    assert embedded.shape == (6, 37)
    torch.testing.assert_close(net(*batch), embedded @ net.output.weight.T + net.output.bias)
    assert torch.equal(net(*batch), net.eval()(*batch)), "members have no outputs of their own here"


def test_a_base_margin_is_added_to_the_outputs() -> None:
    net, batch, base = joint(mlp, tabm), inputs_of(*TABLES[0]), torch.randn(6, 2)
    for mode in (True, False):
        assert torch.equal(net.train(mode)(*batch, base), net(*batch) + base)


def test_outputs_of_the_branches_are_left_out_and_the_branches_as_they_were() -> None:
    branch = mlp(*TABLES[0])
    net = JointNet([branch], nn.Linear(8, 2))
    assert isinstance(branch.output, nn.Linear)
    assert sorted(name for name, _ in net.named_parameters() if "output" in name) == ["output.bias", "output.weight"]


def test_every_parameter_of_every_branch_gets_a_gradient() -> None:
    torch.manual_seed(0)
    net = joint(*WIDTHS)
    net(*inputs_of(*TABLES[0], n_rows=60)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_dropout_is_on_what_the_output_sees_and_in_training_only() -> None:
    torch.manual_seed(0)
    net, batch, seen = joint(mlp, tabm, dropout=0.5), inputs_of(*TABLES[0], n_rows=200), []
    net.output.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    net(*batch), net.eval()(*batch)
    assert float((seen[0] == 0).float().mean()) == pytest.approx(0.5, abs=0.05)
    assert torch.equal(seen[1], net.embed(*batch))


@pytest.mark.parametrize(("n_numeric", "cardinalities"), [(0, [3]), (2, []), (1, [4])])
def test_a_table_may_lack_numbers_or_categories(n_numeric: int, cardinalities: list[int]) -> None:
    net = joint(*WIDTHS, table=(n_numeric, cardinalities))
    assert net(*inputs_of(n_numeric, cardinalities)).shape == (6, 2)


# -- filled up to one shape


def filled(tensor: Tensor, shape: torch.Size, positions: Tensor) -> Tensor:
    flat = torch.zeros(shape.numel(), dtype=tensor.dtype)
    flat[positions] = tensor.flatten()
    return flat.view(shape)


def test_what_is_filled_up_computes_the_same() -> None:
    torch.manual_seed(0)
    nets = [joint(mlp, resnet, tabm, table=table).double().eval() for table in TABLES]
    inputs = [(x_num.double(), x_cat) for x_num, x_cat in (inputs_of(*table) for table in TABLES)]
    placements = common_placements(nets, inputs)
    assert placements is not None
    for net, (x_num, x_cat), placement in zip(nets, inputs, placements, strict=True):
        state = {name: filled(tensor, *placement[name]) for name, tensor in net.state_dict().items()}
        wider = torch.cat([x_num, torch.zeros(6, 3 - x_num.shape[1], dtype=torch.float64)], dim=1)
        together = functional_call(nets[0], state, (wider, x_cat))
        torch.testing.assert_close(together, net(x_num, x_cat), rtol=1e-12, atol=1e-12)


def test_more_tokens_in_one_branch_are_another_net() -> None:
    nets = [joint(mlp, transformer, table=table) for table in TABLES[:2]]
    assert common_placements(nets, [inputs_of(*table) for table in TABLES[:2]]) is None
    assert common_placements(nets[:1] * 2, [inputs_of(*TABLES[0])] * 2) is not None


def test_other_branches_have_no_common_shape() -> None:
    inputs = [inputs_of(*TABLES[0])] * 2
    for other in (joint(resnet, mlp), joint(mlp), joint(mlp, mlp)):
        assert common_placements([joint(mlp, resnet), other], inputs) is None
