"""How long does a pool take to run 4 x 4 filters over one image of 200 MB that all tasks share?

The workload by which Ray and mpire compare themselves with others: `convolve2d(image, kernel)[::5, ::5]` of an image of
5000 x 5000 float64, there for 1,000 filters (`--filters 1000`: minutes a round). A result has 8 MB.

Each gets the image as its documentation shows: ours bound to the function, joblib's loky as an argument (which it maps
from a file), mpire by `shared_objects`, Ray by `put`. The pools are warm. So mpire has the image before the clock
starts, by fork. The bare processes have it, too, and send nothing back: the filters' own time.
"""

from __future__ import annotations

import importlib
import importlib.util
import multiprocessing
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from _pools import OURS, warm
from _race import race
from _rounds import Case, absent, parser, positive, run

IDEAL = "bare processes"
KERNEL = 4
STEP = 5
#: Rows of the image that are filtered at once where scipy is absent: their sums stay in the processor's cache.
STRIP = 20


def _convolved(image: Any, kernel: Any) -> Any:
    """The full convolution, as scipy's."""
    height, width = image.shape
    edge = len(kernel) - 1
    out = np.zeros((height + edge, width + edge))
    product = np.empty((STRIP, width))
    for top in range(0, height, STRIP):
        strip = image[top : top + STRIP]
        for i, j in np.ndindex(*kernel.shape):
            np.multiply(strip, kernel[i, j], out=product[: len(strip)])
            out[top + i : top + i + len(strip), j : j + width] += product[: len(strip)]
    return out


convolved: Callable[..., Any] = _convolved
if importlib.util.find_spec("scipy") is not None:
    convolved = importlib.import_module("scipy.signal").convolve2d


def filtered(image: Any, kernel: Any) -> Any:
    return convolved(image, kernel)[::STEP, ::STEP]


def check(image: Any, kernels: list[Any], results: Any) -> None:
    """Each result has its size, and one item is right."""
    at = len(image) // (2 * STEP)
    window = image[at * STEP - KERNEL + 1 : at * STEP + 1, at * STEP - KERNEL + 1 : at * STEP + 1]
    side = -(-(len(image) + KERNEL - 1) // STEP)
    for kernel, result in zip(kernels, results, strict=True):
        if result.shape != (side, side) or not np.isclose(result[at, at], (window * kernel[::-1, ::-1]).sum()):
            raise RuntimeError("a filter's result is wrong")


def with_ours(image: Any, kernels: list[Any], workers: int) -> float:
    with warm(OURS, workers) as (_, pool):
        start = time.perf_counter()
        results = pool.map(partial(filtered, image), kernels)
        seconds = time.perf_counter() - start
    check(image, kernels, results)
    return seconds


def with_joblib(image: Any, kernels: list[Any], workers: int) -> float:
    joblib = importlib.import_module("joblib")
    task = joblib.delayed(filtered)
    with joblib.Parallel(n_jobs=workers) as parallel:
        parallel(task(kernel, kernel) for kernel in kernels[:workers])
        start = time.perf_counter()
        results = parallel(task(image, kernel) for kernel in kernels)
        seconds = time.perf_counter() - start
    importlib.import_module("joblib.externals.loky").get_reusable_executor().shutdown(wait=True)
    check(image, kernels, results)
    return seconds


def small(image: Any, kernel: Any) -> Any:
    return filtered(kernel, kernel)


def with_mpire(image: Any, kernels: list[Any], workers: int) -> float:
    mpire = importlib.import_module("mpire")
    tasks = [(kernel,) for kernel in kernels]
    with mpire.WorkerPool(n_jobs=workers, shared_objects=image, start_method="fork", keep_alive=True) as pool:
        pool.map(small, tasks[:workers], concatenate_numpy_output=False)
        start = time.perf_counter()
        results = pool.map(filtered, tasks, concatenate_numpy_output=False)
        seconds = time.perf_counter() - start
    check(image, kernels, results)
    return seconds


def with_ray(image: Any, kernels: list[Any], workers: int) -> float:
    ray = importlib.import_module("ray")
    ray.init(num_cpus=workers, log_to_driver=False)
    try:
        task = ray.remote(filtered)
        ray.get([task.remote(kernel, kernel) for kernel in kernels[:workers]])
        start = time.perf_counter()
        shared = ray.put(image)
        results = ray.get([task.remote(shared, kernel) for kernel in kernels])
        seconds = time.perf_counter() - start
        check(image, kernels, results)
    finally:
        ray.shutdown()
    return seconds


def bare(image: Any, kernels: list[Any], workers: int) -> float:
    """Seconds, if nothing but the filters took any: in processes that have the image and drop each result."""

    def lane(mine: list[Any]) -> None:
        for kernel in mine:
            check(image, [kernel], [filtered(image, kernel)])

    seconds, _ = race(multiprocessing, *(partial(lane, kernels[i::workers]) for i in range(workers)))
    return seconds


def main() -> None:
    options = parser(__doc__, rounds=3, workers=2)
    options.add_argument("--side", type=positive, default=5_000, help="of the image (default: %(default)s)")
    options.add_argument("--filters", type=positive, default=20, help="default: %(default)s")
    chosen = options.parse_args()
    random = np.random.default_rng(1)
    image = random.random((chosen.side, chosen.side))
    kernels = list(random.normal(size=(chosen.filters, KERNEL, KERNEL)))
    measures: dict[str, Callable[..., float]] = {OURS: with_ours}
    for package, name, measure in (
        ("joblib", "joblib's memmap", with_joblib),
        ("mpire", "mpire, shared_objects", with_mpire),
        ("ray", "Ray", with_ray),
    ):
        if importlib.util.find_spec(package) is None:
            absent(package, f"pip install {package}")
        else:
            measures[name] = measure
    if convolved is _convolved:
        absent("scipy", "numpy alone does the filtering, some other time for each")
    case = Case(
        f"{chosen.filters:,} filters of one image of {image.nbytes / 1e6:.0f} MB, {chosen.workers} workers",
        "s",
        {name: partial(measure, image, kernels, chosen.workers) for name, measure in {**measures, IDEAL: bare}.items()},
        larger_is_better=False,
        targets={name: 1 for name in measures if name != OURS},
        aims={IDEAL: 1.05},
    )
    run("array_filter", [case], chosen)


if __name__ == "__main__":
    main()
