"""The charts of a comparison: what they name, that it fits, and that a page's own colours are kept."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from lightwork.comparison.figures import Timing
from lightwork.comparison.plot import WIDTH, svg
from lightwork.comparison.result import Comparison
from lightwork.pool._costs import Sending

WIDE = {"bold": 0.65, "normal": 0.55}
"""Of the font's size, how wide a character is on average. Measured: a path's in DejaVu Sans, which is wide."""


def timing(backend: str, workers: int, seconds: float, start: float = 0.0) -> Timing:
    cpu = 4 * seconds if backend == "processes" else seconds
    return Timing(backend, workers, (seconds, seconds * 1.2), (cpu, cpu * 1.2), (0.0, 0.0), start)


def comparison(name: str, unit: float = 1.0) -> Comparison:
    timings = (
        timing("serial", 1, 4 * unit),
        timing("threads", 1024, 4.1 * unit, 0.1 * unit),
        timing("processes", 1024, unit, 0.2 * unit),
    )
    return Comparison(timings, 8, cpus=2048, sending=Sending(10, 1e-6), lock=True, name=name)


def texts(document: str) -> list[tuple[float, str, dict[str, str]]]:
    """The texts of a chart: where they begin or end, what they say, their attributes."""
    found = ElementTree.fromstring(document).iter("{http://www.w3.org/2000/svg}text")
    return [(float(text.attrib["x"]), text.text or "", text.attrib) for text in found]


@pytest.mark.parametrize(
    ("unit", "name"), [(1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns")], ids=lambda value: str(value)
)
def test_ways_the_axis_with_its_unit_and_the_best_are_named(unit: float, name: str) -> None:
    shown = {text: attributes for _, text, attributes in texts(svg([comparison("work", unit)]))}
    assert f"wall time of all calls ({name})" in shown
    assert {"serial", "threads x 1024", "processes x 1024"} <= set(shown)
    bold = {text for text, attributes in shown.items() if attributes["font-weight"] == "bold"}
    (best,) = [text for text in bold if text.endswith(", best")]
    assert best == f"1.1 {name}, 4.00x, best"
    assert bold == {"work, 8 times", "processes x 1024", best}


def test_ticks_are_round_and_few() -> None:
    ticks = [text for _, text, attributes in texts(svg([comparison("work")])) if attributes["text-anchor"] == "middle"]
    assert ticks == ["0", "1", "2", "3", "4", "5"]


@pytest.mark.parametrize("name", ["f", "folder/" * 20 + "work.py:" + "a_name_with_no_end_" * 8, "words " * 60])
def test_every_text_fits(name: str) -> None:
    document = svg([comparison(name), comparison("short")])
    for x, text, attributes in texts(document):
        room = x if attributes["text-anchor"] == "end" else WIDTH - x
        assert len(text) * float(attributes["font-size"]) * WIDE[attributes["font-weight"]] <= room, text
    whole = "".join(text for _, text, _ in texts(document))
    assert "".join(name.split()) in "".join(whole.split())


def test_lines_of_the_chart_do_not_overlap() -> None:
    document = svg([comparison("long " * 40), comparison("short")])
    root = ElementTree.fromstring(document)
    panels = [float(group.attrib["transform"].split()[1].rstrip(")")) for group in root if group.tag.endswith("}g")]
    heights = {text.attrib["y"] for text in root[1].iter() if text.text}
    assert panels[1] > max(map(float, heights))
    assert float(root.attrib["height"]) > panels[1]


def test_a_page_keeps_its_own_colours_and_a_file_has_its_own(tmp_path: Path) -> None:
    one = comparison("work")
    notebook = one._repr_html_()
    assert "white" not in notebook
    assert "#222" not in notebook
    assert one.verdict.split()[0] in notebook
    assert 'fill="white"' in svg([one])
    for ending in ("svg", "html"):
        path = tmp_path / f"chart.{ending}"
        assert one.plot(path) == svg([one])
        assert "best" in path.read_text()
    assert 'content="light dark"' in (tmp_path / "chart.html").read_text()


def test_a_png_has_the_same_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    drawn: list[str] = []
    save = Figure.savefig

    def note(figure: Any, *args: Any, **kwargs: Any) -> None:
        save(figure, *args, **kwargs)
        drawn.extend(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))

    monkeypatch.setattr(Figure, "savefig", note)
    one = dataclasses.replace(comparison("long " * 40), items=2)
    one.plot(tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
    words = " ".join(" ".join(drawn).split())
    for _, text, _ in texts(svg([one])):
        assert text in words
