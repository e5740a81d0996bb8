import sys

import lightwork as mp


def job(a, d):
    print("aaaaa")


if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    p1 = mp.Process(target=job, args=(1, 2))
    p1.start()
    p1.join()
