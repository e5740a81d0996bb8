import lightwork as mp


def inverse(x):
    return 1 / x


if __name__ == "__main__":
    good = mp.Process(target=inverse, args=(4,))
    bad = mp.Process(target=inverse, args=(0,))
    thread = mp.Thread(target=inverse, args=(8,))
    for worker in (good, bad, thread):
        worker.start()
    print(good.result(), thread.result())
    try:
        bad.result(timeout=10)
    except ZeroDivisionError as error:
        print("the process raised:", error)
        print("its cause is a", type(error.__cause__).__name__)
