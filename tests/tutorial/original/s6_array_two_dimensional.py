import multiprocessing as mp

array = mp.Array('i', [[1, 2], [3, 4]]) # 2维list
