"""M: a recurrent network that predicts. From code, action and memory it gives a mixture density over the next code, the reward
and the chance that the episode ends.

The index convention of the book: h[t+1] = M(z[t], action[t], h[t]), and from h[t+1] M predicts z[t+1], reward[t] and done[t].
Memory is an LSTM's (h, c), zero before the first step. `step` makes one step, `sequence` many; they agree. Built in chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wmlib.config import MDNRNNConfig
from wmlib.errors import InputError
from wmlib.models import mdn, nets
from wmlib.models.mdn import Mixture, Noise
from wmlib.models.nets import Params, Tensor, ops
from wmlib.models.vae import VAE
from wmlib.real.body import Body
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
State = tuple[Tensor, Tensor]
"""M's memory: h and c, each (..., h_dim)."""
LOG_SIGMA = (-6.0, 3.0)
"""M's log sigma, in units of the usual change of z, is held in here."""
FILE = "mdnrnn.safetensors"


class Prediction(NamedTuple):
    """What M predicts: a mixture over z[t+1], of reward[t] what it learns (...,), in the body's units, and the logit of done[t] (...,)."""

    mixture: Mixture
    reward: Tensor
    done_logit: Tensor


def shapes(config: MDNRNNConfig, z_dim: int, a_dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of an M."""
    h, k = config.h_dim, config.n_mix
    lstm: dict[str, tuple[int, ...]] = {
        "lstm.kernel": (z_dim + a_dim, 4 * h),
        "lstm.recurrent": (h, 4 * h),
        "lstm.bias": (4 * h,),
    }
    return (
        lstm
        | nets.dense_shapes("mixture", h, 2 * k * z_dim + k * (1 if config.joint else z_dim))
        | nets.dense_shapes("reward_done", h, 2)
    )


@dataclass(frozen=True, eq=False)
class MDNRNN(nets.Network):
    """An M: its configuration, the scales of what goes in and out, and its weights.

    Attributes:
        config: sizes and options.
        z_dim: numbers in a code.
        a_dim: numbers in an action.
        action_center: (a_dim,), middle of the action box.
        action_scale: (a_dim,), half its width: M sees actions in -1 to 1.
        change_scale: (z_dim,), usual size of z[t+1] - z[t] (of z, if M does not predict changes): the unit of the mixture.
        reward_stats: (2,), mean and standard deviation of what it learns of the reward.
        params: named weights, NumPy arrays or tensors.
    """

    config: MDNRNNConfig
    z_dim: int
    a_dim: int
    action_center: Floats
    action_scale: Floats
    change_scale: Floats
    reward_stats: Floats
    params: Params

    CONFIG = MDNRNNConfig
    STATS = ("action_center", "action_scale", "change_scale", "reward_stats")
    EARLIER = {"reward": "whole"}  # noqa: RUF012

    @classmethod
    def create(
        cls,
        body: Body,
        data: Mapping[str, NDArray[Any]],
        config: MDNRNNConfig | None = None,
        *,
        seed: int = 0,
    ) -> MDNRNN:
        """An M with random weights, scaled to the training data that `sequences` gave.

        Raises:
            InputError: if `own` or `reward` is none of its names.
        """
        config = config or MDNRNNConfig()
        if config.own not in ("mean", "sample") or config.reward not in ("rest", "whole"):
            raise InputError(
                f"An M with h_dim {config.h_dim}, n_mix {config.n_mix}, own '{config.own}' and reward '{config.reward}' was asked for; expected sizes of at least 1, 'mean' or 'sample', and 'rest' or 'whole'."
            )
        mask = data["mask"] > 0
        target = data["next_mu"] - data["mu"] if config.predict_change else data["next_mu"]
        reward = _learned_reward(config, data)[mask]
        z_dim, (center, half) = target.shape[-1], body.box
        return cls(
            config, z_dim, body.a_dim, center.astype(np.float32), half.astype(np.float32),
            change_scale=np.maximum(target[mask].std(axis=0), 1e-3).astype(np.float32),
            reward_stats=np.array([reward.mean(), max(reward.std(), 1e-3)], dtype=np.float32),
            params=initial(config, z_dim, body.a_dim, seed),
        )  # fmt: skip

    @property
    def n_logits(self) -> int:
        """Logits of components: K, or K for each number of the code."""
        return self.config.n_mix * (1 if self.config.joint else self.z_dim)

    def log_pi_shape(self, *lead: int) -> tuple[int, ...]:
        """Shape of the mixture's log_pi with these leading axes, for `mdn.noise`."""
        return (
            (*lead, self.config.n_mix)
            if self.config.joint
            else (*lead, self.config.n_mix, self.z_dim)
        )

    def start(self, *batch: int) -> tuple[Floats, Floats]:
        """Memory before the first step: zeros, h and c each `(*batch, h_dim)`."""
        zeros = np.zeros((*batch, self.config.h_dim), dtype=np.float32)
        return zeros, zeros

    # One step, and many.

    def step(
        self, z: Tensor, action: Tensor, state: State, *, normalised: bool = True
    ) -> tuple[Prediction, State]:
        """One step: what follows z (B, Z) and action (B, a_dim), in the body's units, and the memory after it; `normalised` as in `heads`."""
        state = self.remember(z, action, state)
        return self.heads(state[0], z, normalised=normalised), state

    def remember(self, z: Tensor, action: Tensor, state: State) -> State:
        """The memory after a step, without a prediction."""
        return self._cell(self._inputs(z, action), state)

    def sequence(
        self, z: Tensor, action: Tensor, state: State | None = None, reset: Tensor | None = None
    ) -> tuple[Prediction, Tensor]:
        """Many steps with the true codes z (B, T, Z) and actions (B, T, a_dim) as inputs: teacher forcing.

        Args:
            z: codes.
            action: actions, in the body's units.
            state: memory before the first step; zeros by default.
            reset: (B, T); 1 where an episode begins, so that memory is emptied before that step.

        Returns:
            the predictions, leading axes (B, T), and h after each step (B, T, h_dim).
        """
        # One multiplication for the inputs of all steps; only the recurrent part must wait its turn.
        # Unstacked along the first axis: a slice for each step would have a gradient of the whole array's size.
        inputs = ops.unstack(
            self._inputs(ops.swapaxes(z, 0, 1), ops.swapaxes(action, 0, 1)), axis=0
        )
        state = state or self._zeros(z)
        hidden = []
        for t, at_t in enumerate(inputs):
            state = self._cell(at_t, _emptied(state, reset, t))
            hidden.append(state[0])
        h = ops.swapaxes(ops.stack(hidden, axis=0), 0, 1)
        return self.heads(h, z), h

    def rollout(
        self,
        z: Tensor,
        action: Tensor,
        own: Tensor,
        reset: Tensor | None = None,
        noise: Noise | None = None,
    ) -> tuple[Prediction, Tensor]:
        """Many steps, some of them fed with M's own prediction.

        Args:
            z: true codes (B, T, Z).
            action: actions (B, T, a_dim).
            own: (B, T); 1 where the input is M's own code from the step before. Step 0 must be 0.
            reset: as in `sequence`.
            noise: for own codes that are sampled, log_pi's shape and z's with leading axes (B, T); the mean of the mixture if None.

        Returns:
            the predictions, leading axes (B, T), and the codes that were fed in (B, T, Z).
        """
        state = self._zeros(z)
        fed: list[Tensor] = [z[:, 0]]
        predictions: list[Prediction] = []
        for t in range(z.shape[1]):
            if t:
                before = predictions[-1].mixture
                mine = (
                    mdn.mean(before)
                    if noise is None
                    else mdn.sample(before, 1.0, Noise(noise.gumbel[:, t - 1], noise.eps[:, t - 1]))
                )
                fed.append(ops.where(own[:, t, None] > 0, mine, z[:, t]))
            prediction, state = self.step(fed[t], action[:, t], _emptied(state, reset, t))
            predictions.append(prediction)
        mixtures = Mixture(
            *(
                ops.stack(parts, axis=1)
                for parts in zip(*(p.mixture for p in predictions), strict=True)
            )
        )
        rewards, dones = (
            ops.stack([getattr(p, part) for p in predictions], axis=1)
            for part in ("reward", "done_logit")
        )
        return Prediction(mixtures, rewards, dones), ops.stack(fed, axis=1)

    def _inputs(self, z: Tensor, action: Tensor) -> Tensor:
        """The part of the gates that does not need the memory, (..., 4 h_dim)."""
        scaled = (action - self.action_center) / self.action_scale
        return (
            ops.matmul(ops.concatenate([z, scaled], axis=-1), self.params["lstm.kernel"])
            + self.params["lstm.bias"]
        )

    def _cell(self, inputs: Tensor, state: State) -> State:
        """The LSTM: c' = f c + i g, h' = o tanh(c'), the gates from inputs + h R. Equation (4.4)."""
        h, c = state
        i, f, g, o = ops.split(inputs + ops.matmul(h, self.params["lstm.recurrent"]), 4, axis=-1)
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        return ops.sigmoid(o) * ops.tanh(c), c

    def _zeros(self, z: Tensor) -> State:
        zeros = ops.zeros((ops.shape(z)[0], self.config.h_dim))
        return zeros, zeros

    def heads(self, h: Tensor, z: Tensor, *, normalised: bool = True) -> Prediction:
        """Predictions from h[t+1] (..., h_dim); z[t] (..., Z) is where changes start.

        If not `normalised`, log_pi lacks its constant: enough to sample by, and an eighth of a dreamed step is saved.
        """
        k, lead = self.config.n_mix, tuple(ops.shape(h)[:-1])
        n = k * self.z_dim
        logits, mu, log_sigma = ops.split(
            nets.dense(self.params, "mixture", h), [self.n_logits, self.n_logits + n], axis=-1
        )
        mu = ops.reshape(mu, (*lead, k, self.z_dim)) * self.change_scale
        if self.config.predict_change:
            mu = mu + ops.expand_dims(z, -2)
        log_sigma = ops.clip(ops.reshape(log_sigma, (*lead, k, self.z_dim)), *LOG_SIGMA) + np.log(
            self.change_scale
        )
        log_pi = logits if self.config.joint else ops.reshape(logits, (*lead, k, self.z_dim))
        if normalised:
            log_pi = ops.log_softmax(log_pi, axis=-1 if self.config.joint else -2)
        rd = nets.dense(self.params, "reward_done", h)
        return Prediction(
            Mixture(log_pi, mu, log_sigma),
            rd[..., 0] * self.reward_stats[1] + self.reward_stats[0],
            rd[..., 1],
        )

    # Training.

    def loss(self, params: Params, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The masked loss of a batch and its pieces, for `training.fit`.

        Args:
            params: the weights to differentiate by.
            batch: what `make_batch` makes: z, z_next (B, T, Z), action (B, T, a_dim), reward, done, mask, reset (B, T); with `own` (B, T) also M's own
                rollouts, and with `gumbel` and `eps` sampled ones.

        Returns:
            nll + reward_weight * reward + done_weight * done. `nll`: nats a step of z_next under the mixture; `reward`: half the squared error, in
            standard deviations; `done`: cross-entropy in nats. Own rollouts add own_weight * `own`: half the squared error of the predicted mean, in
            usual changes, however far the rollout has come. (The density stays that of one step: a likelihood of codes many steps ahead would
            widen it, and spoil sampling.) Each is a mean over the valid steps. Equation (4.5); built in chapter 4.
        """
        model, mask = self.using(params), batch["mask"]
        predicted, _ = model.sequence(batch["z"], batch["action"], reset=batch["reset"])
        nll = mdn.nll(predicted.mixture, batch["z_next"], mask)
        reward = mdn.masked_mean(
            0.5 * ops.square((predicted.reward - batch["reward"]) / self.reward_stats[1]), mask
        )
        done = mdn.masked_mean(
            ops.softplus(predicted.done_logit) - batch["done"] * predicted.done_logit, mask
        )
        total = nll + self.config.reward_weight * reward + self.config.done_weight * done
        pieces = {"nll": nll, "reward": reward, "done": done}
        if "own" in batch:
            noise = Noise(batch["gumbel"], batch["eps"]) if "eps" in batch else None
            ahead, _ = model.rollout(
                batch["z"], batch["action"], batch["own"], batch["reset"], noise
            )
            error = (mdn.mean(ahead.mixture) - batch["z_next"]) / self.change_scale
            pieces["own"] = mdn.masked_mean(0.5 * ops.sum(ops.square(error), axis=-1), mask)
            total = total + self.config.own_weight * pieces["own"]
        return total, pieces

    def make_batch(self, own_steps: int = 0) -> Any:
        """For `training.fit`: draws z and z_next afresh from (mu, std) in each batch, and says where M feeds itself.

        Args:
            own_steps: length of M's own rollouts; 0 or 1 is teacher forcing. A true code is given every `own_steps` steps, at an offset that is
                drawn afresh for each row.
        """

        def draw(
            rows: dict[str, NDArray[Any]], rng: np.random.Generator
        ) -> dict[str, NDArray[Any]]:
            batch = {name: rows[name] for name in ("action", "done", "mask", "reset")}
            batch["reward"] = _learned_reward(self.config, rows)
            batch["z"], batch["z_next"] = (
                rows[f"{p}mu"]
                + rows[f"{p}std"] * rng.standard_normal(rows["mu"].shape, dtype=np.float32)
                for p in ("", "next_")
            )
            if own_steps > 1:
                n_rows, n_steps = rows["mask"].shape
                offset = rng.integers(own_steps, size=(n_rows, 1))
                own = ((np.arange(n_steps) + offset) % own_steps > 0) & (rows["reset"] == 0)
                own[:, 0] = False
                batch["own"] = own.astype(np.float32)
                if self.config.own == "sample":
                    batch |= mdn.noise(
                        rng, self.log_pi_shape(n_rows, n_steps), rows["mu"].shape
                    )._asdict()
            return batch

        return draw

    # On disk.

    @classmethod
    def layout(cls, config: MDNRNNConfig, *of: Any) -> dict[str, tuple[int, ...]]:
        """Of an M of this body, on codes of z_dim numbers."""
        body, z_dim = of
        sizes = zip(cls.STATS, (body.a_dim, body.a_dim, z_dim, 2), strict=True)
        stats = {f"stats.{name}": (size,) for name, size in sizes}
        return shapes(config, z_dim, body.a_dim) | stats

    @classmethod
    def from_arrays(
        cls, config: MDNRNNConfig, arrays: Mapping[str, NDArray[Any]], *of: Any
    ) -> MDNRNN:
        """From what `arrays` gave."""
        body, z_dim = of
        return cls(config=config, z_dim=z_dim, a_dim=body.a_dim, **cls.fields(arrays))


def initial(config: MDNRNNConfig, z_dim: int, a_dim: int, seed: int) -> Params:
    """Random weights. The forget gate begins open (bias 1), and the heads near 0, so that M begins with 'nothing changes'.

    The components begin side by side, from -1 to 1 usual changes: equal ones would get equal gradients, and never part.
    """
    params = nets.initial(shapes(config, z_dim, a_dim), seed)
    params["lstm.bias"][config.h_dim : 2 * config.h_dim] = 1.0
    params["mixture.kernel"] *= np.float32(0.1)
    n = config.n_mix * z_dim
    side = (
        np.random.default_rng([seed, 1]).choice([-1.0, 1.0], size=z_dim)
        if config.joint
        else np.ones(z_dim)
    )
    apart = np.linspace(-1, 1, config.n_mix) if config.n_mix > 1 else np.zeros(1)
    params["mixture.bias"][-2 * n : -n] = np.outer(apart, side).ravel()  # the part of mu
    return params


def sequences(
    vae: VAE, episodes: Episodes, length: int = 32, obs: NDArray[Any] | None = None
) -> dict[str, NDArray[Any]]:
    """Training data of M: all steps of the episodes, end to end, cut in rows of `length` steps.

    No step is padding but at the very end, where `mask` is 0; `reset` is 1 at the first step of each episode, where memory is
    emptied, so that nothing crosses from one episode into the next.

    Args:
        vae: the V that codes observations.
        episodes: real episodes.
        length: steps T of a row.
        obs: what V sees, (n_steps + E, ...); `episodes.physics` by default.

    Returns:
        arrays with N rows: mu, std, next_mu, next_std (N, T, Z), action (N, T, a_dim), reward, known, done, mask, reset (N, T). `known` is the part of
        the reward that needs no learning; `done` is the body's own end (`terminated`), never the limit of steps.
    """
    if length < 1:
        raise InputError(f"Rows of {length} steps were asked for; expected at least 1.")
    mu, logvar = vae.encode(episodes.physics if obs is None else obs)
    std = np.exp(0.5 * logvar)
    before, after, first_step = episodes.before, episodes.before + 1, episodes.first_step
    reset, done = np.zeros(episodes.n_steps, np.float32), np.zeros(episodes.n_steps, np.float32)
    reset[first_step] = 1.0
    done[first_step + episodes.lengths - 1] = episodes.terminated
    known = episodes.body.known_reward(episodes.physics[after], episodes.action)
    flat = {
        "mu": mu[before], "std": std[before], "next_mu": mu[after], "next_std": std[after], "action": episodes.action,
        "reward": episodes.reward.astype(np.float32), "known": known.astype(np.float32), "done": done, "mask": np.ones(episodes.n_steps, np.float32), "reset": reset,
    }  # fmt: skip
    n_rows = -(-episodes.n_steps // length)

    def rows(array: NDArray[Any]) -> NDArray[Any]:
        padded = np.zeros((n_rows * length, *array.shape[1:]), np.float32)
        padded[: len(array)] = array
        return padded.reshape(n_rows, length, *array.shape[1:])

    return {name: rows(array) for name, array in flat.items()}


def _learned_reward(config: MDNRNNConfig, rows: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """What M learns of the reward, (N, T)."""
    return rows["reward"] - rows["known"] if config.reward == "rest" else rows["reward"]


def _emptied(state: State, reset: Tensor | None, t: int) -> State:
    """Memory before step t: zeros in the rows where an episode begins."""
    if reset is None:
        return state
    keep = 1.0 - reset[:, t, None]
    return state[0] * keep, state[1] * keep
