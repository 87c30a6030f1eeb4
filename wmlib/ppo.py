"""PPO on the real body, the rival from reinforcement learning: Stable-Baselines3's, with the settings that others tuned for it.

Training needs the extra `ppo` (PyTorch); what it made is a small network that is stored as plain numbers and acts in NumPy, so that it is judged
on the same episodes as every other policy. No check on selection seeds is bought: the policy at a budget is the newest one. Compared in chapter 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError, whole
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.seeds import TRAINING_SEEDS, run_seeds

FILE = "policy.safetensors"
CLIP = 10.0
"""Standardised features are held within +- this, as in training."""

_TUNED: dict[str, Any] = {
    "n_steps": 512, "batch_size": 256, "n_epochs": 5, "gamma": 0.95, "gae_lambda": 0.9, "learning_rate": 3.56987e-05, "ent_coef": 0.00238306,
    "clip_range": 0.3, "max_grad_norm": 2, "vf_coef": 0.431892, "log_std_init": -2, "ortho_init": False, "activation": "relu", "layers": (256, 256),
}  # fmt: skip
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "tuned": _TUNED,
    "tuned-physics": {**_TUNED, "features": "physics"},
    "rate-1e-4": {**_TUNED, "learning_rate": 1e-4},
    "rate-1e-4-physics": {**_TUNED, "learning_rate": 1e-4, "features": "physics"},
    "rate-3e-4-physics": {**_TUNED, "learning_rate": 3e-4, "features": "physics"},
    "default": {},
}
"""Settings by name: those that the RL Baselines3 Zoo tuned for Humanoid; the same on the 45 numbers that our C sees; with higher
learning rates, since that tuning was for ten million steps; and the library's own defaults. Observations and rewards are standardised in all."""


class Ppo(storage.Storable):
    """A trained policy, as a callable `(obs, state) -> (actions, state)`: the mean action, cut off at the edge of the box."""

    kind = "ppo"

    def __init__(
        self, body: Body, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]
    ) -> None:
        """Puts it together: layers `0.kernel`, `0.bias`, ..., and `mean`, `std` of the features."""
        self.body, self.arrays, self.facts = body, dict(arrays), dict(facts)
        self.activation = (
            np.tanh if facts.get("activation") == "tanh" else lambda x: np.maximum(x, 0)
        )
        self.n_layers = sum(name.endswith("kernel") for name in arrays)

    @property
    def fingerprint(self) -> str:
        """sha256 of the numbers."""
        return storage.fingerprint(self.arrays, {})

    def __call__(self, obs: Array, state: Any = None) -> tuple[Array, Any]:
        """Actions (N, a_dim) for observations (N, obs_dim)."""
        a = self.arrays
        x = np.clip((obs[:, : len(a["mean"])] - a["mean"]) / a["std"], -CLIP, CLIP)
        for layer in range(self.n_layers):
            # Row by row: no bit depends on who else is in the batch.
            x = (
                np.matmul((self.activation(x) if layer else x)[:, None], a[f"{layer}.kernel"])[:, 0]
                + a[f"{layer}.bias"]
            )
        return np.clip(x, self.body.action_low, self.body.action_high), state

    def summary(self) -> dict[str, Any]:
        """The body."""
        return {"body": self.body.name}

    def files(self) -> dict[str, bytes]:
        """One."""
        return {FILE: storage.to_bytes(self.arrays, {})}

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> Ppo:
        """From its file, once its layers are found to fit each other and the body."""
        body, (data, name) = bodies.get(artefact.body), artefact.read(FILE)
        arrays = storage.from_bytes(data, name)
        layers = range(sum(name.endswith("kernel") for name in arrays))
        sizes = [np.size(arrays.get(key, ())) for key in ("mean", *(f"{at}.bias" for at in layers))]
        wanted: dict[str, tuple[int, ...]] = {"mean": (sizes[0],), "std": (sizes[0],)}
        for at in layers:
            wanted |= {f"{at}.kernel": (sizes[at], sizes[at + 1]), f"{at}.bias": (sizes[at + 1],)}
        fits = {key: array.shape for key, array in arrays.items()} == wanted
        if not fits or sizes[-1] != body.a_dim or not 0 < sizes[0] <= body.obs_dim:
            raise InputError(
                f"{name} holds no policy for {body.name}. Restore it with git, or train again."
            )
        return cls(body, arrays, artefact.facts)


def _libraries() -> tuple[Any, Any]:
    try:
        import stable_baselines3
        import torch
    except ImportError as error:
        raise InputError(
            f'PPO needs Stable-Baselines3 and PyTorch ({error}). Install them beside the book: pip install ".[ppo]".'
        ) from None
    return stable_baselines3, torch


def _environment(body: Body, sb3: Any, features: str, gamma: float) -> Any:
    """One environment, its observations and rewards standardised as they come."""
    import gymnasium

    env = gymnasium.make(body.env_id)
    if features == "physics":
        low = np.full(body.physics_dim, -np.inf)
        space = gymnasium.spaces.Box(low, -low, dtype=np.float64)
        env = gymnasium.wrappers.TransformObservation(
            env, lambda obs: obs[: body.physics_dim], space
        )
    vectors = sb3.common.vec_env.DummyVecEnv([lambda: sb3.common.monitor.Monitor(env)])
    return sb3.common.vec_env.VecNormalize(vectors, gamma=gamma)


def _arrays(model: Any) -> dict[str, NDArray[np.float32]]:
    """The actor's layers and the statistics of its features."""
    linear = [
        layer for layer in model.policy.mlp_extractor.policy_net if hasattr(layer, "weight")
    ] + [model.policy.action_net]
    stats = model.get_vec_normalize_env()
    arrays = {"mean": stats.obs_rms.mean, "std": np.sqrt(stats.obs_rms.var + stats.epsilon)}
    for i, layer in enumerate(linear):
        arrays |= {
            f"{i}.kernel": layer.weight.detach().numpy().T,
            f"{i}.bias": layer.bias.detach().numpy(),
        }
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def train(
    body: Body, out: str | Path, *, steps: int, budgets: Sequence[int] = (), configuration: str = "tuned", seed: int = 0, command: str = "", say: Callable[[str], None] = print
) -> list[Path]:  # fmt: skip
    """Trains on `steps` real steps; the policy at each budget goes to OUT-BUDGET, the last one to OUT. It does not resume. Returns the folders.

    Raises:
        InputError: if a number or a name is wrong, a folder exists already, or Stable-Baselines3 is not installed.
    """
    if configuration not in CONFIGURATIONS:
        raise InputError(
            f"There is no configuration '{configuration}'; there are: {', '.join(CONFIGURATIONS)}."
        )
    first, seed = run_seeds(TRAINING_SEEDS, seed)[0], whole(seed, "The seed of a run")
    steps = whole(steps, "The number of steps")
    budgets = [whole(at, "A budget") for at in budgets]
    settings = dict(CONFIGURATIONS[configuration])
    every = sorted({*budgets, steps})
    per = settings.get("n_steps", 2048)
    if every[0] < per or every[-1] > steps:
        raise InputError(
            f"{steps:,} real steps and budgets of {list(budgets)} were asked for; expected at least {per}, and no budget past the last step."
        )
    places = {at: storage.place(out, "" if at == steps else f"-{at}") for at in every}
    storage.refuse_taken(*places.values())
    sb3, torch = _libraries()
    torch.set_num_threads(1)  # these networks are too small to gain from more
    features, activation = settings.pop("features", "obs"), settings.pop("activation", "tanh")
    layers = list(settings.pop("layers", (64, 64)))
    kwargs: dict[str, Any] = {
        key: settings.pop(key) for key in ("log_std_init", "ortho_init") if key in settings
    }
    kwargs |= {
        "activation_fn": getattr(torch.nn, {"relu": "ReLU", "tanh": "Tanh"}[activation]),
        "net_arch": {"pi": layers, "vf": layers},
    }
    env = _environment(body, sb3, features, settings.get("gamma", 0.99))
    model = sb3.PPO("MlpPolicy", env, seed=seed, policy_kwargs=kwargs, device="cpu", **settings)
    env.seed(
        first
    )  # to make the learner seeds it with the bare number, which is in the block of run 0
    clock = storage.Clock()

    def keep(upto: int) -> None:
        """Stores the policy at each budget that the next steps would cross."""
        for budget, place in places.items():
            if not place.exists() and upto > budget:
                spent = clock.read()
                facts = {
                    "configuration": configuration, "activation": activation, "seed": seed, "budget": budget, "real_steps": model.num_timesteps,
                    "command": command,
                }  # fmt: skip
                Ppo(body, _arrays(model), facts).save(place, **spent, **facts)
                recent = [episode["r"] for episode in model.ep_info_buffer or ()]
                say(
                    f"{model.num_timesteps:,} of {steps:,} real steps, return in training {np.mean(recent or [np.nan]):.0f}, {spent['seconds']:.0f} s: {place}"
                )

    class Marks(sb3.common.callbacks.BaseCallback):  # type: ignore[misc,name-defined]
        def _on_step(self) -> bool:
            return True

        def _on_rollout_start(self) -> None:
            keep(self.num_timesteps + per)

    model.learn(total_timesteps=steps // per * per, callback=Marks())
    keep(steps + 1)
    return list(places.values())
