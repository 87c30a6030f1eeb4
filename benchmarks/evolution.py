"""Milliseconds for one generation of 64 (ask and tell, without playing it), by strategy and number of parameters; ratios to OpenAI-ES.

782 parameters are C on the 45 numbers, 1,649 on z and an h of 64, 4,913 on z and an h of 256. Fitness is random, which costs nothing.
The strategies take turns, `ROUNDS` times; the table gives medians over rounds of the mean over generations, because CMA-ES decomposes its
covariance every few generations only. Full CMA-ES with 4,913 parameters takes minutes: it is left out unless WM_BENCH_ALL is set.
"""

import os
import time

import numpy as np

from wmlib.control import strategies

ROUNDS, POPSIZE, SIZES = 3, 64, (782, 1_649, 4_913)
GENERATIONS = {"cma-es": {782: 12, 1_649: 6, 4_913: 3}}


def measure(name, n):
    """Seconds a generation; the first one, with its allocations, is left out."""
    strategy = strategies.make(name, np.zeros(n), popsize=POPSIZE)
    rng = np.random.default_rng(0)
    generations = GENERATIONS.get(name, {}).get(n, 20)
    for generation in range(generations + 1):
        if generation == 1:
            started = time.perf_counter()
        strategy.ask()
        strategy.tell(rng.standard_normal(POPSIZE))
    return (time.perf_counter() - started) / generations


def main():
    """Prints the table."""
    print(
        f"one generation of {POPSIZE}, ask and tell, {ROUNDS} rounds, {os.cpu_count()} cores, numpy {np.__version__}"
    )
    pairs = [
        (name, n)
        for n in SIZES
        for name in strategies.STRATEGIES
        if (name, n) != ("cma-es", 4_913) or os.environ.get("WM_BENCH_ALL")
    ]
    seconds = {pair: [] for pair in pairs}
    for _ in range(ROUNDS):
        for pair in pairs:
            seconds[pair].append(measure(*pair))
    print(f"{'parameters':>10}  {'strategy':16}{'ms':>10}{'range':>20}{'ratio':>8}")
    for (name, n), values in seconds.items():
        base = np.median(seconds["openai-es", n])
        low, high = 1e3 * min(values), 1e3 * max(values)
        print(
            f"{n:10,}  {name:16}{1e3 * np.median(values):10.2f}{low:11.2f} -{high:7.2f}{np.median(values) / base:8.1f}"
        )


if __name__ == "__main__":
    main()
