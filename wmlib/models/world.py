"""A world: body, view, normalisation, V and M as one, with the record of what was trained on what. It can be dreamed in, and saved.

On disk a world is a folder: `vae.safetensors`, `mdnrnn.safetensors`, and a manifest. Loading checks size and sha256, then names,
shapes and types, then that this M was trained on the codes of this V; whatever fails is refused in one line. Built in chapter 4.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.errors import InputError
from wmlib.models import mdn, mdnrnn, vae
from wmlib.models.mdn import Noise
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.model import REWARD_CAP, Model, Predicted, State, upright
from wmlib.models.nets import Tensor, ops
from wmlib.models.vae import VAE, Floats
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes

VAE_FILE, MDNRNN_FILE = vae.FILE, mdnrnn.FILE


@dataclass(frozen=True, eq=False)
class WorldModel(Model):
    """A world model.

    Attributes:
        body: the body.
        vae: V, with view and normalisation.
        mdnrnn: M, trained on this V's codes.
        facts: what its manifest says of it beyond its files, such as the training logs; empty for one that was not loaded.
    """

    body: Body
    vae: VAE
    mdnrnn: MDNRNN
    facts: Mapping[str, Any] = field(default_factory=dict)

    kind, parts = "world", ("obs", "z", "h", "c")
    learned_heads = True

    @property
    def fingerprint(self) -> str:
        """sha256 of V and M: by it a controller names the world whose features it sees."""
        return storage.fingerprint(
            self.mdnrnn.arrays(), {**self.mdnrnn.about(), "vae": self.vae.fingerprint}
        )

    # What `Model` asks for.

    @property
    def feature_sizes(self) -> Mapping[str, int]:
        """The physical state, or all that V sees; a code; a code and h."""
        z_dim, sizes = self.vae.z_dim, dict(super().feature_sizes)
        if self.vae.x_dim == self.body.obs_dim:
            sizes["obs"] = self.body.obs_dim
        return {**sizes, "z": z_dim, "zh": z_dim + self.mdnrnn.config.h_dim}

    def features(self, state: State, name: str) -> Tensor:
        """What C looks at, (R, F)."""
        obs, z, h, _ = state
        if name == "zh":
            return ops.concatenate([z, h], axis=-1)
        return {"physics": obs[:, : self.body.physics_dim], "obs": obs, "z": z}[name]

    def view(self, episodes: Episodes) -> Array:
        """What V sees of every state of some episodes."""
        return self.vae.view(episodes)

    def see(self, obs: Array, rng: np.random.Generator | None = None) -> tuple[Floats, ...]:
        """The view, and its code: sampled, or the mean if `rng` is None."""
        z = self.vae.encode(obs)[0] if rng is None else self.vae.sample(obs, rng)
        return np.asarray(obs)[..., : self.vae.x_dim].astype(np.float32), z

    def memory(self, n: int) -> tuple[Floats, ...]:
        """h and c, zero."""
        return self.mdnrnn.start(n)

    def remember(self, state: State, action: Tensor) -> State:
        """h and c after the step."""
        _, z, h, c = state
        return self.mdnrnn.remember(z, action, (h, c))

    def noise(self, rng: np.random.Generator, *lead: int) -> tuple[Floats, ...]:
        """Of M's mixture."""
        return tuple(mdn.noise(rng, self.mdnrnn.log_pi_shape(*lead), (*lead, self.vae.z_dim)))

    def step(
        self,
        state: State,
        action: Tensor,
        noise: tuple[Tensor, ...] | None,
        tau: Tensor | float = 1.0,
        *,
        disagreement: bool = False,
    ) -> tuple[State, Predicted]:
        """One step: M predicts the next code, V's decoder says what state that is."""
        v, m, (_, z, h, c) = self.vae, self.mdnrnn, state
        predicted, (h, c) = m.step(z, action, (h, c), normalised=noise is None)
        mixture = predicted.mixture
        z = mdn.mean(mixture) if noise is None else mdn.sample(mixture, tau, Noise(*noise))
        x = v.decoder(z)
        cap = m.reward_stats[0] + REWARD_CAP * m.reward_stats[1]
        ends = self.body.alive_bonus * ops.sigmoid(
            predicted.done_logit
        )  # of the bonus, by M's own belief
        if m.config.reward == "rest":
            known = self.body.alive_bonus - self.body.control_cost * ops.sum(
                ops.square(action), axis=-1
            )
            reward, head = (
                ops.minimum(predicted.reward, cap) + known,
                predicted.reward + known - ends,
            )
        else:
            reward, head = ops.minimum(predicted.reward + ends, cap), predicted.reward
        outlier = ops.max(ops.abs(x[:, : self.body.physics_dim]), axis=-1)
        said = Predicted(reward, outlier, reward_head=head, done_logit=predicted.done_logit)
        obs = x * np.float32(v.std) + np.float32(v.mean)
        return (upright(self.body, obs), z, h, c), said

    # On disk.

    def summary(self) -> dict[str, Any]:
        """Body, and the fingerprint of V."""
        return {"body": self.body.name, "vae": self.vae.fingerprint}

    def files(self) -> dict[str, bytes]:
        """V's, and M's, which names the V that it was trained on."""
        m = self.mdnrnn.to_bytes(vae=self.vae.fingerprint)
        return {VAE_FILE: self.vae.to_bytes(), MDNRNN_FILE: m}

    @classmethod
    def from_files(cls, body: Body, read: storage.Read) -> WorldModel:
        """From both files."""
        v = VAE.from_bytes(*read(VAE_FILE), body)
        return cls(body, v, _mdnrnn(body, v, *read(MDNRNN_FILE)))

    @classmethod
    def from_artefact(cls, artefact: storage.Artefact) -> WorldModel:
        """From an artefact, if its manifest names this V."""
        made = super().from_artefact(artefact)
        if artefact.manifest.get("vae") != made.vae.fingerprint:
            raise InputError(
                f"{artefact.folder / VAE_FILE} is not the V that the manifest names. Restore the folder with git, or train again."
            )
        v = dataclasses.replace(made.vae, training_seeds=vae.training_seeds(artefact))
        return dataclasses.replace(made, vae=v, facts=artefact.facts)


def _mdnrnn(body: Body, of: VAE, data: bytes, name: str) -> MDNRNN:
    return MDNRNN.from_bytes(data, name, body, of.z_dim, trained_on={"vae": of.fingerprint})


@dataclass(frozen=True, eq=False)
class Epochs(storage.Storable):
    """A world as it was after some epochs of M's training: the same V, other weights of M.

    Attributes:
        world: the world.
        params: epoch -> M's weights.
    """

    world: WorldModel
    params: Mapping[int, Mapping[str, Any]]

    kind = "mdnrnn epochs"

    def summary(self) -> dict[str, Any]:
        """Body, V and the epochs."""
        return {**self.world.summary(), "epochs": sorted(self.params)}

    def files(self) -> dict[str, bytes]:
        """One an epoch."""
        made = {epoch: self.world.mdnrnn.using(dict(at)) for epoch, at in self.params.items()}
        of = self.world.vae.fingerprint
        return {_epoch_file(epoch): m.to_bytes(vae=of) for epoch, m in made.items()}


def _epoch_file(epoch: int) -> str:
    return f"epoch-{epoch:03}.safetensors"


def load_epochs(world: WorldModel, artefact: str | Path = "humanoid") -> dict[int, WorldModel]:
    """The same world with M as it was after some epochs of its training: epoch -> world.

    Raises:
        InputError: in one line, whatever is wrong with the folder, or if these belong to another V.
    """
    found = storage.open_artefact(artefact, Epochs.kind)
    body, v, epochs = world.body, world.vae, found.manifest.get("epochs")
    if found.body != body.name:
        raise InputError(
            f"{found.folder} is of the body '{found.body}'; this world is of '{body.name}'."
        )
    if not isinstance(epochs, list) or not all(type(epoch) is int for epoch in epochs):
        raise InputError(
            f"{found.folder} names no epochs in its manifest. Restore it with git, or train again."
        )
    return {
        epoch: WorldModel(body, v, _mdnrnn(body, v, *found.read(_epoch_file(epoch))))
        for epoch in epochs
    }
