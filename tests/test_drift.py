"""An upgrade that moves the physics is seen within a minute."""

import copy

import pytest

from tools import drift


@pytest.fixture(scope="module")
def now():
    return drift.measure()


def test_nothing_has_moved_since_the_golden_numbers_were_accepted(capsys):
    assert drift.main([]) == 0
    assert capsys.readouterr().out.count("nothing moved") == 3


def test_a_return_that_moved_by_the_last_bit_is_named(now):
    then = copy.deepcopy(now)
    then["rows"]["humanoid zero seed 0"]["return"] += 1e-12
    assert [line.split(":")[0] for line in drift.changes(then, now)] == ["humanoid zero seed 0"]


def test_a_row_that_is_new_is_named(now):
    then = copy.deepcopy(now)
    del then["rows"]["humanoid hold seed 3"]
    assert next(iter(drift.changes(then, now))).startswith("humanoid hold seed 3: no row -> ")


def test_other_physics_is_seen_as_a_replay_that_parts(monkeypatch):
    model = drift.body.get("humanoid").model
    monkeypatch.setattr(model.opt, "timestep", model.opt.timestep * (1 + 1e-12))
    (line,) = drift.replay()
    assert "part from the simulator, the first at step 1" in line


def test_an_unknown_option_gets_one_line(capsys):
    assert drift.main(["--frobnicate"]) == 2
    assert capsys.readouterr().err == "usage: python -m tools drift [--accept]\n"
