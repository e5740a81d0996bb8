import lightwork as mp

if __name__ == "__main__":
    try:
        mp.Array("i", [[1, 2], [3, 4]])
    except TypeError as error:
        print("TypeError:", error)
