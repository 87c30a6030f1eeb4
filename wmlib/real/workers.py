"""Who plays many episodes at once: threads of this process, processes beside it, or a Dask cluster, behind one `concurrent.futures.Executor`.

No number depends on who does the work, or on how many do it: an episode's bits are its own. A worker that dies is reported, and what it had
in hand is done again. Built in chapter 12; the page "On a cluster" has a Slurm script.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from wmlib.errors import InputError

KINDS = ("threads", "processes", "dask")
RETRIES = 3
"""How often a piece of work is done again, when the worker that had it died."""
LOOK_EVERY = 2.0
"""Seconds between two looks at who is still there."""


class WorkerError(OSError):
    """Workers died again and again over the same work; the message says what to do."""


def _deaf() -> None:
    """A worker leaves interrupts to the process that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


class Workers:
    """Some workers, each of which does one piece of work at a time on one thread.

    Attributes:
        kind: `processes` or `dask`.
        n: how many there are, or were when this began.
    """

    def __init__(
        self,
        kind: str,
        n: int,
        start: Callable[[], Executor],
        alive: Callable[[Executor], set[str]],
        say: Callable[[str], None],
    ) -> None:
        """Starts them; use `opened`."""
        self.kind, self.n, self._start, self._alive, self._say = kind, n, start, alive, say
        self.executor = start()

    def map(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """`function(*call)` of each call, in their order. All that goes over must be picklable; a piece of a worker that died is done again.

        Raises:
            WorkerError: if workers died more than `RETRIES` times over it.
        """
        results: dict[int, Any] = {}
        deaths, there = 0, self._alive(self.executor)
        while len(results) < len(calls):
            waiting = {
                self.executor.submit(function, *call): i
                for i, call in enumerate(calls)
                if i not in results
            }
            try:
                while waiting:
                    done, _ = wait(waiting, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                    now = self._alive(self.executor)
                    if lost := there - now:
                        self._say(
                            f"{len(lost)} of {len(there)} workers died ({min(lost)}); what they had in hand is done again"
                        )
                    there = now
                    for future in done:
                        results[waiting.pop(future)] = future.result()
            except Exception as error:
                if not _died(error):
                    _forget(waiting)
                    raise
                deaths += 1
                if deaths > RETRIES:
                    raise WorkerError(
                        f"workers died {deaths} times over the same work; often memory runs out: give fewer --workers, or look at their logs"
                    ) from None
                self._say(
                    f"a worker died; {len(calls) - len(results)} of {len(calls)} pieces of work are done again"
                )
                _forget(waiting)
                self._renew()
                there = self._alive(self.executor)
        return [results[i] for i in range(len(calls))]

    def _renew(self) -> None:
        """New workers for a pool that one death has broken; a cluster mends itself."""
        if self.kind == "processes":
            self.executor.shutdown(wait=False, cancel_futures=True)
            self.executor = self._start()


def _died(error: Exception) -> bool:
    """Whether an error says that a worker died, and nothing of the work."""
    return isinstance(error, BrokenProcessPool) or type(error).__name__ in (
        "KilledWorker",
        "CommClosedError",
        "FutureCancelledError",
        "CancelledError",
    )


def _forget(waiting: dict[Future[Any], int]) -> None:
    for future in waiting:
        future.cancel()


@contextlib.contextmanager
def opened(
    kind: str = "threads",
    n: int | None = None,
    *,
    scheduler: str = "",
    say: Callable[[str], None] = print,
) -> Iterator[Workers | None]:
    """Workers for the time of a block; None for `threads`, which are in this process and which `rollout` brings itself.

    Args:
        kind: one of `KINDS`.
        n: how many; every core by default. A cluster that is there already has its own number.
        scheduler: `dask` only: the address of a running scheduler, such as `tcp://node7:8786`; without it, a cluster is started on this machine.
        say: hears of the dead.

    Raises:
        InputError: if there is no such kind, n is no number of workers, Dask is not installed, or no scheduler answers.
    """
    if kind not in KINDS:
        raise InputError(f"There is no executor '{kind}'; there are: {', '.join(KINDS)}.")
    if n is not None and n < 1:
        raise InputError(f"{n} workers were asked for; expected a whole number of at least 1.")
    if scheduler and kind != "dask":
        raise InputError(
            f"A scheduler was named, and the executor is '{kind}'. Give --executor dask with it."
        )
    n = n or _cores()
    if kind == "threads":
        yield None
    elif kind == "processes":
        yield from _processes(n, say)
    else:
        yield from _dask(n, scheduler, say)


def _cores() -> int:
    from wmlib.real.rollout import n_cores

    return n_cores()


def _processes(n: int, say: Callable[[str], None]) -> Iterator[Workers]:
    # Spawned, not forked: a fork of a process that has TensorFlow or MuJoCo's threads in it may hang.
    def start() -> Executor:
        return ProcessPoolExecutor(n, multiprocessing.get_context("spawn"), initializer=_deaf)

    workers = Workers("processes", n, start, lambda executor: set(), say)
    try:
        yield workers
    except BaseException:  # an interrupt does not wait for what they have in hand
        for process in list((getattr(workers.executor, "_processes", None) or {}).values()):
            process.kill()
        raise
    finally:
        workers.executor.shutdown(wait=True, cancel_futures=True)


def _dask(n: int, scheduler: str, say: Callable[[str], None]) -> Iterator[Workers]:
    try:
        import distributed
    except ImportError:
        raise InputError(
            "Dask is not installed; it comes with the extra 'cluster': pip install 'wmlib[cluster]'. Or give --executor processes."
        ) from None
    with contextlib.ExitStack() as stack:
        try:
            if scheduler:
                client = stack.enter_context(distributed.Client(scheduler, timeout=20))
            else:
                cluster = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=n,
                        threads_per_worker=1,
                        processes=True,
                        dashboard_address=":0",
                        silence_logs=50,
                    )
                )
                client = stack.enter_context(distributed.Client(cluster))
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"No Dask scheduler answers at '{scheduler}' ({type(error).__name__}). Start one, or leave out --scheduler for a cluster on this machine."
            ) from None

        def alive(_: Executor) -> set[str]:
            return set(client.scheduler_info(n_workers=-1)["workers"])

        if not alive(client):
            client.wait_for_workers(1, timeout=60)
        yield Workers(
            "dask", len(alive(client)), lambda: client.get_executor(pure=False), alive, say
        )
