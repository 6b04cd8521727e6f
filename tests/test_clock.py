"""Deadlines: what is left, and parts of it."""

from __future__ import annotations

import pytest
from _slow import Clock

import hybridlearn._clock
from hybridlearn._clock import Deadline


def test_what_is_left_becomes_less_until_it_is_over() -> None:
    clock = Clock()
    deadline = Deadline.after(10.0, clock)
    assert deadline is not None
    assert deadline.left() == 10
    clock.seconds = 4.0
    assert deadline.left() == 6
    assert deadline.part(0.5).left() == 3
    assert deadline.before(1.0).left() == 5
    assert not deadline.is_over
    clock.seconds = 10.0
    assert deadline.is_over
    clock.seconds = 12.0
    assert deadline.left() == deadline.part(0.5).left() == -2


def test_no_limit_is_no_deadline() -> None:
    assert Deadline.after(None) is None


def test_the_clock_is_looked_up_when_a_deadline_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(hybridlearn._clock, "now", clock)
    deadline = Deadline.after(2.0)
    assert deadline is not None
    clock.seconds = 1.5
    assert deadline.left() == 0.5
