import itertools

import lightwork as mp

if __name__ == "__main__":
    with mp.Pool(2) as pool:
        squares = pool.imap(lambda x: x * x, itertools.count())
        print(list(itertools.islice(squares, 5)))
        print(pool.starmap(pow, [(2, 3), (3, 2)]))
