"""One training loop for everything that learns here: V, M, the ensemble, and the toys of the chapters.

The whole state of a training is weights, Adam's two moments, the number of steps done and the log. Noise is drawn for step n from
(seed, n), batches of epoch e from (seed, e): there is no other random state. So a training that was killed anywhere goes on from
its last checkpoint and ends with the same bits as one that was not. Built in chapter 3.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from wmlib import storage
from wmlib.config import TrainConfig
from wmlib.errors import InputError
from wmlib.models import nets
from wmlib.models.nets import Loss, Params, ops

CHECKPOINT = "checkpoint.safetensors"
Batch = dict[str, NDArray[Any]]
MakeBatch = Callable[[Batch, np.random.Generator], Batch]
"""`(rows of the data, generator of this step) -> batch`: where noise is added."""
BETAS, EPSILON = (0.9, 0.999), 1e-8
PARTS = ("params", "first", "second")
M = TypeVar("M", bound=Any)


@dataclass
class TrainState:
    """A training, finished or under way.

    Attributes:
        params: the weights.
        log: one row for each epoch done: `epoch`, then the mean of the loss and of its pieces, then what `validate` measured.
        snapshots: epoch -> weights, where they were asked for.
        first: Adam's mean of the gradient.
        second: Adam's mean of its square.
        steps: steps done.
        sums: of the loss and its pieces in the epoch under way.
        stopped: why it ended early; empty if it did not.
    """

    params: Params
    log: list[dict[str, float]] = field(default_factory=list)
    snapshots: dict[int, Params] = field(default_factory=dict)
    first: Params = field(default_factory=dict)
    second: Params = field(default_factory=dict)
    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    stopped: str = ""

    @property
    def fingerprint(self) -> str:
        """sha256 over weights, optimizer, random state (the number of steps) and log."""
        return storage.fingerprint(*_state(self))


def learning_rate(recipe: TrainConfig, step: int, n_steps: int) -> float:
    """Half a cosine from `learning_rate` to `final_learning_rate`."""
    low, high = recipe.final_learning_rate, recipe.learning_rate
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * min(1.0, step / max(1, n_steps))))


def adam_step(loss: Loss, recipe: TrainConfig) -> Callable[..., Any]:
    """One step of Adam with clipped gradients, compiled: (params, first, second, batch, rate, n) -> (params, first, second, pieces).

    n counts steps from 1. `pieces` has the loss, its pieces, and `gradient`, the length of the gradient before clipping.
    """
    b1, b2 = BETAS

    def update(
        params: Params, first: Params, second: Params, batch: Batch, rate: Any, n: Any
    ) -> Any:
        total, pieces, grads = nets.gradient(loss, params, batch)
        norm = ops.sqrt(sum(ops.sum(ops.square(grad)) for grad in grads.values()))
        scale = ops.minimum(1.0, recipe.clip_norm / (norm + 1e-12))
        first = {key: b1 * first[key] + (1 - b1) * scale * grads[key] for key in params}
        second = {
            key: b2 * second[key] + (1 - b2) * ops.square(scale * grads[key]) for key in params
        }
        rate = rate * ops.sqrt(1 - b2**n) / (1 - b1**n)
        params = {
            key: params[key] - rate * first[key] / (ops.sqrt(second[key]) + EPSILON)
            for key in params
        }
        return params, first, second, {"loss": total, **pieces, "gradient": norm}

    return nets.compiled(update, jit=recipe.jit)


def fit(
    loss: Loss,
    params: Params,
    data: Mapping[str, NDArray[Any]],
    recipe: TrainConfig,
    *,
    make_batch: MakeBatch | None = None,
    validate: Callable[[Params], Mapping[str, float]] | None = None,
    snapshots: Sequence[int] = (),
    folder: Path | None = None,
    checkpoint_every: int | None = None,
    say: Callable[[str], None] | None = print,
    step: Callable[..., Any] | None = None,
) -> TrainState:
    """Trains weights to lower a loss.

    Args:
        loss: see `nets.Loss`.
        params: the weights to begin with.
        data: named arrays, all with N rows; a batch is the same rows of each.
        recipe: how to train.
        make_batch: makes the batch from its rows and the step's own random generator; the rows themselves by default.
        validate: measured after each epoch, and added to its row of the log.
        snapshots: epochs after which to keep the weights; 0 is before the first.
        folder: where to keep checkpoints; a training that is there already is gone on with.
        checkpoint_every: steps between checkpoints; by default an epoch. One is written after each epoch in any case.
        say: gets one line an epoch; None for silence.
        step: what `adam_step` gives for this loss, if it was compiled before.

    Returns:
        the training. If the loss was NaN or infinite, `stopped` says so in one line, and the weights are the last whose loss is finite.

    Raises:
        InputError: if the data have no rows or differ in length, or the folder holds another training.
    """
    rows = {len(array) for array in data.values()}
    if len(rows) != 1 or 0 in rows:
        raise InputError(
            f"The arrays to train on have {sorted(rows)} rows; expected one and the same number, at least 1."
        )
    n_rows = rows.pop()
    batch_size = min(recipe.batch_size, n_rows)
    per_epoch = n_rows // batch_size
    n_steps = recipe.epochs * per_epoch
    about = {
        "recipe": dataclasses.asdict(recipe),
        "data": storage.fingerprint(data),
        "start": storage.fingerprint(nets.to_numpy(params)),
        "snapshots": sorted(snapshots),
    }
    params = {
        key: params[key] for key in sorted(params)
    }  # sums over the weights are made in this order, whence ever they come
    run = _resume(folder, about) or _begin(params, snapshots)
    step = step or adam_step(loss, recipe)
    good: tuple[Any, int, dict[str, float], int] | None = None  # before the newest update
    tensors = [nets.to_tensors(getattr(run, part)) for part in PARTS]
    shown = time.monotonic()

    def keep() -> None:
        run.params, run.first, run.second = (nets.to_numpy(part) for part in tensors)
        if folder is not None:
            arrays, state = _state(run)
            storage.write_checkpoint(folder / CHECKPOINT, arrays, {**about, **state})

    def stop(where: str, values: Mapping[str, float]) -> None:
        """A loss is of the weights before its step: if it is bad, those in hand are, and the ones before them are the last good ones."""
        nonlocal tensors
        bad = next(key for key, value in values.items() if not math.isfinite(value))
        kept = "No weights were good before it"
        if good is not None:
            tensors, run.steps, run.sums, epochs = good
            del run.log[epochs:]
            run.snapshots = {e: one for e, one in run.snapshots.items() if e <= epochs}
            kept = f"The last good weights are kept, those after step {run.steps}"
        run.stopped = f"Training stopped {where}: '{bad}' is {values[bad]}. {kept}; try a lower learning rate."

    while run.steps < n_steps and not run.stopped:
        epoch, done = divmod(run.steps, per_epoch)
        order = np.random.default_rng([recipe.seed, 1, epoch]).permutation(n_rows)
        for at in range(done, per_epoch):
            index = np.sort(order[at * batch_size : (at + 1) * batch_size])
            batch = {key: array[index] for key, array in data.items()}
            if make_batch is not None:
                batch = make_batch(batch, np.random.default_rng([recipe.seed, 2, run.steps]))
            rate = learning_rate(recipe, run.steps, n_steps)
            *new, pieces = step(*tensors, batch, np.float32(rate), np.float32(run.steps + 1))
            values = {key: float(ops.convert_to_numpy(piece)) for key, piece in pieces.items()}
            if not all(map(math.isfinite, values.values())):
                stop(f"in epoch {epoch + 1}, step {run.steps + 1}", values)
                break
            good = (tensors, run.steps, run.sums, len(run.log))
            tensors = new
            run.steps += 1
            run.sums = {key: run.sums.get(key, 0.0) + value for key, value in values.items()}
            if checkpoint_every and run.steps % checkpoint_every == 0 and at + 1 < per_epoch:
                keep()
            if run.steps == n_steps:  # no step follows that would tell whether these are good
                pieces = step(*tensors, batch, np.float32(rate), np.float32(run.steps + 1))[-1]
                values = {key: float(ops.convert_to_numpy(piece)) for key, piece in pieces.items()}
                if not all(map(math.isfinite, values.values())):
                    stop(f"after the last step, {run.steps}", values)
                    break
        else:
            run.log.append(
                {
                    "epoch": float(epoch + 1),
                    **{key: value / per_epoch for key, value in run.sums.items()},
                }
            )
            run.sums = {}
            run.params = tensors[0]
            if validate is not None:
                run.log[-1] |= {key: float(value) for key, value in validate(run.params).items()}
            if epoch + 1 in snapshots:
                run.snapshots[epoch + 1] = nets.to_numpy(run.params)
            keep()
            if say is not None:
                seconds, shown = time.monotonic() - shown, time.monotonic()
                say(line(run.log[-1], recipe.epochs, seconds))
    if not run.stopped or good is not None:
        keep()
    if run.stopped and say is not None:
        say(run.stopped)
    return run


def fit_model(model: M, data: Mapping[str, NDArray[Any]], recipe: TrainConfig, **how: Any) -> tuple[M, TrainState]:  # fmt: skip
    """`fit` of a model's own loss and weights, with the rest of its arguments: the model that has learned, and its training."""
    trained = fit(model.loss, model.params, data, recipe, **how)
    return model.using(trained.params), trained


def line(row: Mapping[str, float], epochs: int, seconds: float) -> str:
    """A row of the log as a line: `epoch  3 of 20  loss 1.234  kl 20.1  2.3 s`."""
    values = "  ".join(
        f"{key} {value:.4g}" for key, value in row.items() if key not in ("epoch", "gradient")
    )
    return f"epoch {row['epoch']:{len(str(epochs))}.0f} of {epochs}  {values}  {seconds:.1f} s"


def _begin(params: Params, snapshots: Sequence[int]) -> TrainState:
    start = nets.to_numpy(params)
    first, second = ({key: np.zeros_like(value) for key, value in start.items()} for _ in range(2))
    return TrainState(
        start, first=first, second=second, snapshots={0: start} if 0 in snapshots else {}
    )


def _state(run: TrainState) -> tuple[storage.Arrays, dict[str, Any]]:
    """Everything there is to a training, as arrays and plain values."""
    arrays = {
        f"{part}/{key}": np.asarray(value)
        for part in PARTS
        for key, value in getattr(run, part).items()
    }
    arrays |= {
        f"snapshot {epoch}/{key}": value
        for epoch, params in run.snapshots.items()
        for key, value in params.items()
    }
    return arrays, {"steps": run.steps, "log": run.log, "sums": run.sums}


def _resume(folder: Path | None, about: Mapping[str, Any]) -> TrainState | None:
    """The training that a folder holds, if any.

    Raises:
        InputError: if it is damaged, or another one.
    """
    if folder is None or (there := storage.checkpoint(folder, CHECKPOINT)) is None:
        return None
    found, parts = there
    for key, wanted in about.items():
        if found.get(key) != wanted:
            what = (
                storage.difference(found.get(key), wanted)
                if key == "recipe"
                else {"data": "other data", "start": "other first weights"}.get(
                    key, f"another '{key}'"
                )
            )
            raise InputError(
                f"{folder} holds a training with {what}. Give the same settings to go on with it, or another folder."
            )
    snapshots = {
        int(part.split()[1]): params
        for part, params in parts.items()
        if part.startswith("snapshot ")
    }
    log = [
        {key: math.nan if value is None else value for key, value in row.items()}
        for row in found["log"]
    ]  # JSON has no word for what was not a number
    return TrainState(
        parts["params"],
        log,
        snapshots,
        parts["first"],
        parts["second"],
        found["steps"],
        found["sums"],
    )
