"""The one way in which calls spread over any ``concurrent.futures.Executor``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from medbench.core.errors import MedbenchError
from medbench.core.guard import describe
from medbench.running.executors import worker_died

TRIES = 3
"""Deaths of workers after which a call is given up."""

O = TypeVar("O")  # noqa: E741
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Lost:
    """Why a call gave no result.

    Attributes:
        reason: in one line.
        deaths: workers that died in it; 0 where the call itself could not be made.
    """

    reason: str
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Done(Generic[O, R]):
    """A call's order with its result."""

    order: O
    result: R | Lost


def spread(function: Callable[[O], R], orders: Iterable[O], executor: Executor) -> Iterator[Done[O, R]]:
    """Call ``function`` on every order, and give the results as they come.

    A call whose worker dies is made again; after :data:`TRIES` deaths it is given up. What the call itself
    raises is its result, and no other call is lost.

    Args:
        function: at the top of a module, so that it travels by name.
        orders: small values with paths, never arrays; each is given out as soon as it is there.
        executor: threads, processes, or a cluster's.
    """
    deaths: Counter[int] = Counter()
    all_orders: list[O] = []
    results: SimpleQueue[tuple[int, Future[R]]] = SimpleQueue()

    def call(place: int) -> None:
        future = executor.submit(function, all_orders[place])
        future.add_done_callback(lambda own: results.put((place, own)))

    for place, order in enumerate(orders):
        all_orders.append(order)
        call(place)
    n_due = len(all_orders)
    while n_due:
        place, future = results.get()
        result = _result(future)
        if isinstance(result, Lost) and result.deaths:
            deaths[place] += result.deaths
            if deaths[place] < TRIES:
                call(place)
                continue
            result = Lost(f"its worker died {deaths[place]} times, so it was given up", deaths[place])
        n_due -= 1
        yield Done(all_orders[place], result)


def in_turn(function: Callable[[O], R], orders: Iterable[O]) -> Iterator[Done[O, R]]:
    """Call ``function`` on every order in this thread; what a call raises is its result."""
    for order in orders:
        try:
            result: R | Lost = function(order)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - one call never loses the others
            result = Lost(describe(error))
        yield Done(order, result)


def check_code(code: str) -> None:
    """Refuse to work with other sources than those that the work was started with.

    Raises:
        MedbenchError: ``cluster.other_version``.
    """
    from medbench.records.identity import code_sha256  # with the challenges, which scoring does without

    if code and code != code_sha256():
        raise MedbenchError(
            "cluster.other_version",
            "The worker has another version of medbench than whoever started the work.",
            "Install the same on all machines.",
        )


def _result(future: Future[R]) -> R | Lost:
    try:
        return future.result()
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except CancelledError:
        return Lost("its scheduler ended")
    except BaseException as error:  # noqa: BLE001 - one call never loses the others
        return Lost(describe(error), TRIES if _by_cluster(error) else int(worker_died(error)))


def _by_cluster(error: BaseException) -> bool:
    """Whether a cluster reports a death after it has made the call again by itself."""
    return worker_died(error) and type(error).__module__.startswith("distributed")
