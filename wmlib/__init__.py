"""wmlib: the small library of *Dreaming Up Human Physics*. `import wmlib as wm`, then `wm.body`, `wm.rollout`, ...

    real/       the simulator, nothing learned    body, zoo, policies, rollout, workers, episodes, evaluate, kinematics
    models/     V, M and M's rival                nets, mdn, vae, mdnrnn, ensemble, structured, model, world, training, metrics
    control/    C                                 controller, agent, population, strategies, evolve
    dream/      V, M and C together               dream, dreamenv, packing, fitness, rounds, iterate, walk
    show/       what a reader sees                palette, plots, viewer, play, videos, explorer, progress, say
    classroom/  exercises and grading             classroom, marking, jail, nbgrading, grading

Beside them: `config` (sizes), `seeds`, `statistics`, `storage` (artefacts on disk), `errors`, `loading` (`wm.load(name)` opens any artefact); `stages` and `whole` (runs from end to end), `results`, `cli`;
`ppo` and `autopsy`. Classes need no module: `wm.VAE`, `wm.DreamConfig`. A module is imported when it is first named, so that `import wmlib` is quick and a worker loads no more than it uses.
"""

import importlib
from typing import Any

from wmlib.errors import InputError as InputError

_PACKAGES = {
    "": "autopsy config errors loading ppo results seeds stages statistics storage whole",
    "real.": "body zoo policies workers episodes evaluate kinematics",
    "models.": "nets mdn vae mdnrnn ensemble structured model world training metrics",
    "control.": "controller agent population strategies",
    "dream.": "dream dreamenv packing fitness rounds iterate walk",
    "show.": "palette plots viewer videos explorer progress",
    "classroom.": "classroom marking jail nbgrading grading",
}
_CLASSES = {
    "config": "scale VAEConfig MDNRNNConfig EnsembleConfig TrainConfig DreamConfig EvolveConfig SearchConfig StudyConfig LoopConfig StructuredConfig WalkConfig",
    "loading": "load",
    "real.rollout": "rollout Episode",
    "real.episodes": "gather Episodes",
    "real.evaluate": "baselines evaluate_policy scorecard",
    "statistics": "interval bootstrap compare",
    "models.metrics": "reconstruction_r2 open_loop_error physics_error",
    "models.vae": "VAE",
    "models.mdnrnn": "MDNRNN",
    "models.ensemble": "Ensemble",
    "models.structured": "StructuredEnsemble",
    "models.world": "WorldModel",
    "control.controller": "Controller Linear",
    "dream.dream": "Dream",
    "dream.dreamenv": "DreamEnv",
    "dream.fitness": "DreamFitness linear_for",
    "control.agent": "Agent",
    "control.population": "evaluate_population",
    "control.evolve": "evolve Evolution Fitness RealFitness",
    "show.say": "say",
    "show.play": "play",
}
_OWNER = {name: f"wmlib.{module}" for module, names in _CLASSES.items() for name in names.split()}
_HOME = {
    name: f"wmlib.{package}{name}" for package, names in _PACKAGES.items() for name in names.split()
}
__all__ = sorted([*_HOME, *_OWNER, "InputError"])
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports a module of the library when it, or a class of it, is first named."""
    if name in _OWNER:
        return getattr(importlib.import_module(_OWNER[name]), name)
    if name in _HOME:
        return importlib.import_module(_HOME[name])
    raise AttributeError(f"wmlib has no '{name}'; it has: {', '.join(__all__)}.")
