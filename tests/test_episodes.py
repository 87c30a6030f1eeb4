"""No step is lost, and none is shifted: the index convention on a toy world whose next state is the action."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import wmlib as wm
from wmlib.errors import InputError
from wmlib.real.episodes import Episodes
from wmlib.real.rollout import Episode

BODY = wm.body.get("humanoid")
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def toy_episode(seed, length):
    """An episode of a toy world: the next state is the action, the reward is the step's own number, counted over all."""
    steps = 1000.0 * seed + np.arange(length)
    action = np.repeat(steps[:, None], BODY.a_dim, axis=1)
    qpos = np.zeros((length + 1, 24))
    qpos[0] = -1.0 - seed
    qpos[1:] = steps[:, None]
    fell = seed % 2 == 0
    return Episode(
        seed,
        None,
        action.astype(np.float32),
        steps,
        qpos,
        np.zeros((length + 1, 23)),
        terminated=fell,
        truncated=not fell,
    )


def toy(lengths):
    return Episodes.of(BODY, [toy_episode(seed, length) for seed, length in enumerate(lengths)])


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 15))
def test_with_the_default_stride_every_step_is_in_exactly_one_window(lengths, length):
    episodes = toy(lengths)
    windows = episodes.windows(length)
    seen = windows.reward[windows.mask == 1]
    assert sorted(seen.tolist()) == sorted(episodes.reward.tolist())


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 15), st.integers(1, 15))
def test_in_every_window_the_next_state_is_the_action_and_no_window_crosses_a_reset(
    lengths, length, stride
):
    windows = toy(lengths).windows(length, stride=stride)
    w, t = np.nonzero(windows.mask)
    assert np.array_equal(windows.states[w, t + 1, 0], windows.action[w, t, 0])
    assert np.array_equal(windows.reward[w, t] // 1000, windows.episode[w])
    assert np.array_equal(windows.reward[w, t] % 1000, windows.first[w] + t)
    begins = np.nonzero(windows.first == 0)[0]
    assert np.array_equal(windows.states[begins, 0, 0], -1.0 - windows.episode[begins])


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 15), st.integers(1, 15))
def test_padding_is_zero_at_the_end_only_and_a_window_has_at_least_one_real_step(
    lengths, length, stride
):
    windows = toy(lengths).windows(length, stride=stride)
    real = windows.mask.sum(axis=1)
    assert real.min() >= 1
    assert np.array_equal(windows.mask, (np.arange(length) < real[:, None]).astype(float))
    padding = windows.mask == 0
    assert not windows.reward[padding].any()
    assert not windows.action[padding].any()
    assert not windows.terminated[padding].any()


@settings(deadline=None, max_examples=60)
@given(LENGTHS, st.integers(1, 15), st.integers(1, 15))
def test_no_step_is_lost_where_windows_overlap_and_falls_are_marked_where_they_happen(
    lengths, length, stride
):
    episodes = toy(lengths)
    windows = episodes.windows(length, stride=stride)
    if stride <= length:
        assert set(windows.reward[windows.mask == 1].tolist()) == set(episodes.reward.tolist())
    w, t = np.nonzero(windows.terminated)
    step = windows.first[w] + t
    assert np.array_equal(step, np.asarray(lengths)[windows.episode[w]] - 1)
    assert episodes.terminated[windows.episode[w]].all()


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 20), min_size=3, max_size=30), st.integers(0, 5))
def test_a_split_is_disjoint_whole_and_by_episode(lengths, seed):
    episodes = toy(lengths)
    parts = episodes.split(0.5, 0.5, seed=seed)
    seeds = np.concatenate([part.seeds for part in parts])
    assert sorted(seeds.tolist()) == list(range(len(lengths)))
    for part in parts:
        for i in range(len(part)):
            assert np.array_equal(part[i].reward, episodes[int(part.seeds[i])].reward)


def test_a_window_of_the_real_body_shows_the_state_that_followed_the_action():
    """Stepping MuJoCo from a window's state with its action gives the window's next state, to the last bit."""
    import mujoco

    gathered = wm.gather(BODY, "random", 60, 0)
    windows = gathered.windows(7)
    data = mujoco.MjData(BODY.model)
    for w in range(len(windows.episode)):
        for t in range(int(windows.mask[w].sum())):
            mujoco.mj_resetData(BODY.model, data)
            data.qpos[2:], data.qvel[:] = windows.states[w, t, :22], windows.states[w, t, 22:]
            data.ctrl[:] = windows.action[w, t]
            mujoco.mj_step(BODY.model, data, BODY.frame_skip)
            after = np.concatenate([data.qpos[2:], data.qvel])
            assert np.allclose(
                after, windows.states[w, t + 1], atol=1e-3
            )  # the solver's warm start is not in a window


def test_episodes_come_back_from_disk_as_they_were(tmp_path):
    gathered = wm.gather(BODY, "random", 100, 3, tmp_path / "kept")
    loaded = wm.load(tmp_path / "kept")
    for name in wm.episodes.STORED:
        assert np.array_equal(getattr(gathered, name), getattr(loaded, name))
        assert getattr(gathered, name).dtype == getattr(loaded, name).dtype


def test_full_observations_are_made_again_bit_for_bit():
    gathered = wm.gather(BODY, "random", 200, 4)
    again = dataclasses.replace(gathered, obs=None).replayed()
    assert np.array_equal(again.obs, gathered.obs)
    assert again.obs.shape == (again.n_steps + len(again), 348)


def test_an_episode_cut_short_by_a_limit_is_replayed_too():
    short = Episodes.of(BODY, wm.rollout(BODY, wm.policies.zero_action(BODY), [5, 6], max_steps=9))
    long = Episodes.of(BODY, wm.rollout(BODY, wm.policies.zero_action(BODY), [7]))
    both = Episodes.of(BODY, [short[0], short[1], long[0]])
    assert np.array_equal(both.replayed().obs, both.obs)


def test_a_replay_that_does_not_come_out_the_same_is_refused():
    gathered = wm.gather(BODY, "random", 50, 4)
    moved = gathered.qpos.copy()
    moved[3, 5] += 1e-12
    with pytest.raises(wm.InputError, match="does not give these episodes again"):
        dataclasses.replace(gathered, qpos=moved).replayed()


def test_two_runs_share_no_episode():
    one, other = (wm.gather(BODY, "random", 100, seed) for seed in (0, 1))
    assert not set(one.seeds.tolist()) & set(other.seeds.tolist())


def test_training_selection_and_test_seeds_are_disjoint():
    ranges = [wm.seeds.TRAINING_SEEDS, wm.seeds.SELECTION_SEEDS, wm.seeds.TEST_SEEDS]
    assert all(a.stop <= b.start for a, b in itertools.pairwise(ranges))


def test_a_mask_selects_the_episodes_where_it_is_true():
    stored = wm.load("humanoid-mixed")
    mask = stored.lengths > 60
    chosen = stored.select(mask)
    assert len(chosen) == mask.sum() < len(stored)
    assert chosen.seeds.tolist() == stored.seeds[mask].tolist()
    assert np.array_equal(chosen.lengths, stored.lengths[mask])
    assert stored.select(np.array([2, -1], np.int8)).seeds.tolist() == [
        stored.seeds[2],
        stored.seeds[-1],
    ]
    assert stored.select(mask.tolist()).seeds.tolist() == chosen.seeds.tolist()


@pytest.mark.parametrize(
    "index", [[True, False], [0.0, 1.0], [[0, 1]], ["0"], [None], 3, np.zeros((2, 2), bool)]
)
def test_what_is_neither_numbers_nor_a_mask_of_all_episodes_is_refused_in_one_line(index):
    with pytest.raises(InputError, match="expected whole numbers, or a mask") as caught:
        wm.load("humanoid-mixed").select(index)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("index", [True, 1.5, "1", None])
def test_the_number_of_an_episode_is_whole(index):
    with pytest.raises(InputError, match="expected a whole number"):
        wm.load("humanoid-mixed")[index]
