import sys

import lightwork as mp

if __name__ == "__main__":
    if sys.argv[1:]:
        mp.set_start_method(sys.argv[1])
    array = mp.Array("i", [[1, 2], [3, 4]])  # 2维list
