"""V: a variational autoencoder that sees. It codes a view of an observation into a few numbers z, and draws it back.

Two views: `physics` is the body's own state (45 numbers for the humanoid), `full` everything that Gymnasium shows (348), its groups weighted,
because what follows from the state outnumbers it, and clipped, because contact forces spike. Both are standardised with statistics that are
saved with the weights. Built in chapter 3.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.config import VAEConfig
from wmlib.errors import InputError
from wmlib.models import nets
from wmlib.models.nets import Params, Tensor, ops
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes

Floats = NDArray[np.float32]
Spans = tuple[tuple[int, int], ...]
STD_FLOOR = 1e-3
"""No standard deviation is taken smaller: constant columns stay 0 in place of exploding."""
VIEWS = ("physics", "full")
GROUP_WEIGHTS = {"qpos": 3.0, "qvel": 3.0, "cinert": 0.3, "cvel": 0.3, "cfrc_ext": 0.1}
"""Weight of a group of the `full` view in the reconstruction; 1 for the others."""
LOGVAR = (-10.0, 4.0)
"""log sigma^2 of a code is held in here, so that no first step can overflow."""
CHUNK = 16_384
FILE = "vae.safetensors"


def view_slice(body: Body, view: str) -> slice:
    """Which part of an observation a view is.

    Raises:
        InputError: if there is no such view.
    """
    if view not in VIEWS:
        raise InputError(f"There is no view '{view}'; there are: {', '.join(VIEWS)}.")
    return slice(0, body.physics_dim if view == "physics" else body.obs_dim)


def group_weights(body: Body, view: str) -> Floats:
    """Weight of each number of a view in the reconstruction, (D,): 1 for physics."""
    columns = np.ones(view_slice(body, view).stop, dtype=np.float32)
    if view == "full":
        for group, part in body.obs_slices.items():
            columns[part] = GROUP_WEIGHTS.get(group, 1.0)
    return columns


def shapes(config: VAEConfig, x_dim: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of a VAE over x_dim numbers."""
    encoder = nets.mlp_shapes("encoder", (x_dim, *config.hidden, 2 * config.z_dim))
    return encoder | nets.mlp_shapes("decoder", (config.z_dim, *reversed(config.hidden), x_dim))


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """A code z = mu + exp(logvar / 2) eps: noise from outside, so that gradients reach mu and logvar. Equation (3.3)."""
    return mu + ops.exp(0.5 * logvar) * eps


def kl_per_dimension(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL of N(mu, exp(logvar)) from N(0, 1) for each number of a code, in nats: (exp(logvar) + mu^2 - 1 - logvar) / 2. Equation (3.2)."""
    return 0.5 * (ops.exp(logvar) + ops.square(mu) - 1.0 - logvar)


def reconstruction(x: Tensor, x_hat: Tensor, feature_weights: Tensor | float = 1.0) -> Tensor:
    """Half the weighted squared error of each row, (...): -log N(x; x_hat, 1) in nats, up to a constant. Equation (3.1)."""
    return 0.5 * ops.sum(feature_weights * ops.square(x - x_hat), axis=-1)


@dataclass(frozen=True, eq=False)
class VAE(nets.Network, storage.Storable):
    """A VAE: its configuration, the statistics of its view, and its weights.

    Attributes:
        config: sizes and weights of the loss.
        mean: (D,), of the view, in its own units.
        std: (D,), likewise; never below `STD_FLOOR`.
        feature_weights: (D,), weight of each number in the reconstruction.
        params: named weights, NumPy arrays or tensors.
        training_seeds: (first, last) of each stretch of the episode seeds that it, or its world, was trained on, as its manifest says; empty if that is
            not known, as for one that was just made. `metrics` refuses these episodes.
    """

    config: VAEConfig
    mean: Array
    std: Array
    feature_weights: Floats
    params: Params
    training_seeds: Spans = ()

    CONFIG, STATS = VAEConfig, ("mean", "std", "feature_weights")
    kind = "vae"

    @classmethod
    def create(
        cls, body: Body, obs: Array, config: VAEConfig | None = None, *, seed: int = 0
    ) -> VAE:
        """A VAE with random weights, and the statistics of these observations (N, ...).

        Raises:
            InputError: if the observations are not of this body or too narrow for the view.
        """
        config = config or VAEConfig()
        part = view_slice(body, config.view)
        obs = body.check_obs(obs)
        if obs.shape[-1] < part.stop:
            raise InputError(
                f"The view '{config.view}' needs {part.stop} numbers an observation; got {obs.shape[-1]}. Use the view 'physics', or episodes.replayed()."
            )
        x = obs[..., part].reshape(-1, part.stop)
        # Float64 throughout: in float32 the variance of a nearly constant column is rounding noise.
        mean, std = (
            storage.as_stored(x.mean(axis=0)),
            storage.as_stored(np.maximum(x.std(axis=0), STD_FLOOR)),
        )
        return cls(
            config,
            mean,
            std,
            group_weights(body, config.view),
            nets.initial(shapes(config, part.stop), seed),
        )

    @property
    def z_dim(self) -> int:
        """Numbers in a code."""
        return self.config.z_dim

    @property
    def x_dim(self) -> int:
        """Numbers in a view."""
        return len(self.mean)

    # On tensors, in standardised units.

    def encoder(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """mu and logvar, both (..., z_dim), of standardised x (..., D)."""
        out = nets.mlp(self.params, "encoder", x, len(self.config.hidden) + 1)
        mu, logvar = ops.split(out, 2, axis=-1)
        return mu, ops.clip(logvar, *LOGVAR)

    def decoder(self, z: Tensor) -> Tensor:
        """Standardised x_hat (..., D) of z (..., z_dim)."""
        return nets.mlp(self.params, "decoder", z, len(self.config.hidden) + 1)

    def loss(self, params: Params, batch: Mapping[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative ELBO of a batch, and its pieces.

        Args:
            params: the weights to differentiate by.
            batch: `x` (B, D), standardised; `eps` (B, z_dim), standard normal.

        Returns:
            reconstruction + beta * sum over dimensions of max(kl, kl_floor), with the pieces by name: `reconstruction`, `kl` (nats, all
            dimensions together), both means over the batch. Equation (3.4); built in chapter 3.
        """
        model = self.using(params)
        mu, logvar = model.encoder(batch["x"])
        x_hat = model.decoder(reparameterize(mu, logvar, batch["eps"]))
        rec = ops.mean(reconstruction(batch["x"], x_hat, self.feature_weights))
        kl = ops.mean(kl_per_dimension(mu, logvar), axis=0)  # (Z,)
        total = rec + self.config.beta * ops.sum(ops.maximum(kl, self.config.kl_floor))
        return total, {"reconstruction": rec, "kl": ops.sum(kl)}

    def make_batch(
        self, rows: dict[str, NDArray[Any]], rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """For `training.fit`: adds fresh noise `eps` to rows `x` of standardised observations."""
        return {**rows, "eps": rng.standard_normal((len(rows["x"]), self.z_dim), dtype=np.float32)}

    # On NumPy arrays, in the body's own units.

    def view(self, episodes: Episodes) -> Array:
        """What V sees of every state, (n_steps + E, ...): the full observations if its view needs them.

        Raises:
            InputError: if it needs them and they are not there.
        """
        if self.x_dim == episodes.body.physics_dim:
            return episodes.physics
        if episodes.obs is None:
            raise InputError(
                "This V sees full observations, and these episodes hold only the physical state. Give it episodes.replayed()."
            )
        return episodes.obs

    def standardize(self, obs: Array) -> Floats:
        """The view of observations (..., obs_dim) or physics (..., physics_dim) in standard deviations, clipped, (..., D)."""
        x = (np.asarray(obs)[..., : self.x_dim] - self.mean) / self.std
        return np.clip(x, -self.config.clip, self.config.clip).astype(np.float32)

    def unstandardize(self, x: Any) -> Array:
        """Standardised x (..., D) back in the body's own units."""
        return np.asarray(ops.convert_to_numpy(x), dtype=np.float64) * self.std + self.mean

    def encode(self, obs: Array) -> tuple[Floats, Floats]:
        """mu and logvar, both (..., z_dim), of observations (..., obs_dim) or physics (..., physics_dim).

        Raises:
            InputError: if observations are narrower than the view.
        """
        obs = np.asarray(obs)
        if obs.shape[-1] < self.x_dim:
            raise InputError(
                f"This V sees {self.x_dim} numbers an observation (view '{self.config.view}'); got {obs.shape[-1]}."
            )
        x = self.standardize(obs).reshape(-1, self.x_dim)
        parts = [
            [np.asarray(ops.convert_to_numpy(part)) for part in self.encoder(x[i : i + CHUNK])]
            for i in range(0, max(len(x), 1), CHUNK)
        ]
        mu, logvar = (
            np.concatenate(part).reshape(*obs.shape[:-1], self.z_dim)
            for part in zip(*parts, strict=True)
        )
        return mu, logvar

    def sample(self, obs: Array, rng: np.random.Generator) -> Floats:
        """A code z (..., z_dim) drawn for each observation from its own (mu, logvar)."""
        mu, logvar = self.encode(obs)
        return np.asarray(
            mu + np.exp(0.5 * logvar) * rng.standard_normal(mu.shape, dtype=np.float32)
        )

    def decode(self, z: Any) -> Array:
        """The view (..., D), in the body's own units, of codes z (..., z_dim)."""
        z = np.asarray(ops.convert_to_numpy(z), dtype=np.float32)
        flat = z.reshape(-1, self.z_dim)
        x = np.concatenate(
            [
                ops.convert_to_numpy(self.decoder(flat[i : i + CHUNK]))
                for i in range(0, max(len(flat), 1), CHUNK)
            ]
        )
        return self.unstandardize(x.reshape(*z.shape[:-1], self.x_dim))

    def reconstruct(self, obs: Array, rng: np.random.Generator | None = None) -> Array:
        """The view of each observation after coding and decoding: of a sampled code, or of mu if `rng` is None."""
        return self.decode(self.encode(obs)[0] if rng is None else self.sample(obs, rng))

    def kl(self, obs: Array) -> Array:
        """KL of the codes of these observations (N, ...) from the prior, mean over N, nats a dimension, (z_dim,)."""
        mu, logvar = self.encode(obs)
        kl: Array = np.asarray(ops.convert_to_numpy(kl_per_dimension(mu, logvar)), dtype=np.float64)
        return np.asarray(kl.reshape(-1, self.z_dim).mean(axis=0))

    # On disk.

    @classmethod
    def layout(cls, config: VAEConfig, *of: Any) -> dict[str, tuple[int, ...]]:
        """Of a V of this body."""
        x_dim = view_slice(of[0], config.view).stop
        return shapes(config, x_dim) | {f"stats.{name}": (x_dim,) for name in cls.STATS}

    @classmethod
    def from_arrays(cls, config: VAEConfig, arrays: Mapping[str, NDArray[Any]], *of: Any) -> VAE:
        """From what `arrays` gave."""
        parts = cls.fields(arrays)
        wide = {name: parts[name].astype(np.float64) for name in ("mean", "std")}
        return cls(config=config, **{**parts, **wide})

    def files(self) -> dict[str, bytes]:
        """One."""
        return {FILE: self.to_bytes()}

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> VAE:
        """From an artefact of a V."""
        made = cls.from_bytes(*artefact.read(FILE), bodies.get(artefact.body))
        return dataclasses.replace(made, training_seeds=training_seeds(artefact))


def training_seeds(artefact: storage.Artefact) -> Spans:
    """What the manifest says of the episodes that a V, or its world, was trained on.

    Raises:
        InputError: if that cannot be read.
    """
    try:
        return tuple(
            (int(low), int(high)) for low, high in artefact.manifest.get("training_seeds", ())
        )
    except (TypeError, ValueError):
        raise InputError(
            f"'training_seeds' in the manifest of {artefact.folder} are no pairs of whole numbers. Restore it with git, or train again."
        ) from None
