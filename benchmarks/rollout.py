"""Real steps a second: `wmlib.real.rollout` beside Gymnasium's own ways of stepping, and the limit of the simulator.

Every way takes the same random actions on Humanoid-v5, with resets. The ways take turns, `ROUNDS` times, so that a noisy
machine is noisy for all of them; the table gives the median and the range.
"""

import time
from concurrent.futures import ThreadPoolExecutor

import gymnasium
import mujoco
import numpy as np

import wmlib as wm
from wmlib.real import rollout

ROUNDS, STEPS = 5, 4_000
BODY = wm.body.get("humanoid")
CORES = rollout.n_cores()


def gym_make():
    """One environment, one step at a time."""
    env = gymnasium.make(BODY.env_id)
    env.action_space.seed(0)
    env.reset(seed=0)
    started = time.perf_counter()
    for _ in range(STEPS):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
    return STEPS / (time.perf_counter() - started)


def vector(mode, n):
    """Gymnasium's vector environments of n bodies."""

    def measure():
        env = gymnasium.make_vec(BODY.env_id, num_envs=n, vectorization_mode=mode)
        env.action_space.seed(0)
        env.reset(seed=0)
        started = time.perf_counter()
        for _ in range(STEPS // n):
            env.step(env.action_space.sample())
        seconds = time.perf_counter() - started
        env.close()
        return STEPS // n * n / seconds

    return measure


def ours(threads, batch=rollout.BATCH):
    """`wmlib.real.rollout`: observations, reward terms, endings and recording included."""

    def measure():
        policy = wm.policies.RandomActions(BODY)
        counted = []
        started = time.perf_counter()
        wm.rollout(
            BODY,
            policy,
            range(10**6),
            min_steps=STEPS,
            threads=threads,
            batch=batch,
            progress=counted.append,
        )
        return counted[-1] / (
            time.perf_counter() - started
        )  # every step taken, also of episodes past min_steps

    return measure


def limit(threads):
    """`mj_step` alone through the same episodes, in threads: no observation, no reward, no policy."""
    episodes = wm.rollout(BODY, wm.policies.RandomActions(BODY), range(10**6), min_steps=STEPS)

    def play(mine):
        data = mujoco.MjData(BODY.model)
        for episode in mine:
            mujoco.mj_resetData(BODY.model, data)
            data.qpos[:], data.qvel[:] = episode.qpos[0], episode.qvel[0]
            for action in episode.action:
                data.ctrl[:] = action
                mujoco.mj_step(BODY.model, data, BODY.frame_skip)

    def measure():
        started = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(play, [episodes[k::threads] for k in range(threads)]))
        return sum(map(len, episodes)) / (time.perf_counter() - started)

    return measure


WAYS = {
    "gym.make, a loop": gym_make,
    "SyncVectorEnv, 8": vector("sync", 8),
    f"AsyncVectorEnv, {CORES}": vector("async", CORES),
    "AsyncVectorEnv, 8": vector("async", 8),
    "wmlib.real.rollout, 1 thread": ours(1),
    f"wmlib.real.rollout, {CORES} threads": ours(CORES),
    "limit: mj_step alone, 1 thread": limit(1),
    f"limit: mj_step alone, {CORES} threads": limit(CORES),
}


def main():
    """Prints the table."""
    print(
        f"{BODY.env_id}, {CORES} cores, {ROUNDS} rounds of {STEPS:,} steps, MuJoCo {mujoco.__version__}"
    )
    speeds = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, measure in WAYS.items():
            speeds[name].append(measure())
    base = np.median(speeds["gym.make, a loop"])
    print(f"{'way':36}{'steps/s':>9}{'range':>16}{'ratio':>8}")
    for name, values in speeds.items():
        low, high = min(values), max(values)
        print(
            f"{name:36}{np.median(values):9,.0f}{low:9,.0f} -{high:6,.0f}{np.median(values) / base:8.2f}"
        )


if __name__ == "__main__":
    main()
