"""The same work done serially, on threads and on processes: which way is best on this machine, and why?

    command                   behind `lightwork compare`: prints, writes files, says what went wrong
    measure, target, job      rounds of work in every way; what to work on: the user's function, or the tutorial's
    table, plot, progress     how a comparison is shown; how far a measurement is
    result                    what `lightwork.compare` returns
    verdict                   what the figures mean, in words
    figures, fit, sameness    the figures, Amdahl's law, whether results are the same
    words                     numbers in words

Imports point downward (a result takes table and plot when it is shown), and from here to public names of `lightwork`
and what pools know about costs.
"""

from .measure import compare
from .result import Comparison

__all__ = ["Comparison", "compare"]
