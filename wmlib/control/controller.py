"""C: a linear controller as one flat vector, so that evolution can move it; and an artefact that knows where it came from.

action = centre + half-width * tanh(W_c x + b_c), in the body's own action box; x are standardised features of what C sees. C may have some hidden
units besides, and it may move the targets of its joints instead of pushing them: then a joint's own PD reflex is added inside the tanh. A whole
population acts in one batched product, and no row's numbers depend on which other rows are in the batch. NumPy only: workers start
without TensorFlow. Built in chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.real.kinematics import Kinematics

FILE = "controller.safetensors"
REAL = ("physics", "obs", "frame")
"""Features that the body itself gives: its physical state (45 numbers for the humanoid), all that Gymnasium shows (348), or what it feels of itself (61, see `kinematics`)."""
FEATURES = (*REAL, "z", "zh")
"""Those, and the features that a world gives: the code z, or z with M's memory h."""
CLIP = 10.0
"""Standardised features are held within +- this: a spike of a contact force must not saturate every motor."""
STIFFNESS, DAMPING = 10.0, 0.05
"""Of the reflex of joint targets, inside the tanh: for each radian from rest, and for each radian a second."""
CONSTANT = 1e-6
"""A feature with a smaller standard deviation says nothing, and is left at 0."""


@dataclass(frozen=True, eq=False)
class Linear:
    """The shape of a linear controller: body, features and their normalisation; the weights come apart from it, as a flat vector.

    Attributes:
        body: the body that it moves.
        features: `physics`, `obs`, `frame`, `z` or `zh`.
        n_features: F; known for what the body gives, to be given for the others.
        mean: (F,), taken from the features; 0 by default.
        std: (F,), that they are divided by; 1 by default.
        hidden: H, tanh units between features and action, beside the straight way; 0 for a linear C.
        targets: whether C moves the targets of the joints: a = centre + half-width * tanh(STIFFNESS (rest - angle) - DAMPING speed + C).
    """

    body: Body
    features: str = "physics"
    n_features: int = 0
    mean: Array = field(default_factory=lambda: np.zeros(0))
    std: Array = field(default_factory=lambda: np.zeros(0))
    hidden: int = 0
    targets: bool = False
    _kinematics: Any = field(default=None, init=False, repr=False)
    _joints: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Fills in what follows from the body.

        Raises:
            InputError: if there are no such features, or a size does not fit.
        """
        if self.features not in FEATURES:
            raise InputError(
                f"There are no features '{self.features}'; there are: {', '.join(FEATURES)}."
            )
        if self.features == "frame":
            object.__setattr__(self, "_kinematics", Kinematics(self.body))
        known = {
            "physics": self.body.physics_dim,
            "obs": self.body.obs_dim,
            "frame": self._kinematics.n_features if self.features == "frame" else 0,
        }.get(self.features, self.n_features)
        if self.targets:
            object.__setattr__(self, "_joints", self.body.driven_joints())
        if known < 1 or self.n_features not in (0, known):
            raise InputError(
                f"A controller on {self.n_features} features '{self.features}' was asked for; expected {known or 'at least 1'}."
            )
        object.__setattr__(self, "n_features", known)
        for name, default in (("mean", 0.0), ("std", 1.0)):
            given = np.asarray(getattr(self, name))
            array = storage.as_stored(given) if given.size else np.full(known, default)
            if array.shape != (known,) or not np.isfinite(array).all():
                raise InputError(
                    f"'{name}' of the features '{self.features}' has shape {array.shape}; expected {known} finite numbers."
                )
            object.__setattr__(self, name, array)

    @property
    def n_params(self) -> int:
        """Length n of the flat vector: a_dim (F + 1) if C is linear; with H hidden units (a_dim + H) (F + 1) + a_dim H."""
        a_dim = self.body.a_dim
        return (a_dim + self.hidden) * (self.n_features + 1) + a_dim * self.hidden

    @property
    def kind(self) -> dict[str, Any]:
        """What makes this more than a linear map to torques: `hidden` and `targets`, where they are not 0 and false."""
        kind = {"hidden": self.hidden, "targets": self.targets}
        return {name: value for name, value in kind.items() if value}

    def normalised(self, mean: Array, std: Array) -> Linear:
        """The same shape with another normalisation."""
        return replace(self, mean=mean, std=std)

    def unpack(self, params: Array) -> tuple[Array, ...]:
        """W_c (..., a_dim, F) and b_c (..., a_dim) of flat vectors (..., n_params); with H hidden units W_c (..., a_dim + H, F), b_c (..., a_dim + H), U_c (..., a_dim, H).

        Raises:
            InputError: if they have another length.
        """
        params = np.asarray(params, dtype=np.float64)
        if params.shape[-1:] != (self.n_params,):
            raise InputError(
                f"A controller on {self.n_features} features has {self.n_params} parameters; got an array of shape {params.shape}."
            )
        a_dim, lead = self.body.a_dim, params.shape[:-1]
        rows = a_dim + self.hidden
        n = rows * self.n_features
        W_c, b_c = params[..., :n].reshape(*lead, rows, self.n_features), params[..., n : n + rows]
        if not self.hidden:
            return W_c, b_c
        return W_c, b_c, params[..., n + rows :].reshape(*lead, a_dim, self.hidden)

    def select(self, obs: Array) -> Array:
        """The features of observations (..., obs_dim): (..., F), as the body gives them.

        Raises:
            InputError: if only a world can give them.
        """
        if self.features not in REAL:
            raise InputError(
                f"The features '{self.features}' come from a world; on the body alone C can have {' or '.join(REAL)}."
            )
        return (
            self._kinematics.see(obs) if self.features == "frame" else obs[..., : self.n_features]
        )

    def standardize(self, features: Array) -> Array:
        """Features (..., F) less their mean, over their standard deviation, within +-`CLIP`; a constant one is 0."""
        constant = self.std < CONSTANT
        return np.clip(
            np.where(constant, 0.0, (features - self.mean) / np.where(constant, 1.0, self.std)),
            -CLIP,
            CLIP,
        )

    def reflex(self, physics: Any) -> Any:
        """What joint targets add inside the tanh, (..., a_dim), of physics or observations (..., D): the pull of each joint towards its rest."""
        q, v, rest = self._joints
        return STIFFNESS * (rest - physics[..., q]) - DAMPING * physics[..., v]

    def act(self, params: Array, features: Array, physics: Array | None = None) -> Array:
        """Actions (P, N, a_dim) of P controllers params (P, n_params), each on N rows of features (P, N, F). Equation (5.1).

        With joint targets the bodies' physics or observations (P, N, D) are needed, too.
        """
        W_c, b_c, *U_c = self.unpack(params)
        x, a_dim = self.standardize(features), self.body.a_dim
        # A matrix times a vector for each row, not one large matrix product, whose rounding would depend on the other rows.
        push = (W_c[..., None, :, :] @ x[..., None])[..., 0] + b_c[..., None, :]
        if U_c:
            units = np.tanh(push[..., a_dim:])
            push = push[..., :a_dim] + (U_c[0][..., None, :, :] @ units[..., None])[..., 0]
        if self.targets:
            push = push + self.reflex(physics)
        center, half = self.body.box
        return np.asarray(center + half * np.tanh(push))


class Controller(storage.Storable):
    """A linear controller with its weights: a policy `(obs, state) -> (actions, state)` where the features are the body's own.

    Weights and normalisation are rounded to float32, so that what is evaluated is what is saved.

    Attributes:
        linear: its shape.
        params: (n_params,).
        facts: what its manifest says, if it was loaded.
    """

    kind = "controller"

    def __init__(
        self, linear: Linear, params: Array | None = None, facts: Mapping[str, Any] | None = None
    ) -> None:
        """Zero weights by default: zero action."""
        self.linear, self.facts = linear, dict(facts or {})
        self.params = np.zeros(linear.n_params) if params is None else storage.as_stored(params)
        if self.params.shape != (linear.n_params,) or not np.isfinite(self.params).all():
            raise InputError(
                f"A controller on {linear.n_features} features has {linear.n_params} finite parameters; got an array of shape {self.params.shape}."
            )

    def __call__(self, obs: Array, state: Any = None) -> tuple[Array, Any]:
        """Actions (N, a_dim) for observations (N, obs_dim)."""
        return self.linear.act(self.params[None], self.linear.select(obs)[None], obs[None])[
            0
        ], state

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        parts = {"params": self.params, "mean": self.linear.mean, "std": self.linear.std}
        return {name: array.astype(np.float32) for name, array in parts.items()}

    @property
    def fingerprint(self) -> str:
        """sha256 over body, features, normalisation and weights."""
        return storage.fingerprint(
            self._arrays(),
            {"body": self.linear.body.name, "features": self.linear.features, **self.linear.kind},
        )

    def summary(self) -> dict[str, Any]:
        """Body, features, fingerprint; and no world."""
        linear = self.linear
        return {
            "body": linear.body.name, "features": linear.features, "n_features": linear.n_features, "world": "", **linear.kind, "fingerprint": self.fingerprint,
        }  # fmt: skip

    def files(self) -> dict[str, bytes]:
        """One."""
        return {FILE: storage.to_bytes(self._arrays())}

    def write(self, folder: Path, *, seconds: float, **facts: Any) -> None:
        """As every artefact; `world` among the facts is the fingerprint of the world whose features it sees, needed for `z` and `zh`.

        Raises:
            InputError: if a controller on a world's features names no world.
        """
        if self.linear.features not in REAL and not facts.get("world"):
            raise InputError(
                f"A controller on the features '{self.linear.features}' belongs to a world; name its fingerprint."
            )
        super().write(folder, seconds=seconds, **{"log": [], **facts})

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> Controller:
        """From its file, if it is the one that the manifest names."""
        folder, manifest = artefact.folder, artefact.manifest
        n_features = manifest.get("n_features")
        if type(n_features) is not int or not 0 < n_features <= storage.LARGEST:
            raise InputError(
                f"{folder} says that its controller sees {n_features!r} features; expected a whole number. Make it again."
            )
        hidden, targets = manifest.get("hidden", 0), manifest.get("targets", False)
        if (
            type(hidden) is not int
            or not 0 <= hidden <= storage.LARGEST
            or type(targets) is not bool
        ):
            raise InputError(
                f"{folder} says that its controller has {hidden!r} hidden units and joint targets {targets!r}; expected a whole number, and true or false. Make it again."
            )
        linear = Linear(
            bodies.get(artefact.body), str(manifest.get("features")), n_features, hidden=hidden, targets=targets
        )  # fmt: skip
        data, name = artefact.read(FILE)
        shapes = {"params": (linear.n_params,), "mean": (n_features,), "std": (n_features,)}
        storage.check_shapes(storage.header(data, name)[0], shapes, name)
        arrays = storage.from_bytes(data, name)
        linear = linear.normalised(arrays["mean"], arrays["std"])
        made = cls(linear, arrays["params"], artefact.facts)
        if manifest.get("fingerprint") != made.fingerprint:
            raise InputError(
                f"{folder} names another controller in its manifest than it holds. Restore it with git, or make it again."
            )
        return made
