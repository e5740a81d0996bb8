import multiprocessing as mp

def job(x):
    return x*x

def multicore():
    pool = mp.Pool()
    res = pool.apply_async(job, (2,3,4,))
    print('apply_async() returned')
    print(res.get())

if __name__ == '__main__':
    multicore()
