"""The rows of chapter 14: every change changes one thing, a row comes out the same alone and among others, and what is there is not made again."""

import csv
import dataclasses

import pytest

from experiments import matters
from experiments.matters import FILES, MODEL, REFERENCES, RETURN, Setup

TINY = {
    "steps": 300,
    "hidden": 8,
    "epochs": 1,
    "v_epochs": 1,
    "m_epochs": 1,
    "h_dim": 8,
    "generations": 1,
    "popsize": 4,
    "episodes": 2,
    "judged": 2,
}


def changed(one, other):
    return {
        name for name, value in dataclasses.asdict(one).items() if value != getattr(other, name)
    }


@pytest.mark.parametrize(
    ("name", "factor"), [*RETURN.items(), *MODEL.items()], ids=[*RETURN, *MODEL]
)
def test_every_level_changes_one_thing_and_really_changes_it(name, factor):
    reference = Setup(**REFERENCES[factor.against])
    assert factor.was not in factor.levels
    for level, changes in factor.levels.items():
        found = changed(dataclasses.replace(reference, **changes), reference)
        assert found == set(changes), f"{name}, {level}"
        assert len(found) == 1 or name == "epochs", "the epochs of V and of M go together"


def test_every_row_has_its_reference_and_there_are_enough_of_them():
    for kind, least in (("return", 6), ("model", 9)):
        rows = matters.every((0, 1, 2))
        keys = {(factor, level) for of, factor, level, _ in rows if of == kind}
        assert len({factor for factor, _ in keys} - {matters.REFERENCE}) >= least
        assert {factor.against for factor in FILES[kind][1].values()} == {
            level for factor, level in keys if factor == matters.REFERENCE
        }
    assert len(rows) == len(set(rows)) == 3 * sum(len(matters.plan(kind)) for kind in FILES)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Files of their own, and rows that cost nothing."""
    monkeypatch.setattr(
        matters,
        "FILES",
        {kind: (tmp_path / path.name, factors) for kind, (path, factors) in FILES.items()},
    )
    made = []

    def cheap(setup, seed):
        made.append((setup, seed))
        return {"mean_return": 1.5, "mean_steps": 2, "dreamed": 3, "real_steps": 4, "episodes": 5}

    monkeypatch.setitem(matters.MAKE, "return", cheap)
    return tmp_path, made


def test_a_row_is_made_once_and_its_line_makes_it(files, capsys):
    folder, made = files
    assert matters.main(["strategy", "CEM", "1"]) == 0
    assert matters.main(["strategy", "CEM", "1"]) == 0
    assert [(setup.strategy, seed) for setup, seed in made] == [("cem", 1)]
    matters.main(["reference", "ensemble", "1"])
    rows = list(csv.DictReader((folder / "matters-return.csv").read_text().splitlines()))
    assert [(row["factor"], row["level"], row["against"], row["was"]) for row in rows] == [
        ("strategy", "CEM", "ensemble", "OpenAI-ES"),
        ("reference", "ensemble", "ensemble", "ensemble"),
    ]
    assert rows[0]["command"] == "python -m tools matters 'strategy' 'CEM' 1"


def test_an_unknown_level_gets_one_line(files, capsys):
    assert matters.main(["strategy", "luck", "0"]) == 2
    assert (
        capsys.readouterr().err.strip()
        == "There is no level 'luck' of a factor 'strategy'. `python -m tools matters --list` names them."
    )


def clear():
    for name in ("experience", "held", "seeing", "learned", "real_return", "prediction"):
        getattr(matters, name).cache_clear()


def test_a_row_comes_out_the_same_alone_and_after_others():
    first, hotter = Setup(**TINY), Setup(**TINY, tau=1.3)
    clear()
    matters.real_return(first, 0)
    among = matters.real_return(hotter, 0)
    clear()
    assert matters.real_return(hotter, 0) == among
    clear()


def test_models_are_measured_on_episodes_that_nothing_was_trained_on():
    clear()
    found = matters.prediction(Setup(model="world", **TINY), 0)
    assert set(found) == {
        "r2_qpos",
        "r2_qvel",
        "ahead_1",
        "ahead_10",
        "ahead_25",
        "real_steps",
        "episodes",
    }
    trained, held = matters.experience("mixed", 300, 0), matters.held(0)
    assert not set(trained.seeds.tolist()) & set(held.seeds.tolist())
    assert found["real_steps"] == trained.n_steps >= 300
    clear()


@pytest.mark.parametrize("kind", FILES)
def test_the_committed_rows_are_of_the_plan_each_once(kind):
    rows = matters.read(kind)
    keys = [(row["factor"], row["level"], row["seed"]) for row in rows]
    assert len(keys) == len(set(keys))
    assert {(factor, level) for factor, level, _ in keys} <= set(matters.plan(kind))
    assert all(tuple(row) == matters.FIELDS[kind] for row in rows)
