"""pandas' and pyarrow's tables travel as other buffers do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from buffer_cases import MIB
from pool_tasks import SOON

import lightwork as mp

ROWS = MIB // 8


def echo(table: Any) -> Any:
    return table


def check(ctx: Any, table: Any) -> Any:
    """By a queue, and there and back through a pool; returns what came back."""
    queue = ctx.Queue()
    queue.put(table)
    assert queue.get(timeout=SOON).equals(table)
    with ctx.Pool(1) as pool:
        back = pool.apply(echo, (table,))
        assert back.equals(table)
    return back


def test_data_frames(ctx: Any) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    columns = {"a": np.arange(ROWS), "b": np.linspace(0, 1, ROWS), "c": pd.Categorical(["x", "y"] * (ROWS // 2))}
    back = check(ctx, pd.DataFrame(columns))
    back.loc[0, "a"] = 7  # it is the receiver's own
    assert back.loc[0, "a"] == 7 and back["b"].iloc[-1] == 1


def test_series_of_text(ctx: Any) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    check(ctx, pd.Series(["text"] * 1000, index=pd.date_range("2020-01-01", periods=1000, freq="s")))


def test_arrow_tables(ctx: Any) -> None:
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    table = pa.table({"x": np.arange(ROWS), "name": pa.array(["abc", None] * (ROWS // 2))})
    before = mp.arena.stats().used
    back = check(ctx, table.slice(5, ROWS - 9))
    assert back.column("x")[0].as_py() == 5
    del back
    assert mp.arena.stats().used < before + MIB
