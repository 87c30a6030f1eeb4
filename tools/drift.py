"""`make drift`: after an upgrade of MuJoCo, Gymnasium or NumPy, what moved? Prints it in a minute; exit code 1 if anything did.

    python -m tools drift            compare with tests/golden.json
    python -m tools drift --accept   compare, then make today's numbers the golden ones (commit them with the upgrade)

Three questions: are our steps still Gymnasium's to the last bit (*parity*), do fixed seeds still give the same returns
(*golden returns*), and does the shipped experience still come out of the simulator as it was stored, or from which step
on does it part (*replay*)?
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from wmlib import storage
from wmlib.loading import load
from wmlib.real import body, policies, rollout

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden.json"
SEEDS = range(6)


def measure() -> dict[str, Any]:
    """Versions, and length and return of every body with every policy on fixed seeds (at most 200 steps)."""
    rows: dict[str, Any] = {}
    for name in body.names():
        for policy, make in policies.POLICIES.items():
            played = rollout.rollout(body.get(name), make(body.get(name)), SEEDS, max_steps=200)
            rows |= {
                f"{name} {policy} seed {e.seed}": {"steps": len(e), "return": e.episode_return}
                for e in played
            }
    return {"versions": storage.versions(), "rows": rows}


def parity() -> Iterator[str]:
    """Where our steps part from Gymnasium's, one line an episode."""
    for name in body.names():
        this = body.get(name)
        env = gymnasium.make(this.env_id)
        for episode in rollout.rollout(this, policies.RandomActions(this), SEEDS, max_steps=200):
            env.reset(seed=episode.seed)
            for t, action in enumerate(episode.action):
                obs, reward, *_ = env.step(action)
                assert episode.obs is not None
                if not (np.array_equal(obs, episode.obs[t + 1]) and reward == episode.reward[t]):
                    yield f"{name} seed {episode.seed}: parts from Gymnasium at step {t + 1}"
                    break
        env.close()


def replay() -> Iterator[str]:
    """Where the shipped experience parts from the simulator, one line an artefact."""
    for path in sorted(storage.data_folder().glob(f"*/{storage.MANIFEST}")):
        if storage.read_manifest(path.parent)["kind"] != "episodes":
            continue
        shipped = load(path.parent)
        actions = {episode.seed: episode.action for episode in shipped}
        parts = []
        for stored, now in zip(
            shipped,
            rollout.rollout(shipped.body, policies.Replay(actions), shipped.seeds.tolist()),
            strict=True,
        ):
            n = min(len(stored.qpos), len(now.qpos))
            differs = (stored.qpos[:n] != now.qpos[:n]).any(axis=1)
            if differs.any() or len(stored) != len(now):
                parts.append(int(differs.argmax()) if differs.any() else n)
        if parts:
            yield f"{path.parent.name}: {len(parts)} of {len(shipped)} episodes part from the simulator, the first at step {min(parts)}"


def changes(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """What moved between two measurements, one line a version or a row."""
    for name in sorted(then["rows"].keys() | now["rows"].keys()):
        old, new = then["rows"].get(name), now["rows"].get(name)
        if old != new:
            shown = [
                "no row" if row is None else f"{row['steps']} steps, return {row['return']:.3f}"
                for row in (old, new)
            ]
            yield f"{name}: {shown[0]} -> {shown[1]}"


def main(argv: list[str]) -> int:
    """Prints what moved; returns 1 if anything but a version did."""
    if set(argv) - {"--accept"}:
        print("usage: python -m tools drift [--accept]", file=sys.stderr)
        return 2
    now = measure()
    then = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"versions": {}, "rows": {}}
    for name in sorted(then["versions"].keys() | now["versions"].keys()):
        old, new = then["versions"].get(name, "none"), now["versions"].get(name, "none")
        print(f"  {name:11} {old if old == new else f'{old} -> {new}'}")
    moved = 0
    for title, lines in (
        ("parity", parity()),
        ("golden returns", changes(then, now)),
        ("replay of data/", replay()),
    ):
        found = list(lines)
        moved += len(found)
        print(f"{title}: {'nothing moved' if not found else f'{len(found)} moved'}")
        print("".join(f"  {line}\n" for line in found), end="")
    if "--accept" in argv:
        storage.write_atomic(GOLDEN, (json.dumps(now, indent=1) + "\n").encode())
        print(f"Today's numbers are golden now: {GOLDEN.name}")
    return int(moved > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
