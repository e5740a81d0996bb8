import lightwork as mp


def job(x):
    return x * x


if __name__ == "__main__":
    with mp.Pool() as pool:
        res = pool.apply_async(job, (2,))
        print(res.get())

        res = pool.apply_async(job, (2, 3, 4))  # these are three arguments of one call
        try:
            res.get()
        except TypeError as error:
            print("TypeError:", error)

        # One call for each value: now it gives what map gives.
        multi_res = [pool.apply_async(job, (i,)) for i in range(10)]
        print([res.get() for res in multi_res])
