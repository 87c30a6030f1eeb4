"""The structured ensemble: a model that is told the geometry of the body, and learns only what geometry cannot say.

In one step of the body, speeds change by forces: those are learned. What follows from the speeds is computed: positions by integration, the centre of mass
and the feet by kinematics, the forward reward by the centre of mass, the end by the height. The network is shown what decides a force: the body's
own frame, how far its feet are from the floor now and within the step, how far each joint is from its limits.

Inside, numbers come first and rows last: physics (S, R); row i belongs to member i mod E.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib.config import StructuredConfig
from wmlib.models import nets
from wmlib.models.model import NetworkModel, Predicted, State
from wmlib.models.nets import Params, Tensor, ops
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes
from wmlib.real.kinematics import GROUPS, Kinematics, Rows, dot, times, transposed

Floats = NDArray[np.float32]
INPUT_CLIP, ERROR_CLIP = 8.0, 10.0
"""Standardised inputs, and errors in the loss, are held within +- these."""
LOG_SIGMA = (-5.0, 1.0)
"""log sigma, in standard deviations of a change of speed, is held softly in here."""
NEAR_FLOOR, NEAR_LIMIT = (0.01, 0.03), (0.03, 0.1)
"""Metres and radians over which a contact, or a joint's limit, makes itself felt."""
MARGIN = 0.05
"""Dreamed states are held within what was ever seen, and this share of its range beyond."""
POSE_WEIGHT, MEAN_WEIGHT, OWN_WEIGHT, HUBER = 0.1, 0.02, 0.3, 3.0
"""Weights in the loss: of the pose, of the squared error of the mean, of the model's own rollout; and where that turns from squared to linear."""


def _rows(values: Any) -> Rows:
    """(..., k) -> (k, ...) with the leading axes as one last axis of rows, float32."""
    values = np.asarray(values, np.float32)
    return np.moveaxis(values, -1, 0).reshape(values.shape[-1], -1)


@dataclass(frozen=True, eq=False)
class StructuredEnsemble(NetworkModel):
    """A structured ensemble: configuration, body, statistics and weights.

    Attributes:
        body: whose kinematics are used.
        config: sizes.
        mean: (F,), of the inputs.
        std: (F,), of them.
        change_std: (V,), of the change of each speed in a step.
        rest_std: (V,), of what is left of the pose after integration.
        low: (S,), of physics that dreams may visit.
        high: (S,), of them.
        speed: (2,), lowest and highest of the centre of mass, in m/s.
        params: named weights, first axis the member.
    """

    body: Body
    config: StructuredConfig
    mean: Floats
    std: Floats
    change_std: Floats
    rest_std: Floats
    low: Floats
    high: Floats
    speed: Floats
    params: Params
    kinematics: Kinematics = field(init=False, repr=False)

    CONFIG = StructuredConfig
    STATS = ("mean", "std", "change_std", "rest_std", "low", "high", "speed")
    kind = "structured"
    parts = ("obs", "limbs")
    jit = True

    def __post_init__(self) -> None:
        """Reads the body's tree."""
        object.__setattr__(self, "kinematics", Kinematics(self.body, ops))

    @property
    def n_speeds(self) -> int:
        """V, how many speeds a body has: three and three of its root, one of each joint."""
        return 6 + self.kinematics.n_joints

    @classmethod
    def create(
        cls, episodes: Episodes, config: StructuredConfig | None = None, *, seed: int = 0
    ) -> StructuredEnsemble:
        """An ensemble with random weights and the statistics of these episodes.

        Raises:
            InputError: if the body's limbs cannot be computed.
        """
        config = config or StructuredConfig()
        none: Any = dict.fromkeys(cls.STATS, np.zeros(0, np.float32))
        made = cls(body=episodes.body, config=config, **none, params={}).measured(
            episodes, seed=seed
        )
        shapes = cls.layout(config, episodes.body)
        params = nets.initial(
            {name: shape for name, shape in shapes.items() if not name.startswith("stats.")}, seed
        )
        params["out.kernel"] = 0.3 * params["out.kernel"]
        for layer in range(config.layers):
            params[f"{layer}.gain"] = np.ones_like(params[f"{layer}.gain"])
        return made.using(params)

    def measured(
        self, episodes: Episodes, *, seed: int = 0, scales: bool = True
    ) -> StructuredEnsemble:
        """The same weights with the statistics of these episodes: all, or without `scales` only the range that dreams may visit."""
        physics = episodes.physics
        low, high = physics.min(axis=0), physics.max(axis=0)
        room = MARGIN * (high - low)
        fast = np.quantile(physics[:, episodes.body.physics_dim - self.n_speeds], [0.0005, 0.9995])
        stats: dict[str, Any] = {
            "low": low - room, "high": high + room,
            "speed": np.array([min(1.2 * fast[0], -1.0), max(1.2 * fast[1], 1.0)]),
        }  # fmt: skip
        # Height and quaternion are held by the end and by the unit length; these bounds are beyond both.
        stats["low"][:5], stats["high"][:5] = -10.0, 10.0
        if scales:
            table = self.table(episodes)
            pick = np.random.default_rng([seed, 10]).permutation(table["first"])[:4096]
            before, after = (_rows(table["physics"][pick + k]) for k in (0, 1))
            inputs = self.inputs(
                before, self.kinematics.limbs(before), _rows(table["action"][pick])
            )
            change = self.speed_change(before, after)
            moved, pose = self.integrate(before, change, ops.zeros_like(change))
            rest = self.pose_error(before, moved, pose, _rows(table["moved"][pick]), after)
            inputs, change, rest = (ops.convert_to_numpy(part) for part in (inputs, change, rest))
            mean = inputs.mean(axis=1)
            stats |= {
                "mean": mean, "std": np.maximum(inputs.std(axis=1), 0.01 * (1 + np.abs(mean))),
                "change_std": np.maximum(change.std(axis=1), 1e-3), "rest_std": np.maximum(rest.std(axis=1), 1e-5),
            }  # fmt: skip
        found: Any = {name: np.asarray(value, np.float32) for name, value in stats.items()}
        return dataclasses.replace(self, **found)

    # What is exact

    def integrate(self, physics: Rows, change: Rows, rest: Rows) -> tuple[Rows, Rows]:
        """Where speeds lead in one step: (how far the root moved (3, R), physics (S, R)).

        Args:
            physics: (S, R), before.
            change: (V, R), of the speeds; the root's three in the torso's own frame.
            rest: (V, R), what the pose gets besides, in the same order.
        """
        n, half = self.kinematics.n_joints, self.body.dt / 2
        joints = GROUPS["joints"]
        turn = self.kinematics.rotation(physics)
        speeds = physics[joints + n :]
        velocity = speeds[:3] + _turned(turn, change)
        others = speeds[3:] + change[3:]
        moved = half * (speeds[:3] + velocity) + _turned(turn, rest)
        slid = half * (speeds[3:] + others) + rest[3:]
        pose = [
            physics[:1] + moved[2:],
            _spun(physics[1:joints], slid[:3]),
            physics[joints : joints + n] + slid[3:],
        ]
        return moved, ops.concatenate([*pose, velocity, others], axis=0)

    def speed_change(self, before: Rows, after: Rows) -> Rows:
        """(V, R), the root's velocity in the frame of the torso before."""
        first = GROUPS["joints"] + self.kinematics.n_joints
        change = after[first:] - before[first:]
        back = transposed(self.kinematics.rotation(before))
        return ops.concatenate([_turned(back, change), change[3:]], axis=0)

    def pose_error(
        self, before: Rows, moved: Rows, pose: Rows, true_moved: Rows, after: Rows
    ) -> Rows:
        """What leads from the pose that was computed to the one that came, (V, R), in the torso's frame; angles are small."""
        joints, n = GROUPS["joints"], self.kinematics.n_joints
        back = transposed(self.kinematics.rotation(before))
        back_turn = [pose[1], -pose[2], -pose[3], -pose[4]]
        turned = 2 * ops.stack(_hamilton(back_turn, [after[1 + i] for i in range(4)])[1:])
        return ops.concatenate(
            [_turned(back, true_moved - moved), turned, after[joints : joints + n] - pose[joints : joints + n]],
            axis=0,
        )  # fmt: skip

    # What is learned

    def inputs(self, physics: Rows, limbs: Rows, action: Rows) -> Rows:
        """What the network sees (F, R), in plain units."""
        seen, dt = self.kinematics.frame(physics, limbs), self.body.dt
        center, half = (part.astype(np.float32)[:, None] for part in self.body.box)
        names = "height up velocity spin center speeds clearance falling feet feet_velocity"
        numbers = [number for name in names.split() for number in seen[name]]
        # The height of each foot now, and at the half and at the end of the step if nothing touched it.
        heights = [
            clear + part * dt * falling
            for part in (0.0, 0.5, 1.0)
            for clear, falling in zip(seen["clearance"], seen["falling"], strict=True)
        ]
        if self.kinematics.n_feet == 2:
            apart = [a - b for a, b in zip(seen["feet"][:3], seen["feet"][3:], strict=True)]
            heights.append(ops.sqrt(dot(apart, apart) + 1e-8) - float(self.kinematics.radius.sum()))
        floor = [ops.tanh(ops.stack(heights) / near) for near in NEAR_FLOOR] if heights else []
        q, limits = ops.stack(seen["joints"]), np.asarray(self.kinematics.limits, np.float32)
        far = q + dt * ops.stack(seen["speeds"])
        limit = [
            ops.tanh(beyond / near)
            for at, near in zip((q, far), NEAR_LIMIT, strict=True)
            for beyond in (at - limits[:, 1:], limits[:, :1] - at)
        ]
        push = (action - center) / half
        return ops.concatenate(
            [ops.stack(numbers), ops.sin(q), ops.cos(q), ops.clip(push, -1, 1), *floor, *limit],
            axis=0,
        )

    def network(self, params: Params, x: Rows) -> tuple[Rows, Rows, Rows]:
        """Of inputs (F, R): mean and log sigma of the change of speeds, and the rest of the pose, each (V, R), in standard deviations."""
        e, v = self.config.members, self.n_speeds
        x = (x - self.mean[:, None]) / self.std[:, None]
        x = ops.reshape(ops.clip(x, -INPUT_CLIP, INPUT_CLIP), (x.shape[0], -1, e))
        x = ops.transpose(x, (2, 1, 0))  # (E, R / E, F)
        h = None
        for layer in range(self.config.layers):
            u = (
                ops.matmul(x if h is None else h, params[f"{layer}.kernel"])
                + params[f"{layer}.bias"]
            )
            u = u - ops.mean(u, axis=-1, keepdims=True)
            u = u * ops.rsqrt(ops.mean(ops.square(u), axis=-1, keepdims=True) + 1e-5)
            u = nets.silu(u * params[f"{layer}.gain"])
            h = u if h is None else h + u
        out = ops.matmul(h, params["out.kernel"]) + params["out.bias"]
        out = ops.reshape(ops.transpose(out, (2, 1, 0)), (3 * v, -1))
        low, high = LOG_SIGMA
        middle, half = (low + high) / 2, (high - low) / 2
        log_sigma = middle + half * ops.tanh((out[v : 2 * v] - middle - half) / half)
        return out[:v], log_sigma, out[2 * v :]

    def advance(
        self, params: Params, physics: Rows, limbs: Rows, action: Rows
    ) -> tuple[Rows, Rows, Rows]:
        """The likeliest next state: how far the root moved (3, R), physics (S, R), and log sigma of the change of speeds (V, R), in standard deviations."""
        mean, log_sigma, rest = self.network(params, self.inputs(physics, limbs, action))
        moved, after = self.integrate(
            physics, mean * self.change_std[:, None], rest * self.rest_std[:, None]
        )
        return moved, self._held(after), log_sigma

    def _held(self, physics: Rows) -> Rows:
        """Physics within what was ever seen."""
        return ops.clip(physics, self.low[:, None], self.high[:, None])

    def table(self, episodes: Episodes) -> dict[str, NDArray[Any]]:
        """Training data, every real state in one row: `physics` (N, S), `action` and `moved` (N, ...) of the step from it (0 after the last); `left` (N,): steps left; `first` (N - episodes,): rows with a step."""
        n_states, step = len(episodes.physics), episodes.before
        action = np.zeros((n_states, episodes.body.a_dim), np.float32)
        action[step] = episodes.action
        moved = np.zeros((n_states, 3), np.float32)
        moved[step] = episodes.qpos[step + 1, :3] - episodes.qpos[step, :3]
        return {
            "physics": episodes.physics.astype(np.float32), "action": action, "moved": moved, "first": step,
            "left": np.repeat(episodes.first_state + episodes.lengths, episodes.lengths + 1) - np.arange(n_states),
        }  # fmt: skip

    def loss(self, params: Params, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Of windows of K steps: nll of the first step's change of speeds, squared error of its pose, and, if K > 1, how far the model's own rollout strays.

        Args:
            params: weights.
            batch: `physics` (K + 1, S, R), `action` (K, a_dim, R), `moved` (3, R) of the first step; and the statistics `stats.mean` and so on, which
                may change without a new compilation.
        """
        stats = {name: batch[name] for name in batch if name.startswith("stats.")}
        return self.holding({**params, **stats})._loss(params, batch)

    def _loss(self, params: Params, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        true, action = batch["physics"], batch["action"]
        n_steps, before, change_std = action.shape[0], true[0], self.change_std[:, None]

        # Not a compiled call of its own: XLA would take all that it is given for constants, and compile again in every update.
        def live(now: Rows, action: Rows) -> tuple[Rows, Rows, Rows]:
            return self.advance(params, now, self.kinematics.limbs(now), action)

        root, first, log_sigma = live(before, action[0])
        rollout = [first]
        for k in range(1, n_steps):
            rollout.append(live(rollout[-1], action[k])[1])
        error = (self.speed_change(before, true[1]) - self.speed_change(before, first)) / change_std
        error = ops.clip(error, -ERROR_CLIP, ERROR_CLIP)
        pose = (
            self.pose_error(before, root, first, batch["moved"], true[1]) / self.rest_std[:, None]
        )
        nll = ops.mean(0.5 * ops.square(error) * ops.exp(-2 * log_sigma) + log_sigma)
        pose_loss = ops.mean(ops.square(ops.clip(pose, -ERROR_CLIP, ERROR_CLIP)))
        total = nll + POSE_WEIGHT * pose_loss + MEAN_WEIGHT * ops.mean(ops.square(error))
        pieces = {"nll": nll, "pose": pose_loss}
        if n_steps > 1:
            scale = self._scale(ops.stop_gradient(ops.exp(log_sigma)) * change_std, n_steps)
            astray = ops.abs(ops.stack(rollout) - true[1:]) / scale
            huber = ops.where(
                astray < HUBER, 0.5 * ops.square(astray), HUBER * (astray - 0.5 * HUBER)
            )
            pieces["own"] = ops.mean(huber)
            total = total + OWN_WEIGHT * pieces["own"]
        return total, pieces

    def windows(
        self, table: Mapping[str, NDArray[Any]], rows: NDArray[np.int64], n_steps: int
    ) -> dict[str, NDArray[Any]]:
        """A batch for `loss`: windows of n_steps steps that begin at these rows (R,) of a `table`."""
        at = rows + np.arange(n_steps + 1)[:, None]
        return {
            "physics": table["physics"][at].transpose(0, 2, 1), "action": table["action"][at[:-1]].transpose(0, 2, 1), "moved": table["moved"][rows].T,
            **{f"stats.{name}": getattr(self, name) for name in self.STATS},
        }  # fmt: skip

    def _scale(self, sigma: Rows, n_steps: int) -> Rows:
        """What each number of physics (S, R) may stray in a rollout: an uncertain speed, and the pose that follows from it, may more than a certain one."""
        n = self.kinematics.n_joints
        pose = sigma * (self.body.dt * (1 + n_steps) / 4)

        def alike(part: Rows, size: int) -> Rows:
            return ops.repeat(ops.mean(part, axis=0, keepdims=True), size, axis=0)

        return ops.concatenate(
            [alike(pose[:3], 1), alike(pose[3:6] / 2, 4), pose[6 : 6 + n], alike(sigma[:3], 3), sigma[3:]],
            axis=0,
        )  # fmt: skip

    # What `Model` asks for

    @property
    def feature_sizes(self) -> Mapping[str, int]:
        """The physical state, and what the body feels of itself."""
        return {"physics": self.body.physics_dim, "frame": self.kinematics.n_features}

    def features(self, state: State, name: str) -> Tensor:
        """What C looks at, (R, F)."""
        physics, limbs = state
        if name == "physics":
            return physics
        return ops.transpose(self.kinematics.features(ops.transpose(physics), ops.transpose(limbs)))

    def see(self, obs: Array, rng: np.random.Generator | None = None) -> tuple[Floats, ...]:
        """Physics (..., S) and limbs (..., n_limbs)."""
        physics = np.asarray(obs, float)[..., : self.body.physics_dim]
        limbs = Kinematics(self.body).limbs(physics.reshape(-1, physics.shape[-1]).T)
        return physics.astype(np.float32), limbs.T.reshape(*physics.shape[:-1], -1).astype(
            np.float32
        )

    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """Standard normal, `(*lead, V)`."""
        return (rng.standard_normal((*lead, self.n_speeds), dtype=np.float32),)

    def weights(self) -> dict[str, Any]:
        """Weights and statistics."""
        return self.arrays()

    def holding(self, weights: Mapping[str, Any]) -> StructuredEnsemble:
        """The same ensemble with others."""
        return dataclasses.replace(self, **self.fields(weights))

    def step(
        self,
        state: State,
        action: Tensor,
        noise: tuple[Tensor, ...] | None,
        tau: Tensor | float = 1.0,
        *,
        disagreement: bool = False,
    ) -> tuple[State, Predicted]:
        """One step: row i is moved by member i mod E, with noise on the speeds scaled by sqrt(tau). R is a multiple of E."""
        physics, limbs = (ops.transpose(part) for part in state)
        turn = self.kinematics.rotation(physics)
        moved, after, log_sigma = self.advance(self.params, physics, limbs, ops.transpose(action))
        if noise is not None:
            shaken = (
                ops.sqrt(tau)
                * ops.exp(log_sigma)
                * self.change_std[:, None]
                * ops.transpose(noise[0])
            )
            first = self.body.physics_dim - self.n_speeds
            speeds = after[first:] + ops.concatenate([_turned(turn, shaken), shaken[3:]], axis=0)
            after = self._held(ops.concatenate([after[:first], speeds], axis=0))
        limbs_after = self.kinematics.limbs(after)
        # The centre of mass moves with the root, and within the torso's frame.
        now, then = ([part[i] for i in range(3)] for part in (limbs, limbs_after))
        ahead = moved[0] + dot(self.kinematics.rotation(after)[0], then) - dot(turn[0], now)
        speed = ops.clip(ahead / self.body.dt, self.speed[0], self.speed[1])
        reward = (
            self.body.forward_weight * speed
            + self.body.alive_bonus
            - self.body.control_cost * ops.sum(ops.square(action), axis=-1)
        )
        outlier = ops.sum(0 * after, axis=0)  # states are held within what was seen; NaN stays NaN
        return (ops.transpose(after), ops.transpose(limbs_after)), Predicted(reward, outlier)

    _owner = ""  # limbs follow from the view alone

    # On disk

    @classmethod
    def layout(cls, config: StructuredConfig, *of: Any) -> dict[str, tuple[int, ...]]:
        """Of an ensemble of this body."""
        (body,) = of
        kin = Kinematics(body)
        e, h, v, s = config.members, config.hidden, 6 + kin.n_joints, body.physics_dim
        f = 13 + 7 * kin.n_joints + body.a_dim + 14 * kin.n_feet + 2 * (kin.n_feet == 2)
        sizes = (f, f, v, v, s, s, 2)
        shapes: dict[str, tuple[int, ...]] = {
            f"stats.{name}": (size,) for name, size in zip(cls.STATS, sizes, strict=True)
        }
        for layer in range(config.layers):
            shapes |= {
                f"{layer}.kernel": (e, h if layer else f, h),
                f"{layer}.bias": (e, 1, h),
                f"{layer}.gain": (e, 1, h),
            }
        return shapes | {"out.kernel": (e, h, 3 * v), "out.bias": (e, 1, 3 * v)}


def _turned(matrix: list[Any], vectors: Rows) -> Rows:
    """The first three of some numbers (k, R) turned by a matrix."""
    return ops.stack(times(matrix, [vectors[i] for i in range(3)]))


def _hamilton(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    """The product of two quaternions, each four rows (R,): b, then a."""
    return [
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3], a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1], a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    ]  # fmt: skip


def _spun(quaternion: Rows, angle: Rows) -> Rows:
    """Unit quaternions (4, R) turned by a small rotation vector (3, R) in their own frame."""
    half = angle / 2
    squared = ops.sum(ops.square(half), axis=0)
    part = 1 - squared / 6 + ops.square(squared) / 120  # sin(x) / x
    b = (1 - squared / 2 + ops.square(squared) / 24, part * half[0], part * half[1], part * half[2])
    turned = ops.stack(_hamilton([quaternion[i] for i in range(4)], b))
    return turned * ops.rsqrt(ops.sum(ops.square(turned), axis=0))
