import lightwork as mp


def words(n):
    return len(" ".join(["word"] * n).split())


if __name__ == "__main__":
    comparison = mp.compare(words, [20_000] * 10)
    print(comparison)
