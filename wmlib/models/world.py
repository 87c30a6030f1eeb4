"""A world: body, view, normalisation, V and M as one, with the record of what was trained on what. It can be dreamed in, and saved.

On disk a world is a folder: `vae.safetensors`, `mdnrnn.safetensors`, and a manifest. Loading checks size and sha256, then names,
shapes and types, then that this M was trained on the codes of this V; whatever fails is refused in one line. Built in chapter 4.
"""

from __future__ import annotations

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
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body
from wmlib.real.episodes import Episodes

KIND, VAE_KIND, EPOCHS_KIND = "world", "vae", "mdnrnn epochs"
VAE_FILE, MDNRNN_FILE = "vae.safetensors", "mdnrnn.safetensors"


@dataclass(frozen=True, eq=False)
class World(Model):
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

    parts = ("obs", "z", "h", "c")
    learned_heads = True

    @property
    def fingerprint(self) -> str:
        """sha256 of V and M: by it a controller names the world whose features it sees."""
        return storage.fingerprint(
            self.mdnrnn.arrays(), {**self.mdnrnn.about(), mdnrnn.TRAINED_ON: self.vae.fingerprint}
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
        # The head has learned the whole reward, and so the alive bonus as often as it believed in it: the rest of the bonus makes it whole.
        reward = predicted.reward + self.body.alive_bonus * ops.sigmoid(predicted.done_logit)
        cap = m.reward_stats[0] + REWARD_CAP * m.reward_stats[1]
        said = Predicted(
            ops.minimum(reward, cap),
            ops.max(ops.abs(x[:, : self.body.physics_dim]), axis=-1),
            reward_head=predicted.reward,
            done_logit=predicted.done_logit,
        )
        obs = x * np.float32(v.std) + np.float32(v.mean)
        return (upright(self.body, obs), z, h, c), said

    # On disk.

    def save(self, out: str | Path, *, seconds: float, **facts: Any) -> None:
        """Writes the world into a new folder, whole or not at all.

        Args:
            out: the folder to make; it must not exist.
            seconds: that training took.
            facts: more for the manifest: `command`, `seed`, `experience`, logs.

        Raises:
            InputError: if `out` exists, or cannot be made.
        """
        with storage.new_artefact(out) as folder:
            storage.write_atomic(folder / VAE_FILE, vae_bytes(self.vae))
            storage.write_atomic(folder / MDNRNN_FILE, mdnrnn_bytes(self.mdnrnn, self.vae))
            storage.write_manifest(
                folder,
                kind=KIND,
                body=self.body.name,
                vae=self.vae.fingerprint,
                **facts,
                seconds=round(seconds, 1),
            )


def vae_bytes(model: VAE) -> bytes:
    """V's file."""
    return storage.to_bytes(model.arrays(), model.about())


def mdnrnn_bytes(model: MDNRNN, of: VAE) -> bytes:
    """M's file, which names the V that it was trained on."""
    return storage.to_bytes(model.arrays(), {**model.about(), mdnrnn.TRAINED_ON: of.fingerprint})


def save_vae(body: Body, model: VAE, out: str | Path, *, seconds: float, **facts: Any) -> None:
    """Writes a V alone, as `World.save` does a world."""
    with storage.new_artefact(out) as folder:
        storage.write_atomic(folder / VAE_FILE, vae_bytes(model))
        storage.write_manifest(
            folder, kind=VAE_KIND, body=body.name, **facts, seconds=round(seconds, 1)
        )


def save_epochs(
    world: World,
    snapshots: Mapping[int, Mapping[str, Any]],
    out: str | Path,
    *,
    seconds: float,
    **facts: Any,
) -> None:
    """Writes what M was after some epochs of its training, for `load_epochs`."""
    with storage.new_artefact(out) as folder:
        for epoch, params in snapshots.items():
            storage.write_atomic(
                folder / _epoch_file(epoch),
                mdnrnn_bytes(world.mdnrnn.using(dict(params)), world.vae),
            )
        storage.write_manifest(
            folder,
            kind=EPOCHS_KIND,
            body=world.body.name,
            vae=world.vae.fingerprint,
            epochs=sorted(snapshots),
            **facts,
            seconds=round(seconds, 1),
        )


def _epoch_file(epoch: int) -> str:
    return f"epoch-{epoch:03}.safetensors"


def _open(
    artefact: str | Path, kinds: tuple[str, ...], ending: str
) -> tuple[Path, dict[str, Any], Body]:
    """Folder, manifest and body of an artefact of one of these kinds; `humanoid` also finds `humanoid-world` in data/."""
    bare = Path(artefact).name == str(artefact) and not Path(artefact).is_dir()
    named = (
        f"{artefact}-{ending}"
        if bare and (storage.data_folder() / f"{artefact}-{ending}").is_dir()
        else artefact
    )
    folder, manifest = storage.open_artefact(named, *kinds)
    return folder, manifest, bodies.get(str(manifest.get("body", "")))


def _mdnrnn(folder: Path, name: str, manifest: Mapping[str, Any], body: Body, of: VAE) -> MDNRNN:
    data = storage.read_checked(folder, name, manifest)
    _, about = storage.header(data, folder / name)
    if about.get(mdnrnn.TRAINED_ON) != of.fingerprint:
        raise InputError(
            f"{folder / name} was trained on the codes of another V than the one beside it. Train M on this V, or restore the folder with git."
        )
    return mdnrnn.restore(body, of.z_dim, data, str(folder / name))


def load_vae(artefact: str | Path) -> VAE:
    """V of an artefact that `wmlib train-vae` made, or of a world.

    Raises:
        InputError: in one line, whatever is wrong with the folder.
    """
    folder, manifest, body = _open(artefact, (VAE_KIND, KIND), "world")
    return vae.restore(
        body, storage.read_checked(folder, VAE_FILE, manifest), str(folder / VAE_FILE)
    )


def load(artefact: str | Path = "humanoid") -> World:
    """A world from its folder, or from the one that the book ships under this name in `data/`.

    Raises:
        InputError: in one line: a file is missing, altered or of another shape; M belongs to another V; another schema or body.
    """
    folder, manifest, body = _open(artefact, (KIND,), "world")
    v = load_vae(folder)
    if manifest.get("vae") != v.fingerprint:
        raise InputError(
            f"{folder / VAE_FILE} is not the V that the manifest names. Restore the folder with git, or train again."
        )
    facts = {key: value for key, value in manifest.items() if key != "files"}
    return World(body, v, _mdnrnn(folder, MDNRNN_FILE, manifest, body, v), facts)


def load_epochs(world: World, artefact: str | Path = "humanoid") -> dict[int, World]:
    """The same world with M as it was after some epochs of its training: epoch -> world.

    Raises:
        InputError: in one line, whatever is wrong with the folder, or if these belong to another V.
    """
    folder, manifest, body = _open(artefact, (EPOCHS_KIND,), "epochs")
    if body is not world.body:
        raise InputError(
            f"{folder} is of the body '{body.name}'; this world is of '{world.body.name}'."
        )
    epochs = manifest.get("epochs")
    if not isinstance(epochs, list) or not all(type(epoch) is int for epoch in epochs):
        raise InputError(
            f"{folder} names no epochs in its manifest. Restore it with git, or train again."
        )
    return {
        epoch: World(
            body, world.vae, _mdnrnn(folder, _epoch_file(epoch), manifest, body, world.vae)
        )
        for epoch in epochs
    }
