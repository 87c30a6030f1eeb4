"""Mixtures of Gaussians in log space: density, mean, and sampling with a temperature.

A `Mixture` over a vector z of Z numbers comes in two kinds, told apart by their shapes (leading axes, such as (B, T), are
written `...`):

* joint: log_pi (..., K), mu and log_sigma (..., K, Z). One choice of component for the whole vector.
* per dimension: log_pi, mu and log_sigma all (..., K, Z). Each number of z has a mixture, and a choice, of its own.

K stands before Z in both, so that one sum over axis -2 serves both kinds, and runs along memory (the other order is twice as slow).

Noise is an argument, not a state: the same noise gives the same sample, in every backend. Built in chapter 4.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wmlib.errors import InputError
from wmlib.models.nets import Tensor, ops

LOG_SIGMA = 20.0
"""log sigma is held within +- this: e^20 squared is far from overflow in float32, and far from any use."""


class Mixture(NamedTuple):
    """A mixture density; see the module for the shapes of its two kinds."""

    log_pi: Tensor
    mu: Tensor
    log_sigma: Tensor

    @property
    def joint(self) -> bool:
        """Whether one component is chosen for the whole vector."""
        return len(self.log_pi.shape) < len(self.mu.shape)


class Noise(NamedTuple):
    """What a sample is made of: `gumbel` like log_pi, which chooses the component, and `eps` (..., Z), standard normal."""

    gumbel: NDArray[np.float32]
    eps: NDArray[np.float32]


def noise(
    rng: np.random.Generator, log_pi_shape: tuple[int, ...], z_shape: tuple[int, ...]
) -> Noise:
    """Fresh noise for mixtures whose log_pi and z have these shapes."""
    gumbel = -np.log(rng.standard_exponential(log_pi_shape, dtype=np.float32) + np.float32(1e-30))
    return Noise(gumbel, rng.standard_normal(z_shape, dtype=np.float32))


def gaussian_log_prob(z: Tensor, mu: Tensor, log_sigma: Tensor) -> Tensor:
    """log N(z; mu, sigma^2) of each number, in nats: -(z - mu)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2.  Equation (4.1)."""
    log_sigma = ops.clip(log_sigma, -LOG_SIGMA, LOG_SIGMA)
    return (
        -0.5 * ops.square((z - mu) * ops.exp(-log_sigma)) - log_sigma - 0.5 * math.log(2 * math.pi)
    )


def log_prob(mixture: Mixture, z: Tensor) -> Tensor:
    """log of the density at z (..., Z), in nats, (...).

    log sum_k pi_k N(z; mu_k, sigma_k^2), summed as logarithms (log-sum-exp), so that it is finite for all z within 1e18 sigma of a component (float32 ends
    there, and gives minus infinity). Per dimension, the logs of the Z mixtures are added. Equation (4.2); built in chapter 4.
    """
    of_number = gaussian_log_prob(
        ops.expand_dims(z, -2), mixture.mu, mixture.log_sigma
    )  # (..., K, Z)
    if mixture.joint:
        return ops.logsumexp(mixture.log_pi + ops.sum(of_number, axis=-1), axis=-1)
    return ops.sum(ops.logsumexp(mixture.log_pi + of_number, axis=-2), axis=-1)


def nll(mixture: Mixture, z_next: Tensor, mask: Tensor) -> Tensor:
    """Negative log-likelihood of z_next (B, T, Z), mean over the valid steps of mask (B, T), in nats a step. Built in chapter 4."""
    counts = ops.expand_dims(mask, -1) > 0
    z_next = ops.where(counts, z_next, 0.0)  # 0 times NaN is a gradient of NaN
    return masked_mean(-log_prob(mixture, z_next), mask)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, T) where mask (B, T) is 1, whatever they are elsewhere; 0 where it is 1 nowhere."""
    return ops.sum(ops.where(mask > 0, values, 0.0)) / ops.maximum(ops.sum(mask), 1.0)


def mean(mixture: Mixture) -> Tensor:
    """The mean of the mixture, (..., Z): sum_k pi_k mu_k."""
    pi = ops.exp(mixture.log_pi)
    return ops.sum((ops.expand_dims(pi, -1) if mixture.joint else pi) * mixture.mu, axis=-2)


def sample(mixture: Mixture, tau: float | Tensor, noise: Noise) -> Tensor:
    """A sample z (..., Z) at temperature tau.

    The component is drawn from softmax(log_pi / tau), and the noise is scaled by sqrt(tau), as in the 2018 code: tau = 1 is the mixture
    itself, tau = 0 the mean of the likeliest component. The component is the largest log_pi + tau * gumbel, which is the same
    draw without a division, so that 0 is allowed. Equation (4.3); built in chapter 4.

    Raises:
        InputError: if tau is a number, and not finite or below 0.
    """
    if isinstance(tau, int | float) and not 0 <= tau < math.inf:
        raise InputError(f"tau is {tau}; expected a finite number of at least 0.")
    tau = ops.convert_to_tensor(tau, dtype="float32")
    scores = mixture.log_pi + tau * noise.gumbel
    if mixture.joint:
        scores = ops.expand_dims(scores, -1)
    best, mu, log_sigma = scores[..., 0, :], mixture.mu[..., 0, :], mixture.log_sigma[..., 0, :]
    for k in range(
        1, mixture.mu.shape[-2]
    ):  # comparing one by one is faster than an argmax and a choice by it
        better = scores[..., k, :] > best
        best, mu, log_sigma = (
            ops.where(better, new[..., k, :], old)
            for new, old in ((scores, best), (mixture.mu, mu), (mixture.log_sigma, log_sigma))
        )
    return mu + ops.exp(ops.clip(log_sigma, -LOG_SIGMA, LOG_SIGMA)) * ops.sqrt(tau) * noise.eps
