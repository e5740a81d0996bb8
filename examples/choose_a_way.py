"""The same work in the way that pays, and why: mp.map chooses, mp.compare shows what it would cost in each way."""

import lightwork as mp


def total(n):
    return sum(i * i for i in range(n))


if __name__ == "__main__":
    sums = mp.map(total, range(1000))
    print(sums == [total(n) for n in range(1000)])
    comparison = mp.compare(total, [20_000] * 4, repeat=3)
    print(comparison.agree, {timing.backend for timing in comparison.timings} == {"serial", "threads", "processes"})
    # print(comparison) shows the table; on this machine:  lightwork compare examples/choose_a_way.py:total -n 20_000
