"""The dream that chapter 6 builds by hand, on ten seeds: data, model and search of each are its own."""

from pathlib import Path

import numpy as np
import pytest

import wmlib as wm
from tools import executor

CHAPTER = Path(__file__).resolve().parent.parent / "chapters/06_can_it_learn_asleep.ipynb"


@pytest.fixture(scope="module")
def cells():
    """Its cells by their ids."""
    return {cell.id: cell.source for cell in executor.read(CHAPTER).cells}


def asleep(cells, seed):
    """C as the reader's own model and search leave it, from 3,000 real steps of this seed."""
    names = {"np": np, "wm": wm, "scale": wm.scale(), "seed": seed}
    for name in ("pole-gather", "pole-ensemble", "pole-ensemble-step", "pole-dream", "pole-evolve"):
        exec(cells[name], names)
    model = names["Five"](names["s"], names["a"], names["s_next"], seed=seed)
    C, _ = names["asleep"](model, seed)
    return C, names


def test_a_dream_of_the_truth_has_the_real_length(cells, monkeypatch):
    """In the place of the model the simulator itself: the ten lines then give what the real body earns."""
    monkeypatch.setenv("WM_SCALE", "smoke")
    _, names = asleep(cells, 0)
    pole = wm.body.get("inverted_pendulum")
    C = wm.Controller(wm.Linear(pole), np.array([0.3, -1, 0.2, 0.1, 0.05]))
    real = wm.rollout(pole, C, range(4))

    class Truth:
        step_number = 0

        def step(self, s, a):
            self.step_number += 1
            rows = [e.obs[min(self.step_number, len(e))] for e in real]
            return np.array(rows)

    start = np.array([e.obs[0] for e in real])
    act = lambda s: C.linear.act(C.params[None], s[:, None])[:, 0]
    returns, states = names["dream"](act, Truth(), start, 60)
    assert list(returns) == [e.episode_return for e in real]
    assert states.shape == (61, 4, 4)


@pytest.mark.slow
def test_nine_of_ten_poles_that_learned_asleep_stand_for_all_thousand_steps(cells, monkeypatch):
    monkeypatch.setenv("WM_SCALE", "small")
    pole, stood = wm.body.get("inverted_pendulum"), []
    for seed in range(10):
        C, _ = asleep(cells, seed)
        score = wm.evaluate_policy(pole, C, name="pole", run=seed, episodes=20)
        stood.append(score.lengths.min() == pole.max_steps)
    assert sum(stood) >= 9, stood
