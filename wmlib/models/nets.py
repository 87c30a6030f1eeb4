"""The few parts that V, M and the ensemble are made of: named weights, dense layers, gradients, compiled functions.

A network here is a plain function of a dictionary of named arrays and of its input, written in `keras.ops`, so that the
same lines run on NumPy arrays, inside a gradient, and compiled. Keras is imported here first, quietly: TensorFlow by
default, JAX where `KERAS_BACKEND=jax` says so. Built in chapters 3 and 4.
"""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Self

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets on standard error otherwise
os.environ.setdefault(
    "TF_ENABLE_ONEDNN_OPTS", "0"
)  # its rounding depends on the processor; XLA does the heavy work anyway
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras
import numpy as np
from keras import ops as ops
from numpy.typing import NDArray

from wmlib import storage
from wmlib.errors import InputError, whole

logging.getLogger("tensorflow").setLevel(
    logging.ERROR
)  # it warns of new compilations, and a chapter trains many small things

Tensor = Any
"""A backend's array. Every function of `keras.ops` also takes NumPy arrays."""
Params = dict[str, Any]
"""Named weights: `encoder.0.kernel`, `encoder.0.bias`, ..."""
Loss = Callable[[Params, Mapping[str, Any]], tuple[Tensor, dict[str, Tensor]]]
"""`(params, batch) -> (loss to descend, named pieces to print)`."""


def silu(x: Tensor) -> Tensor:
    """x sigmoid(x): smooth, and never flat."""
    return x * ops.sigmoid(x)


def dense(params: Mapping[str, Any], name: str, x: Tensor) -> Tensor:
    """x W + b of the layer `name`: (..., n_in) -> (..., n_out)."""
    return ops.matmul(x, params[f"{name}.kernel"]) + params[f"{name}.bias"]


def mlp(params: Mapping[str, Any], name: str, x: Tensor, n_layers: int) -> Tensor:
    """Dense layers `name.0`, `name.1`, ... with silu between them, none after the last."""
    for layer in range(n_layers):
        x = dense(params, f"{name}.{layer}", silu(x) if layer else x)
    return x


def dense_shapes(name: str, n_in: int, n_out: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a dense layer's weights."""
    return {f"{name}.kernel": (n_in, n_out), f"{name}.bias": (n_out,)}


def mlp_shapes(name: str, sizes: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of dense layers through these sizes, input first."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        shapes |= dense_shapes(f"{name}.{layer}", n_in, n_out)
    return shapes


def initial(shapes: Mapping[str, tuple[int, ...]], seed: int) -> Params:
    """Random float32 weights: kernels normal with variance 1 / n_in, biases 0. The same seed gives the same weights."""
    rng = np.random.default_rng([whole(seed, "The seed"), 0])
    params: Params = {}
    for name, shape in shapes.items():
        spread = 0.0 if name.endswith("bias") else 1 / np.sqrt(shape[-2])
        params[name] = (spread * rng.standard_normal(shape)).astype(np.float32)
    return params


def n_params(params: Mapping[str, Any]) -> int:
    """How many numbers there are in all."""
    return sum(int(np.prod(ops.shape(value))) for value in params.values())


def to_tensors(arrays: Mapping[str, Any]) -> dict[str, Tensor]:
    """Arrays as tensors of the backend."""
    return {name: ops.convert_to_tensor(value) for name, value in arrays.items()}


def to_numpy(tensors: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Tensors as NumPy arrays of their own memory."""
    return {name: np.array(ops.convert_to_numpy(value)) for name, value in tensors.items()}


class Network:
    """A configuration, statistics and named weights: one file on disk. A subclass is a frozen dataclass with `config`, `params` and its statistics as fields.

    Attributes:
        CONFIG: class of its configuration.
        STATS: names of its statistics.
        EARLIER: settings that were not in files once, with the value that they then had; with this value they are in none, so that fingerprints stay.
    """

    CONFIG: ClassVar[type]
    STATS: ClassVar[tuple[str, ...]]
    EARLIER: ClassVar[Mapping[str, Any]] = {}
    config: Any
    params: Params

    @classmethod
    def layout(cls, config: Any, *of: Any) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all arrays, those of the statistics as `stats.name`; `of` is what sizes depend on besides: a body, ..."""
        raise NotImplementedError

    @classmethod
    def from_arrays(cls, config: Any, arrays: Mapping[str, NDArray[Any]], *of: Any) -> Self:
        """What `arrays` gave, as an object again."""
        raise NotImplementedError

    def using(self, params: Params) -> Self:
        """The same with other weights."""
        return dataclasses.replace(self, params=params)  # type: ignore[type-var]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Weights and statistics as named float32 arrays."""
        stats = {f"stats.{key}": np.asarray(getattr(self, key), np.float32) for key in self.STATS}
        return {**to_numpy(self.params), **stats}

    def about(self) -> dict[str, Any]:
        """The configuration as plain values."""
        said = dataclasses.asdict(self.config)
        return {k: v for k, v in said.items() if k not in self.EARLIER or v != self.EARLIER[k]}

    @property
    def fingerprint(self) -> str:
        """sha256 of weights, statistics and configuration."""
        return storage.fingerprint(self.arrays(), self.about())

    def to_bytes(self, **about: Any) -> bytes:
        """Its file; `about` is said in it beside the configuration."""
        return storage.to_bytes(self.arrays(), {**self.about(), **about})

    @classmethod
    def from_bytes(
        cls, data: bytes, name: str, *of: Any, trained_on: Mapping[str, str] | None = None
    ) -> Self:
        """From the bytes of its file, after configuration, names, shapes, types and lineage were checked.

        Args:
            data: the bytes.
            name: of the file, for messages.
            of: as in `layout`.
            trained_on: what the file must say of what it was trained on, such as `vae=fingerprint` in `to_bytes`.

        Raises:
            InputError: in one line, whatever does not fit.
        """
        found, about = storage.header(data, name)
        for key, fingerprint in (trained_on or {}).items():
            if about.pop(key, None) != fingerprint:
                raise InputError(
                    f"{name} was trained on the codes of another V than the one beside it. Train M on this V, or restore the folder with git."
                )
        config: Any = storage.config(cls.CONFIG, {**cls.EARLIER, **about}, name)
        storage.check_shapes(found, cls.layout(config, *of), name)
        return cls.from_arrays(config, storage.from_bytes(data, name), *of)

    @classmethod
    def fields(cls, arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """Statistics and `params` by the names of their fields."""
        stats = {name: arrays[f"stats.{name}"] for name in cls.STATS}
        params = {name: value for name, value in arrays.items() if not name.startswith("stats.")}
        return {**stats, "params": params}


def gradient(
    loss: Loss, params: Params, batch: Mapping[str, Any]
) -> tuple[Tensor, dict[str, Tensor], Params]:
    """The loss, its pieces, and its gradient by every weight."""
    if keras.backend.backend() == "jax":
        import jax

        (total, pieces), grads = jax.value_and_grad(loss, has_aux=True)(params, batch)
        return total, pieces, grads
    import tensorflow as tf

    params = to_tensors(params)
    with tf.GradientTape() as tape:
        tape.watch(params)
        total, pieces = loss(params, batch)
    return total, pieces, tape.gradient(total, params)


class compiled:  # noqa: N801  # reads as a function
    """The function as one compiled call; with `jit` through XLA (JAX always). Same shapes, no new compilation. A copy, or a pickle, is compiled again."""

    def __init__(self, function: Callable[..., Any], jit: bool = True) -> None:
        """Compiles at the first call."""
        self.function, self.jit = function, jit
        if keras.backend.backend() == "jax":
            import jax

            self._call: Any = jax.jit(function)
        else:
            import tensorflow as tf

            self._call = tf.function(function, jit_compile=jit, autograph=False)

    def __call__(self, *given: Any) -> Any:
        """What the function gives."""
        return self._call(*given)

    def __reduce__(self) -> Any:
        """Of the function alone."""
        return compiled, (self.function, self.jit)
