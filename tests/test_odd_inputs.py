"""Odd values of small things, each as its kind: seeds, temperatures, actions, rows of tables, what JSON has no word for."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from test_dream import BODY, a_world, linear_on
from test_results import ROW

import wmlib as wm
from wmlib import results, statistics, storage
from wmlib.classroom import grading
from wmlib.classroom.grading import Grade
from wmlib.config import DreamConfig, EnsembleConfig, VAEConfig
from wmlib.control import strategies
from wmlib.dream.dream import Dream
from wmlib.dream.dreamenv import DreamEnv
from wmlib.errors import InputError
from wmlib.models import mdn, metrics
from wmlib.models.ensemble import Ensemble
from wmlib.models.vae import VAE


@pytest.fixture(scope="module")
def data():
    return wm.gather(BODY, "mixed", 200, 0)


@pytest.fixture(scope="module")
def world(data):
    return a_world(data)


@pytest.fixture(scope="module")
def dreams(data, world):
    return Dream(world, linear_on("z", world, data), DreamConfig(horizon=4))


def one_line(message):
    return pytest.raises(InputError, match=rf"\A[^\n]*(?:{message})[^\n]*\Z")


SEEDED = {
    "a measure": lambda seed, data, world, dreams: metrics.report(world, data, seed=seed),
    "a split": lambda seed, data, world, dreams: data.split(0.5, 0.5, seed=seed),
    "an interval": lambda seed, data, world, dreams: statistics.bootstrap([1.0, 2.0], seed=seed),
    "a V": lambda seed, data, world, dreams: VAE.create(BODY, data.physics, VAEConfig(), seed=seed),
    "an ensemble": lambda seed, data, world, dreams: Ensemble.create(BODY, data, EnsembleConfig(1, 4), seed=seed),
    "starts": lambda seed, data, world, dreams: world.starts(data, 1, seed=seed),
    "some of the starts": lambda seed, data, world, dreams: world.starts(data, 2).draw(1, seed),
    "noise": lambda seed, data, world, dreams: dreams.noise(3, 1, seed),
    "an environment": lambda seed, data, world, dreams: DreamEnv(dreams, dreams.starts(data, 2), 1).reset(seed=seed),
    "an episode": lambda seed, data, world, dreams: wm.rollout(BODY, wm.policies.zero_action(BODY), [seed], max_steps=1),
    "experience": lambda seed, data, world, dreams: wm.gather(BODY, "zero", 1, seed),
}  # fmt: skip


@pytest.mark.parametrize("seed", [-1, 1.5, math.nan, True, "3"])
@pytest.mark.parametrize("name", SEEDED)
def test_a_seed_is_a_whole_number_wherever_it_is_given(name, seed, data, world, dreams):
    with one_line("eed"):
        SEEDED[name](seed, data, world, dreams)


@pytest.mark.parametrize("name", strategies.STRATEGIES)
def test_a_search_with_a_negative_seed_is_refused(name):
    with one_line("seed of at least 0"):
        strategies.make(name, np.zeros(3), seed=-1)


@pytest.mark.parametrize("tau", [-1.0, -1, math.nan, math.inf, -math.inf])
def test_a_temperature_is_finite_and_at_least_0(tau):
    mixture = mdn.Mixture(*np.zeros((3, 1, 2, 3), np.float32))
    noise = mdn.noise(np.random.default_rng(0), (1, 2, 3), (1, 3))
    with one_line("tau is"):
        mdn.sample(mixture, tau, noise)
    assert np.isfinite(np.asarray(mdn.sample(mixture, 0, noise))).all()


@pytest.mark.parametrize("value", [1e39, -1e39, np.nan, np.inf])
def test_an_action_is_looked_at_after_it_was_rounded_and_nothing_warns(value, data, dreams):
    def policy(obs, state):
        return np.full((len(obs), BODY.a_dim), value), state

    env = DreamEnv(dreams, dreams.starts(data, 2), 2)
    env.reset(seed=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with one_line("NaN or infinite"):
            wm.rollout(BODY, policy, [0], max_steps=2)
        with one_line("finite"):
            env.step(np.full((2, BODY.a_dim), value))


@pytest.mark.parametrize("value", ["left", "0.1", None, 1j])
def test_an_action_that_is_no_number_is_refused_in_one_line(value):
    def policy(obs, state):
        return np.full((len(obs), BODY.a_dim), value), state

    with one_line("of type .* one row for each row of obs, of numbers"):
        wm.rollout(BODY, policy, [0], max_steps=2)


def test_a_run_that_failed_is_called_so_and_not_a_second_row():
    failed = dataclasses.replace(ROW, seed=9, mean_return=math.nan)
    with one_line("finite"):
        str(results.table([ROW, failed]))


def test_numbers_of_numpys_are_plain_in_json():
    odd = {"a": np.float32("-inf"), "b": np.int64(3), "c": (np.float64(1.5), np.True_), "d": np.nan}
    assert storage.dumps(odd) == '{"a": null, "b": 3, "c": [1.5, true], "d": null}'


def test_a_page_that_cannot_be_made_costs_no_one_the_grades(tmp_path, monkeypatch):
    """One student's page fails: that one has a plain page, with the marks, and everyone is in the table."""
    from pathlib import Path

    chapter = Path(__file__).resolve().parent.parent / "chapters" / "01_why_dream.ipynb"
    for name in ("anna", "ben"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    whole_page = grading._page

    def page(grade: Grade, *given):
        if grade.student == "ben" and grade.page:
            raise UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "two\nlines")
        return whole_page(grade, *given)

    marks = {"alive-share": grading.Mark(2, 2, ["+ right."]), "fall-chance": grading.Mark(1, 1, [])}
    monkeypatch.setattr(grading._Trial, "marks", lambda self, steps: marks)
    monkeypatch.setattr(grading, "_read", lambda path: grading.as_notebook([]))
    monkeypatch.setattr(grading, "_steps", lambda cells, notebook: [])
    monkeypatch.setattr(grading, "graded", lambda course, name, ids: ((key, "<p>page") for key in ids))  # fmt: skip
    monkeypatch.setattr(grading, "_page", page)
    grades = grading.grade(tmp_path, chapter, tmp_path / "out", unsafe=True)
    assert [grade.total for grade in grades] == [3, 3]
    assert "right." in (tmp_path / "out" / "feedback" / "ben.html").read_text()
    assert (tmp_path / "out" / "grades.csv").read_text().count("\n") == 3
