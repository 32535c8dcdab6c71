"""Tables, spreadsheet, plots and page of a benchmark."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from bench.plans import Red, make_plan, make_set
from tamperscope.bench import plots
from tamperscope.bench.benchmark import Outcome, run_plan
from tamperscope.bench.board import Board, by_family
from tamperscope.bench.board_tables import (
    accuracy_tables,
    csv_benchmark,
    kinds_tables,
    markdown_benchmark,
    protocol_tables,
    robustness_tables,
)
from tamperscope.bench.cache import Shelf
from tamperscope.bench.cells import Place
from tamperscope.bench.command import write_outputs
from tamperscope.bench.explained import explain_record
from tamperscope.bench.html import benchmark_page, shade
from tamperscope.bench.markdown import number
from tamperscope.bench.showcase import main_values, showcase
from tamperscope.errors import DataError, UnknownNameError
from tamperscope.report import figure

HOSTILE = '<script src="https://evil.example/x.js">|\x1b[31m$_'
"""A set's name as it must never reach a page or a terminal."""


class Tags(HTMLParser):
    """(tag, attribute, value) of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, key, value or "") for key, value in attrs or [("", "")]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Shelf]:
    root = tmp_path_factory.mktemp("outputs")
    data = make_set(root / "set", forged=6, authentic=4)
    (root / "set" / "images" / "f5.png").write_bytes(b"no picture")
    plan = make_plan(
        Red(refuse="f4"),
        data,
        protocols=("ours", "focal", "imdlbenco"),
        perturb=("none", "jpeg:70", "jpeg:90", "crop:0.8"),
        references=("full", "centre-box"),
    )
    shelf = Shelf(root / "cache")
    return run_plan(replace(plan, datasets={HOSTILE: data}), shelf), shelf


@pytest.fixture(scope="module")
def record(made: tuple[Outcome, Shelf]) -> dict[str, Any]:
    return made[0].record.to_dict()


def test_every_row_names_its_protocol_and_every_table_has_references(
    record: dict[str, Any],
) -> None:
    text = markdown_benchmark(record)
    rows = [line for line in text.splitlines() if line.startswith(("| Red", "| Reference"))]
    assert len(rows) == 3 * 3 * 2 + len(record["numbers"]["differences"])
    assert {row.split(" | ")[1] for row in rows} == {"ours", "focal", "imdlbenco"}
    board = Board(record)
    shown = number(board.cell("red", HOSTILE, "ours")["numbers"]["f1"], with_interval=True)
    assert f"| Red is forged | ours | {shown} |" in text
    assert "- threshold rule: the mask the method ships" in text
    assert "| jpeg:70 | focal |" in text
    assert "copymove: F1 / IoU / MCC" in text
    assert "5 forged and 4 authentic pictures" in text
    assert "f5: " in text.split("## Left out")[1]
    assert "(oracle) (oracle)" not in text


def test_short_tables_take_the_records_they_are_for(record: dict[str, Any], tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "cache")
    plan = make_plan(Red(), make_set(tmp_path / "set"), protocols=("ours", "focal"))
    plain = run_plan(plan, shelf).record.to_dict()
    both = [record, plain]
    accuracy = accuracy_tables(both).splitlines()
    assert accuracy[0].startswith("| Method | Set (forged + authentic) | Protocol | F1 | IoU |")
    assert "| image AUC (files / jpeg:90) | s / picture |" in accuracy[0]
    assert len(accuracy) == 2 + 3 + 3
    assert accuracy[5].startswith("| Red is forged | tiny (4 + 3) | ours | ")
    files, alike = (
        number(Board(record).cell("red", HOSTILE, "ours", condition)["numbers"]["image_auc"])
        for condition in ("none", "jpeg:90")
    )
    assert f" | {files} / {alike} | " in accuracy[2]
    assert " / " not in accuracy[5].partition("ours")[2]
    side = protocol_tables(both).splitlines()
    head = "| Method | Set | ours: F1 | focal: macro-F1 (grid) |"
    assert side[side.index(head) + 2].startswith("| Red is forged | tiny | ")
    robust = robustness_tables(both)
    # F1 and image AUC; protocol focal has no image level
    assert robust.count("| jpeg:70 |") == 2 + 1 + 2
    assert "image AUC on " in robust
    assert "5 forged and 4 authentic pictures:" in robust
    assert robustness_tables([plain]) == ""


def test_methods_come_before_references_best_first(record: dict[str, Any]) -> None:
    board = Board(record)
    assert board.ranked(HOSTILE, "ours")[0] == "red"
    means = [board.value(n, HOSTILE, "ours")["mean"] for n in board.ranked(HOSTILE, "ours")[1:]]  # type: ignore[index]
    assert means == sorted(means, reverse=True)


def test_tables_may_hold_the_best_references_only(record: dict[str, Any]) -> None:
    full, short = accuracy_tables([record]), accuracy_tables([record], references=1)
    references = [line for line in full.splitlines() if "| Reference: " in line]
    assert len(references) == 2
    kept = [line for line in full.splitlines() if line != references[1]]
    assert short.splitlines() == kept
    assert "Reference" not in accuracy_tables([record], references=0)
    kinds = kinds_tables([record], references=1)
    assert kinds.count("Reference: ") == 1 < kinds_tables([record]).count("Reference: ")


def test_the_spreadsheet_has_every_number(record: dict[str, Any]) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_benchmark(record))))
    (one,) = [
        row
        for row in rows
        if (row["method"], row["condition"], row["protocol"], row["number"], row["kind"])
        == ("red", "jpeg:70", "ours", "f1", "")
    ]
    found = Board(record).value("red", HOSTILE, "ours", "jpeg:70")
    assert found is not None
    assert float(one["mean"]) == found["mean"]
    assert (one["dataset"], one["reference"], one["count"]) == (HOSTILE, "0", "5")
    assert {row["kind"] for row in rows} == {"", "copymove", "splice"}


def test_families_are_curves(record: dict[str, Any]) -> None:
    assert by_family(record) == {("jpeg", "quality"): [(70, "jpeg:70"), (90, "jpeg:90")]}


def test_plots_are_drawn_alike_and_only_where_something_varies(
    record: dict[str, Any], tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    small = {**record, "protocol": {"ours": record["protocol"]["ours"]}}
    first = plots.draw_benchmark(small, tmp_path / "a")
    stem = "-script-src--https---evil-example-x-js-----31m---ours"
    assert [p.name for p in first] == [
        f"{kind}{stem}{number}.{form}"
        for number in ("", "-image-auc")
        for kind in ("heat-", "curves-")
        for form in ("svg", "png")
    ]
    again = plots.draw_benchmark(small, tmp_path / "b")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    heat = first[0].read_text(encoding="utf-8")
    assert "crop:0.8" in heat
    assert "<script" not in heat
    one = {**record["numbers"], "conditions": record["numbers"]["conditions"][:1]}
    assert plots.draw_benchmark({**record, "numbers": one}, tmp_path / "c") == []


def test_without_matplotlib_the_rest_is_written(
    made: tuple[Outcome, Shelf], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figure, "find_spec", lambda name: None)
    found = write_outputs(*made, tmp_path)
    assert found["files"] == ["benchmark.json", "benchmark.csv", "benchmark.md", "benchmark.html"]
    assert found["hint"] == (
        "drawing heat tables and curves needs an optional dependency: "
        "pip install 'tamperscope[plots]'"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(found["files"])
    assert json.loads((tmp_path / "benchmark.json").read_text())["kind"] == "benchmark"


@pytest.fixture(scope="module")
def page(made: tuple[Outcome, Shelf], record: dict[str, Any]) -> str:
    return benchmark_page(record, showcase(*made, each=2))


def test_the_page_asks_for_nothing_outside(page: str) -> None:
    tags = Tags()
    tags.feed(page)
    named = ("src", "href", "action", "poster", "srcset", "data")
    sources = [value for _, key, value in tags.found if key in named]
    assert {s[:5] for s in sources if not s.startswith("#")} == {"data:"}
    # The content security policy would block them.
    assert [key for _, key, _ in tags.found if key == "style" or key.startswith("on")] == []
    assert {"link", "iframe", "object", "embed", "base"}.isdisjoint(tag for tag, _, _ in tags.found)
    assert "default-src 'none'; img-src data:" in html.unescape(page)
    assert not re.search(r"url\(|@import", page)


def test_names_are_escaped(page: str) -> None:
    assert "<script src" not in page
    assert "\x1b" not in page
    assert "&lt;script src=&#34;https://evil.example/x.js&#34;&gt;" in page
    assert page.count("<script>") == 1


def test_the_page_shows_numbers_rules_pictures_and_what_is_missing(
    page: str, record: dict[str, Any]
) -> None:
    value = number(Board(record).value("red", HOSTILE, "focal"), with_interval=True)
    assert f"<td>{value}</td>" in page
    for text in ("Best", "Worst", "Surprising: authentic, yet marked", "f5", "Reference: "):
        assert text in page
    assert "the mask the method ships" in page
    assert "paint " + "ab" * 32 in page
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(re.findall(r'id="([^"]+)"', page))


def test_the_chosen_pictures_are_the_right_ones(made: tuple[Outcome, Shelf]) -> None:
    outcome, shelf = made
    (room,) = showcase(outcome, shelf, each=1)
    place = Place(method="red", dataset=HOSTILE, condition="none")
    protocol = outcome.plan.protocols[0]
    values = main_values(outcome.cells[place], protocol)
    names = {m.ref.key: m.sample.id for m in outcome.cells[place].pictures}
    ranked = sorted(values, key=lambda key: values[key])
    groups = {group.title: group.exhibits for group in room.groups}
    assert groups["Best"][0].id == names[ranked[-1]]
    # Refused, so it counts as an empty mask; it is shown all the same.
    assert groups["Worst"][0].id == names[ranked[0]] == "f4"
    assert groups["Surprising: authentic, yet marked"][0].id == "a9"
    assert groups["Best"][0].truth[:2] == b"\xff\xd8"
    assert groups["Best"][0].truth != groups["Best"][0].answer
    assert showcase(outcome, shelf, each=0) == []


def test_a_reference_that_does_better_is_a_surprise(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set", forged=5, authentic=1)
    plan = make_plan(Red(level=250), data, references=("full",))
    shelf = Shelf(tmp_path / "cache")
    (room,) = showcase(run_plan(plan, shelf), shelf, each=1)
    groups = {group.title: group for group in room.groups}
    beaten = groups["Surprising: beaten by a reference"]
    assert beaten.exhibits[0].line.startswith("F1 0.00, full 0.")
    assert beaten.exhibits[0].id not in {
        one.id for name in ("Best", "Worst") for one in groups[name].exhibits
    }


def test_shades_rise_and_stay_in_range() -> None:
    assert [shade(v, 0, 1) for v in (-1, 0, 0.55, 1, 2)] == ["h0", "h0", "h5", "h9", "h9"]
    assert shade(None, 0, 1) == ""
    assert shade(0.3, 0.3, 0.3) == "h0"


def test_explanations_cover_every_row(record: dict[str, Any]) -> None:
    found = list(explain_record(record))
    assert found[0][0] == "Red is forged"
    assert len(found) == 3
    lines = found[0][2].lines
    assert {line.protocol for line in lines} == {"ours", "focal", "imdlbenco"}
    macro = next(line for line in lines if line.protocol == "focal")
    assert macro.value == Board(record).value("red", HOSTILE, "focal")["mean"]  # type: ignore[index]
    assert len(list(explain_record(record, method="full"))) == 1
    with pytest.raises(UnknownNameError, match="unknown method 'rde'; did you mean 'red'"):
        list(explain_record(record, method="rde"))


def test_explanations_need_ours_and_known_numbers(record: dict[str, Any]) -> None:
    without = {**record, "protocol": {"focal": record["protocol"]["focal"]}}
    with pytest.raises(DataError, match="no protocol ours, .* measure again with --protocol ours"):
        list(explain_record(without))
    focal = {**record["protocol"]["focal"], "numbers": record["protocol"]["ours"]["numbers"]}
    other = {**record, "protocol": {**record["protocol"], "focal": focal}}
    with pytest.raises(DataError, match="protocol focal has other numbers than this release's"):
        list(explain_record(other))


def test_records_of_another_kind_are_refused(record: dict[str, Any]) -> None:
    for make in (markdown_benchmark, csv_benchmark, benchmark_page):
        with pytest.raises(DataError, match="of kind 'speed': give one of kind 'benchmark', which"):
            make({**record, "kind": "speed"})
