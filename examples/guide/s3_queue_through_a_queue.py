import lightwork as mp


def answer(questions):
    number, reply_to = questions.get()
    reply_to.put(number * number)


if __name__ == "__main__":
    questions, mine = mp.Queue(), mp.Queue()
    p = mp.Process(target=answer, args=(questions,))
    p.start()
    questions.put((12, mine))
    print(mine.get())
    p.join()
