"""A task may use a pool of its own (pebble issue 76: "daemonic processes are not allowed to have children")."""

import sys

import lightwork as mp


def square(value: int) -> int:
    return value * value


def sum_of_squares(job: tuple[str, int]) -> int:
    method, count = job
    with mp.get_context(method).Pool(2) as pool:
        return sum(pool.map(square, range(count)))


def main(method: str) -> str | None:
    ctx = mp.get_context(method)
    with ctx.Pool(2) as pool:
        sums = pool.map_async(sum_of_squares, [(method, 3), (method, 4)]).get(timeout=20)
    return None if sums == [5, 14] else f"the sums are {sums}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
