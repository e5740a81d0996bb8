"""The same work done serially, on threads and on processes: which way is faster on this machine?

`job` is the work of the tutorial, `ways` runs a function in each of the three ways, `measure` times the ways in
interleaved rounds, `table` prints what came out. Imports point in that order, and from here only to the public names of
`lightwork`: this package sees nothing of the engine that a user does not see.
"""

from lightwork.compare.job import job
from lightwork.compare.measure import Comparison, Timing, time_ways
from lightwork.compare.table import report
from lightwork.compare.ways import WAYS, processes, serial, threads

__all__ = ["WAYS", "Comparison", "Timing", "job", "processes", "report", "serial", "threads", "time_ways"]
