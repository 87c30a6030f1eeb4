"""The long trainings, as the command line runs them: V on stored episodes, M on V's codes, an ensemble, or C in the dreams of
one of them; each in a run folder that resumes.

While OUT is being made, `OUT.run/` beside it holds checkpoints; the same command goes on from them, after whatever end, and comes to
the same bits. When all is done OUT appears, whole, and `OUT.run/` goes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from wmlib import storage
from wmlib.config import EnsembleConfig, EvolveConfig, MDNRNNConfig, TrainConfig, VAEConfig
from wmlib.control.controller import Controller
from wmlib.control.evolve import evolve
from wmlib.dream.fitness import DreamFitness, linear_for
from wmlib.errors import InputError, whole
from wmlib.loading import load
from wmlib.models import mdnrnn, metrics, training
from wmlib.models.ensemble import Ensemble
from wmlib.models.mdnrnn import MDNRNN
from wmlib.models.training import TrainState
from wmlib.models.vae import VAE, view_slice
from wmlib.models.world import Epochs, WorldModel
from wmlib.real import episodes
from wmlib.real.episodes import Episodes
from wmlib.seeds import spans
from wmlib.storage import Clock, run_folder

CHECKPOINT_STEPS = 200
VALIDATION_EPISODES = 200
MOST_LENGTH = 1_000
"""Steps of a row that M is unrolled over, at most: no body lives longer."""
Say = Callable[[str], None]


def _fitted(trained: TrainState, folder: Path) -> TrainState:
    """The training, if it came to its end.

    Raises:
        InputError: if the loss was not finite; the last good weights stay in the run folder.
    """
    if trained.stopped:
        raise InputError(
            f"{trained.stopped} What there is lies in {folder}; remove it before you use the same --out with another rate."
        )
    return trained


def _experience(artefact: str | Path) -> tuple[Episodes, dict[str, Any]]:
    """Stored episodes, and how the manifest of what is trained on them names them."""
    manifest = storage.open_artefact(artefact, Episodes.kind).manifest
    about: dict[str, Any] = {
        key: manifest[key]
        for key in ("command", "policy", "seed", "episodes", "real_steps", "budget", *storage.SPENT)
        if key in manifest
    }
    return load(artefact), {**about, "sha256": manifest["files"][episodes.FILE]["sha256"]}


def rounded(log: Sequence[dict[str, float]]) -> list[dict[str, float]]:
    """A log for a manifest: six digits."""
    return [{key: float(f"{value:.6g}") for key, value in row.items()} for row in log]


def fit_vae(
    data: Episodes,
    config: VAEConfig,
    recipe: TrainConfig,
    *,
    folder: Path | None = None,
    say: Say | None = print,
) -> tuple[VAE, TrainState]:
    """Trains V on every state of these episodes, and measures R^2 (codes sampled) after each epoch on one in twenty of them, held out."""
    model, x, validate = begin_vae(data, config, recipe, say)
    how = {"make_batch": model.make_batch, "validate": validate, "folder": folder, "say": say}
    return training.fit_model(model, {"x": x}, recipe, checkpoint_every=CHECKPOINT_STEPS, **how)


def begin_vae(
    data: Episodes, config: VAEConfig, recipe: TrainConfig, say: Say | None = None
) -> tuple[VAE, Any, Callable[..., dict[str, float]]]:
    """A V with random weights, its standardised training data, and what measures it."""
    wide = view_slice(data.body, config.view).stop > data.body.physics_dim
    train, held = _parts(data.replayed() if wide and data.obs is None else data, say)
    obs = train.obs if wide and train.obs is not None else train.physics
    model = VAE.create(data.body, obs, config, seed=recipe.seed)

    def validate(params: Any) -> dict[str, float]:
        if held is None:
            return {}
        found = metrics.reconstruction_r2(
            model.using(params), held, np.random.default_rng([recipe.seed, 3])
        )
        return {f"r2_{name}": float(np.nanmean(values)) for name, values in found.items()}

    return model, model.standardize(obs), validate


def _parts(data: Episodes, say: Say | None) -> tuple[Episodes, Episodes | None]:
    """What is trained on, and one episode in twenty (at most `VALIDATION_EPISODES`) that each epoch is measured on; a single one is not measured on itself."""
    held = np.arange(0, len(data), 20)[:VALIDATION_EPISODES]
    if len(data) == 1:
        if say is not None:
            say("There is one episode: none is held out, and nothing is measured.")
        return data, None
    return data.select(np.setdiff1d(np.arange(len(data)), held)), data.select(held)


def fit_mdnrnn(
    v: VAE, data: Episodes, config: MDNRNNConfig, recipe: TrainConfig, *, length: int = 32, own_steps: int = 0,
    start: MDNRNN | None = None, snapshots: Sequence[int] = (), folder: Path | None = None, say: Say | None = print,
) -> tuple[MDNRNN, TrainState]:  # fmt: skip
    """Trains M on V's codes of these episodes; with `own_steps` on its own rollouts of that length, usually from a `start` trained without.

    After each epoch it is measured on held-out episodes: `ahead_10` is its error 10 steps ahead over that of 'nothing changes'.
    """
    train, held = _parts(data, say)  # V may have seen `held`: it tells how training goes, no more
    v = dataclasses.replace(v, training_seeds=())
    rows = mdnrnn.sequences(v, train, length, v.view(train))
    model = start or MDNRNN.create(data.body, rows, config, seed=recipe.seed)

    def validate(params: Any) -> dict[str, float]:
        if held is None or held.lengths.max() <= metrics.WATCHED:  # nothing lives on to be foretold
            return {}
        rng = np.random.default_rng([recipe.seed, 4])
        dreaming = WorldModel(data.body, v, model.using(params))
        found = metrics.open_loop_error(
            v, held, lambda *seen: dreaming.dream(*seen, rng=rng), horizon=10
        )
        return {"ahead_1": float(found.ratio()[0]), "ahead_10": float(found.ratio()[-1])}

    how = {"make_batch": model.make_batch(own_steps), "validate": validate, "folder": folder, "say": say}  # fmt: skip
    return training.fit_model(model, rows, recipe, checkpoint_every=CHECKPOINT_STEPS, snapshots=snapshots, **how)  # fmt: skip


def train_vae(
    data: str,
    out: str,
    config: VAEConfig,
    recipe: TrainConfig,
    *,
    command: str = "",
    say: Say = print,
) -> VAE:
    """Trains V on stored episodes and writes it to `out`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    made: VAE = _train(fit_vae, data, out, config, recipe, command, say)
    return made


def _train(
    fit: Callable[..., Any], data: str, out: str, config: Any, recipe: TrainConfig, command: str, say: Say
) -> Any:  # fmt: skip
    """What `fit` makes of stored episodes, in `OUT.run/`, resuming what is there, and written to `out`."""
    with run_folder(out) as folder:
        stored, about = _experience(data)
        clock = Clock.of(folder)
        model, trained = fit(stored, config, recipe, folder=folder, say=clock.say(say, folder))
        log = {model.kind: rounded(_fitted(trained, folder).log)}
        facts = {"seed": recipe.seed, "command": command, "experience": about, "log": log}
        if isinstance(model, VAE):
            facts |= {"body": stored.body.name, "training_seeds": spans(stored.seeds)}
        model.save(out, **clock.read(), **facts)
    return model


def train_mdnrnn(
    vae: str, data: str, out: str, config: MDNRNNConfig, recipe: TrainConfig, *, length: int = 32, own: TrainConfig | None = None, own_steps: int = 10,
    snapshots: Sequence[int] = (), command: str = "", say: Say = print,
) -> WorldModel:  # fmt: skip
    """Trains M on stored episodes as a V codes them, and writes both as a world to `out`.

    Args:
        vae: artefact of V.
        data: artefact of episodes.
        out: the folder to make.
        config: sizes and options of M.
        recipe: of the training with true codes as inputs.
        length: steps of a row; see `mdnrnn.sequences`.
        own: of the training on M's own rollouts that follows; none by default.
        own_steps: length of these rollouts.
        snapshots: epochs of the first training after which M is kept too, in a second artefact `OUT-epochs`.
        command: the command line, for the manifest.
        say: gets one line an epoch.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    for epoch in snapshots:
        whole(epoch, "An epoch to keep M after", 0, recipe.epochs)
    whole(length, "length", 1, MOST_LENGTH)
    if own:
        whole(own_steps, "own_steps", 1, length)
    epochs_out = storage.place(out, "-epochs")
    if snapshots:
        storage.refuse_taken(epochs_out)
    with run_folder(out) as folder:
        kinds = (VAE.kind, WorldModel.kind)
        v, manifest = load(vae, *kinds), storage.open_artefact(vae, *kinds).manifest
        v = v.vae if isinstance(v, WorldModel) else v
        stored, about = _experience(data)
        if manifest.get("body") != stored.body.name:
            raise InputError(
                f"{vae} is a V of '{manifest.get('body')}', and {data} holds episodes of '{stored.body.name}'; expected the same body."
            )
        v = dataclasses.replace(v, training_seeds=spans(stored.seeds, v.training_seeds))
        if v.x_dim > stored.body.physics_dim:
            stored = stored.replayed()
        clock = Clock.of(folder)
        stages = [(recipe, 0)] + ([(own, own_steps)] if own else [])
        model, logs, first = None, {}, None
        for stage, steps in stages:
            name = f"mdnrnn, own {steps} steps" if steps else "mdnrnn"
            (folder / name).mkdir(exist_ok=True)
            say(f"{name}: {stage.epochs} epochs")
            model, trained = fit_mdnrnn(
                v, stored, config, stage, length=length, own_steps=steps, start=model, snapshots=() if steps else snapshots,
                folder=folder / name, say=clock.say(say, folder),
            )  # fmt: skip
            logs[name] = rounded(_fitted(trained, folder).log)
            first = first or trained
        assert model is not None and first is not None
        made = WorldModel(stored.body, v, model)
        facts: dict[str, Any] = {"seed": recipe.seed, "command": command, "experience": about}
        if snapshots:
            Epochs(made, first.snapshots).save(epochs_out, **clock.read(), **facts)
        log = {**manifest.get("log", {}), **logs}
        made.save(
            out,
            **clock.read(),
            **facts,
            training_seeds=v.training_seeds,
            vae_made_by={key: manifest.get(key) for key in ("command", "seed", *storage.SPENT)},
            log=log,
        )
    return made


def fit_ensemble(
    data: Episodes, config: EnsembleConfig, recipe: TrainConfig, *, folder: Path | None = None, say: Say | None = print
) -> tuple[Ensemble, TrainState]:  # fmt: skip
    """Trains an ensemble on every step of these episodes; after each epoch its nll is measured on one in twenty of them, held out."""
    train, held = _parts(data, say)
    model = Ensemble.create(data.body, train, config, seed=recipe.seed)
    shared = {
        name: np.broadcast_to(array, (config.members, *array.shape))
        for name, array in (model.data(held) if held else {}).items()
    }

    def validate(params: Any) -> dict[str, float]:
        return {"held_nll": float(model.loss(params, shared)[1]["nll"])} if held else {}

    how = {"make_batch": model.make_batch, "validate": validate, "folder": folder, "say": say}
    return training.fit_model(model, model.data(train), recipe, checkpoint_every=CHECKPOINT_STEPS, **how)  # fmt: skip


def train_ensemble(
    data: str,
    out: str,
    config: EnsembleConfig,
    recipe: TrainConfig,
    *,
    command: str = "",
    say: Say = print,
) -> Ensemble:
    """Trains an ensemble on stored episodes and writes it to `out`.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    made: Ensemble = _train(fit_ensemble, data, out, config, recipe, command, say)
    return made


def train_dreamed(
    model: str,
    data: str,
    out: str | Path,
    features: str,
    config: EvolveConfig,
    *,
    command: str = "",
    say: Say = print,
) -> Controller:
    """Evolves C in a stored model's dreams, in `OUT.run/`, resuming what is there, and writes it to `out`.

    The manifest names the commands, the real steps and the seconds of all stages, those that made the model first.

    Raises:
        InputError: in one line, whatever is wrong with what was given.
    """
    with run_folder(out) as folder:
        kinds = (WorldModel.kind, Ensemble.kind)
        dreamt_in, stored = load(model, *kinds), load(data, Episodes.kind)
        linear = linear_for(dreamt_in, features, stored)
        fitness = DreamFitness.of(dreamt_in, linear, stored, config)
        found = evolve(fitness, folder=folder, say=say)
        made = Controller(linear, found.params)
        before = storage.open_artefact(model, *kinds).manifest
        stages = [before.get("experience", {}), before.get("vae_made_by", {}), before]
        real_steps = max(int(stage.get("real_steps") or 0) for stage in stages)
        facts = {
            "seed": config.seed, "real_steps": real_steps, "budget": int(stages[0].get("budget") or real_steps), "dreamed": found.log[-1]["check"], "dreamed_steps": found.steps,
            "command": "; ".join(filter(None, [*(str(stage.get("command") or "") for stage in stages), command])),
            "evolve": config.about(), "search": {"strategy": "dreamed"},
        }  # fmt: skip
        spent = {
            name: sum(float(stage.get(name) or 0) for stage in (*stages, found.log[-1]))
            for name in storage.SPENT
        }
        made.save(out, **spent, log=found.log, world=dreamt_in.fingerprint, **facts)
    return made
