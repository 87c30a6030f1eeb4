"""What the book ships is whole, small, and made again by its own command."""

import json
import shlex

import numpy as np
import pytest

import wmlib as wm
from wmlib.cli import main

ARTEFACTS = sorted(
    path.parent for path in wm.storage.data_folder().glob(f"*/{wm.storage.MANIFEST}")
)


def test_at_least_ten_thousand_real_steps_are_shipped_in_at_most_ten_megabytes():
    shipped = wm.load("humanoid-mixed")
    assert shipped.n_steps >= 10_000
    assert (
        sum(path.stat().st_size for path in (wm.storage.data_folder() / "humanoid-mixed").iterdir())
        <= 10_000_000
    )


@pytest.mark.parametrize("folder", ARTEFACTS, ids=lambda folder: folder.name)
def test_load_opens_whatever_is_shipped_by_its_name_or_says_in_one_line_what_it_is(folder):
    kind = wm.storage.read_manifest(folder)["kind"]
    if kind == "mdnrnn epochs":  # weights of M alone: `world.load_epochs` opens them with their V
        with pytest.raises(wm.InputError, match="holds 'mdnrnn epochs', which cannot be opened by"):
            wm.load(folder.name)
    else:
        named = {
            "Episodes": "episodes",
            "WorldModel": "world",
            "Controller": "controller",
            "StructuredEnsemble": "structured",
        }
        assert named[type(wm.load(folder.name)).__name__] == kind


@pytest.mark.parametrize("folder", ARTEFACTS, ids=lambda folder: folder.name)
def test_every_shipped_file_is_in_a_manifest_that_says_how_it_was_made(folder):
    manifest = wm.storage.read_manifest(folder)
    assert {path.name for path in folder.iterdir()} == {*manifest["files"], wm.storage.MANIFEST}
    assert manifest["command"]
    assert manifest["seed"] >= 0
    assert manifest["seconds"] > 0
    assert manifest["versions"]["mujoco"]
    for name, listed in manifest["files"].items():
        assert wm.storage.sha256((folder / name).read_bytes()) == listed["sha256"]


def test_the_shipped_experience_is_gathered_again_bit_for_bit_by_the_command_in_its_manifest(
    tmp_path, capsys
):
    shipped = wm.storage.read_manifest(wm.storage.find("humanoid-mixed"))
    words = shlex.split(shipped["command"])
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert words[0] == "wmlib"
    assert main(words[1:]) == 0
    again = json.loads((tmp_path / "again" / wm.storage.MANIFEST).read_text())
    assert again["files"] == shipped["files"]
    assert "real steps in" in capsys.readouterr().out


def test_the_shipped_body_never_stands_again():
    """A sanity check of the numbers themselves: heights end outside the healthy range, and only there."""
    shipped = wm.load("humanoid-mixed")
    ended = shipped.body.terminated(shipped.physics)
    assert ended.sum() == len(shipped)
    assert np.array_equal(np.nonzero(ended)[0], np.cumsum(shipped.lengths + 1) - 1)


def test_the_shipped_world_stands_on_250000_real_steps_and_fits_in_15_megabytes():
    world = wm.load("humanoid-world")
    assert world.facts["experience"]["real_steps"] >= 250_000
    assert world.vae.z_dim <= 32
    folders = [wm.storage.find(name) for name in ("humanoid-world", "humanoid-epochs")]
    assert sum(path.stat().st_size for folder in folders for path in folder.iterdir()) <= 15_000_000
    assert sorted(wm.world.load_epochs(world)) == [0, 1, 5, 25]
    commands = [
        world.facts["experience"]["command"],
        world.facts["vae_made_by"]["command"],
        world.facts["command"],
    ]
    assert [shlex.split(command)[:2] for command in commands] == [
        ["wmlib", "gather"],
        ["wmlib", "train-vae"],
        ["wmlib", "train-mdnrnn"],
    ]


def test_the_shipped_world_reaches_its_bars_on_episodes_that_it_never_saw():
    """A sample of the held-out table: `wmlib measure` prints all of it."""
    world = wm.load("humanoid-world")
    held = wm.gather(world.body, "mixed", 4_000, 1)
    rng = np.random.default_rng(0)
    through_v = wm.metrics.reconstruction_r2(world.vae, held, rng)
    assert through_v["qpos"].mean() >= 0.98
    assert through_v["qvel"].mean() >= 0.95
    ahead = wm.metrics.open_loop_error(
        world.vae, held, lambda *seen: world.dream(*seen, rng=rng, sample=False), horizon=25
    )
    assert ahead.survivors[-1] >= 50
    assert ahead.ratio().max() < 1
    assert ahead.ratio()[9] <= 0.5
    drawn = wm.metrics.open_loop_error(
        world.vae, held, lambda *seen: world.dream(*seen, rng=rng), horizon=25
    )
    assert drawn.ratio().max() < 1


def test_the_shipped_world_is_not_measured_on_the_episodes_that_it_was_trained_on():
    """The shipped ten thousand steps are the first of its 250,000: chapter 7 once took them for fresh."""
    world, shipped = wm.load("humanoid-world"), wm.load("humanoid-mixed")
    made_from = world.facts["experience"]
    assert world.vae.training_seeds == ((0, made_from["episodes"] - 1),)
    first = wm.seeds.run_seeds(wm.seeds.TRAINING_SEEDS, made_from["seed"])[0]
    assert shipped.seeds.tolist() == list(range(first, first + len(shipped)))
    with pytest.raises(wm.InputError, match=r"384 of these 384 episodes"):
        wm.reconstruction_r2(world.vae, shipped)
    for one in wm.world.load_epochs(world).values():
        with pytest.raises(wm.InputError, match="was trained on"):
            wm.open_loop_error(one.vae, shipped.select([5]), one.dream)
