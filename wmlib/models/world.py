"""A world: body, view, normalisation, V and M as one, with the record of what was trained on what. It can be dreamed in, and saved.

On disk a world is a folder: `vae.safetensors`, `mdnrnn.safetensors`, and a manifest. Loading checks size and sha256, then names,
shapes and types, then that this M was trained on the codes of this V; whatever fails is refused in one line. Built in chapter 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError
from wmlib.models import mdn, mdnrnn, vae
from wmlib.models.mdnrnn import MDNRNN, State
from wmlib.models.nets import ops
from wmlib.models.vae import VAE, Floats
from wmlib.real import body as bodies
from wmlib.real.body import Array, Body

KIND, VAE_KIND, EPOCHS_KIND = "world", "vae", "mdnrnn epochs"
VAE_FILE, MDNRNN_FILE = "vae.safetensors", "mdnrnn.safetensors"


class Dream(NamedTuple):
    """k steps that were dreamed, not observed.

    Attributes:
        z: (B, k, Z); the codes that followed each action.
        obs: (B, k, D); their decoded view, in the body's units; `body.poses(obs[i])` draws one.
        reward: (B, k); M's rewards.
        done: (B, k); M's chance that the episode ended at this step.
        state: M's memory after the last step.
    """

    z: Floats
    obs: Array
    reward: Floats
    done: Floats
    state: State


@dataclass(frozen=True, eq=False)
class World:
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

    @property
    def fingerprint(self) -> str:
        """sha256 of V and M: by it a controller names the world whose features it sees."""
        return storage.fingerprint(
            self.mdnrnn.arrays(), {**self.mdnrnn.about(), mdnrnn.TRAINED_ON: self.vae.fingerprint}
        )

    def encode(self, obs: Array, rng: np.random.Generator | None = None) -> Floats:
        """Codes z (..., Z) of observations (..., obs_dim) or physics: sampled, or the mean if `rng` is None."""
        return self.vae.encode(obs)[0] if rng is None else self.vae.sample(obs, rng)

    def decode(self, z: Any) -> Array:
        """The view (..., D), in the body's units, of codes z (..., Z)."""
        return self.vae.decode(z)

    def watch(
        self, obs: Array, action: NDArray[Any], rng: np.random.Generator | None = None
    ) -> tuple[Floats, State]:
        """Code and memory at the last of some real steps, from which a dream can begin.

        Args:
            obs: (B, T+1, ...), what was seen.
            action: (B, T, a_dim), what was done; T may be 0.
            rng: to sample codes; the mean if None.

        Returns:
            z[T] (B, Z), and the memory (h, c)[T], each (B, h_dim).
        """
        z = self.encode(obs, rng)
        state: State = self.mdnrnn.start(len(z))
        for t in range(action.shape[1]):
            _, state = self.mdnrnn.step(z[:, t], np.asarray(action[:, t], np.float32), state)
        return z[:, -1], state

    def open_loop(
        self,
        z: Floats,
        action: NDArray[Any],
        state: State | None = None,
        *,
        tau: float = 1.0,
        rng: np.random.Generator | None = None,
    ) -> Dream:
        """Dreams k steps forward with given actions: each predicted code is the next input.

        Args:
            z: (B, Z); codes at the start.
            action: (B, k, a_dim), in the body's units.
            state: memory at the start, from `watch`; empty by default.
            tau: temperature of sampling.
            rng: to sample from the mixture; if None its mean is taken, and tau does nothing.
        """
        m = self.mdnrnn
        state = m.start(len(z)) if state is None else state
        z = np.asarray(z, np.float32)
        codes, rewards, dones = [], [], []
        for t in range(action.shape[1]):
            predicted, state = m.step(z, np.asarray(action[:, t], np.float32), state)
            mixture = predicted.mixture
            z = (
                mdn.mean(mixture)
                if rng is None
                else mdn.sample(
                    mixture, tau, mdn.noise(rng, tuple(mixture.log_pi.shape), tuple(z.shape))
                )
            )
            codes.append(z)
            rewards.append(predicted.reward)
            dones.append(ops.sigmoid(predicted.done_logit))
        dreamed, reward, done = (
            np.asarray(ops.convert_to_numpy(ops.stack(parts, axis=1)))
            for parts in (codes, rewards, dones)
        )
        return Dream(dreamed, self.decode(dreamed), reward, done, state)

    def dream(
        self,
        obs: Array,
        before: NDArray[Any],
        action: NDArray[Any],
        *,
        tau: float = 1.0,
        rng: np.random.Generator | None = None,
        sample: bool = True,
    ) -> Array:
        """Watches real steps obs (B, T+1, ...), before (B, T, a_dim), then dreams actions (B, k, a_dim): the view, (B, k, D).

        V's codes are sampled if `rng` is given, and so are M's steps unless `sample` is false. What `heldout.open_loop` measures.
        """
        z, state = self.watch(obs, before, rng)
        return self.open_loop(z, action, state, tau=tau, rng=rng if sample else None).obs

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
