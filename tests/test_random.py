"""One `random_state` decides everything, and nothing outside is touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from hybridlearn._random import draw_seed, seed_nested, torch_seed


def test_an_int_gives_the_same_seed_and_another_int_another() -> None:
    assert draw_seed(3) == draw_seed(3)
    assert len({draw_seed(i) for i in range(20)}) == 20
    assert type(draw_seed(0)) is int


def test_a_random_state_moves_on() -> None:
    rng = np.random.RandomState(0)
    seeds = [draw_seed(rng), draw_seed(rng)]
    assert seeds[0] != seeds[1]
    assert seeds[0] == draw_seed(0)
    assert draw_seed(None) != draw_seed(None)


def test_an_int_leaves_the_global_state_alone() -> None:
    before = np.random.get_state()[1].copy()
    draw_seed(0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def nested() -> BaggingClassifier:
    vote = VotingClassifier(
        [
            ("free", DecisionTreeClassifier()),
            ("set", make_pipeline(StandardScaler(), LogisticRegression(random_state=7))),
        ]
    )
    return BaggingClassifier(vote)


def seeds_of(estimator: BaggingClassifier) -> dict[str, int | None]:
    params = estimator.get_params()
    return {name: params[name] for name in sorted(params) if name.endswith("random_state")}


def test_nested_seeds_that_are_none_are_drawn_and_those_that_a_user_has_set_stay() -> None:
    estimator = nested()
    assert seed_nested(estimator, np.random.RandomState(0)) is estimator
    seeds = seeds_of(estimator)
    assert seeds.pop("estimator__set__logisticregression__random_state") == 7
    assert list(seeds) == ["estimator__free__random_state", "random_state"]
    assert all(type(seed) is int for seed in seeds.values())
    assert len(set(seeds.values())) == 2


def test_nested_seeds_are_all_replaced_when_told() -> None:
    estimator = seed_nested(nested(), np.random.RandomState(0), overwrite=True)
    drawn = np.random.RandomState(0).randint(np.iinfo(np.int32).max, size=3)
    assert list(seeds_of(estimator).values()) == drawn.tolist()


def test_a_seed_that_is_set_does_not_move_the_others() -> None:
    free = seeds_of(seed_nested(nested().set_params(random_state=1), np.random.RandomState(0)))
    fixed = seeds_of(seed_nested(nested(), np.random.RandomState(0)))
    assert free["estimator__free__random_state"] == fixed["estimator__free__random_state"]


def test_torch_is_seeded_inside_and_as_it_was_outside() -> None:
    before = torch.get_rng_state()
    draws = []
    for _ in range(2):
        with torch_seed(5, []):
            draws.append(torch.rand(4))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(draws[0], torch.rand(4, generator=torch.Generator().manual_seed(5)))
    assert torch.equal(torch.get_rng_state(), before)


def interrupted() -> None:
    with torch_seed(5, []):
        torch.rand(4)
        raise KeyboardInterrupt


def test_an_interrupt_inside_puts_torch_back_too() -> None:
    before = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert torch.equal(torch.get_rng_state(), before)
