"""Where lightwork does not run, importing it says so in one sentence."""

from __future__ import annotations

from typing import Any

ELSEWHERE = """
import sys
sys.platform = "darwin"
try:
    import lightwork
except ImportError as e:
    print(e)
"""


def test_another_platform_is_refused_in_one_sentence(program: Any, run: Any) -> None:
    said = run(program(ELSEWHERE)).stdout
    assert said.startswith("lightwork runs on Linux only") and "darwin" in said and said.count("\n") == 1
