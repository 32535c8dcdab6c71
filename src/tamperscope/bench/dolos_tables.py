"""The three kinds of table of a DOLOS study, made from its record alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tamperscope.bench.markdown import NOTHING, interval, percent, short, table
from tamperscope.errors import DataError

Record = Mapping[str, Any]
Row = Mapping[str, Any]
EARLIER = {
    "threshold_rule": "decision",
    "scoring_resolution": "resolution",
    "empty_mask_rule": "empty_rule",
}
"""Rules by the names they have in records of earlier releases."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Mean IoU of one method and set-up: training (rows) against test generators (columns).

    Attributes:
        title: method, set-up and face set.
        columns: test generators.
        rows: what was trained on, or the name of a reference.
        values: rows x columns in [0, 1]; None where nothing was measured.
        seen: rows x columns: whether the test generator was among the training generators; None
            for references, which see none.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    seen: tuple[tuple[bool | None, ...], ...]

    def mean(self, seen: bool) -> float | None:
        """Mean over the trained rows' cells with generators that training saw, or did not."""
        flat = [
            value
            for values, flags in zip(self.values, self.seen, strict=True)
            for value, flag in zip(values, flags, strict=True)
            if flag is seen and value is not None
        ]
        return fmean(flat) if flat else None


def markdown_study(record: Record) -> str:
    """A whole page: what was measured, the tables, and what they say.

    Raises DataError for a record of another kind.
    """
    _check(record)
    parts = [
        f"# {record['method']['title']}\n",
        _preamble(record),
        "## Methods and set-ups\n",
        markdown_setups(record),
        "## Across face sets\n",
        markdown_cross(record),
        "## Across generators\n",
        markdown_matrices(record),
        "## What the numbers say\n",
        markdown_findings(record),
    ]
    return "\n".join(parts)


def markdown_setups(record: Record) -> str:
    """Methods x set-ups on the home faces and generator: localizers that saw it in training, alone
    or among others, and references; below the table who did not.
    """
    _check(record)
    faces, home = _home(record)
    lines, others = [], []
    for row in sorted(record["method"]["rows"], key=lambda row: len(row["generators"]) > 1):
        if not _at_home(row, faces, home, alone=False):
            others += [] if row["reference"] else [row]
            continue
        if (cell := _cell(record, row, faces, home)) is None:
            continue
        numbers = [interval(cell[name]) for name in ("iou_lg", "iou_sm", "pbca_lg")]
        detection = [_precision(cell[name]) for name in ("detection", "detection_recompressed")]
        real = _real(record, row, faces)
        shares = [_percent(real, "flagged_pixels"), _percent(real, "flagged_pictures")]
        names = [_title(row), row["setup"] or "-", row["trained_on"] or "-"]
        lines.append([*names, *numbers, *detection, *shares])
    heads = [
        "Method", "Set-up", "Trained on", "IoU", "IoU at the grid", "PBCA", "AP, files",
        "AP, recompressed alike", "Real: pixels flagged", "pictures flagged",
    ]  # fmt: skip
    return table(heads, lines, left=3) + _not_at_home(others, faces, home)


def _not_at_home(rows: Sequence[Row], faces: str, home: str) -> str:
    """Who is not in the table of the home set, so that nobody is looked for in vain."""
    named = "; ".join(f"{_title(row)} ({row['faces']}, {_trained_on(row)})" for row in rows)
    return f"\nTrained without {home} of {faces}, so not in this table: {named}.\n" if rows else ""


def markdown_cross(record: Record) -> str:
    """Training against test face sets, both on the home generator; IoU, and AP on the files."""
    _check(record)
    tests = record["method"]["faces"]
    _, home = _home(record)
    trained = _trained(record)
    if len({row["faces"] for row in trained} | set(tests)) < 2:
        return f"Only one face set, {tests[0]}: nothing to cross.\n"
    lines = [
        [
            _title(row),
            row["setup"] or "-",
            row["faces"] or "-",
            *(_crossed(_cell(record, row, faces, home)) for faces in tests),
        ]
        for row in trained
        if list(row["generators"]) in ([], [home])
    ]
    heads = ["Method", "Set-up", "Trained on", *(f"{faces}: IoU / AP" for faces in tests)]
    return table(heads, lines, left=3)


def markdown_matrices(record: Record) -> str:
    """Every matrix of the record: IoU, generators that training saw in bold."""
    _check(record)
    found = matrices(record)
    if not found:
        return "No method was trained on more than one choice of generators.\n"
    return "\n".join(_matrix(matrix) for matrix in found)


def matrices(record: Record) -> list[Matrix]:
    """One matrix for each method, set-up, training and test face set that have several rows."""
    _check(record)
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in _trained(record):
        if row["generators"]:
            groups.setdefault((row["method"], row["setup"], row["faces"]), []).append(row)
    return [
        _fill(record, rows, faces)
        for rows in groups.values()
        if len({tuple(row["generators"]) for row in rows}) > 1
        for faces in record["method"]["faces"]
    ]


def markdown_findings(record: Record) -> str:
    """The paper's qualitative findings beside what this record has to say on each."""
    _check(record)
    lines = [*_best_method(record), *_price_of_labels(record), *_hardest(record)]
    return "".join(f"- {line}\n" for line in lines) or "Too few rows to say anything.\n"


# --------------------------------------------------------------------------------- the matrix


def _fill(record: Record, rows: Sequence[Row], faces: str) -> Matrix:
    columns = tuple(record["method"]["generators"])
    ordered = sorted(rows, key=lambda row: _place(row, columns))
    references = [
        row
        for row in _unique(row for row in record["method"]["rows"] if row["reference"])
        if row["name"] != "empty"
    ]
    shown = [*ordered, *references]

    def value(row: Row, generator: str) -> float | None:
        cell = _cell(record, row, faces, generator)
        return None if cell is None or cell["iou_lg"] is None else float(cell["iou_lg"]["mean"])

    first = rows[0]
    trained = f", trained on {first['faces']}" if first["faces"] != faces else ""
    return Matrix(
        title=f"{first['title']}, {first['setup']}, {faces}{trained}",
        columns=columns,
        rows=tuple(_trained_on(row) for row in shown),
        values=tuple(tuple(value(row, name) for name in columns) for row in shown),
        seen=tuple(
            tuple(None if row["reference"] else name in row["generators"] for name in columns)
            for row in shown
        ),
    )


def _place(row: Row, columns: Sequence[str]) -> tuple[int, int]:
    """Single generators in the order of the columns, then the rest by the generator left out."""
    order = {name: place for place, name in enumerate(columns)}
    generators = row["generators"]
    if len(generators) == 1:
        return 0, order.get(generators[0], len(order))
    left_out = [place for name, place in order.items() if name not in generators]
    return 1, left_out[0] if left_out else len(order)


def _matrix(matrix: Matrix) -> str:
    lines = []
    for name, values, seen in zip(matrix.rows, matrix.values, matrix.seen, strict=True):
        cells = [
            f"**{short(value)}**" if flag and value is not None else short(value)
            for value, flag in zip(values, seen, strict=True)
        ]
        lines.append([name, *cells])
    text = table(["Trained on \\ tested on", *matrix.columns], lines, left=1)
    means = (
        f"Mean IoU with generators seen in training (bold) {short(matrix.mean(True))}, "
        f"with others {short(matrix.mean(False))}."
    )
    return f"### {matrix.title}\n\n{text}\n{means}\n"


# ------------------------------------------------------------------------------- the findings


def _best_method(record: Record) -> list[str]:
    """Published: Patches is best in every set-up."""
    faces, home = _home(record)
    found: dict[str, dict[str, float]] = {}
    for row in _trained(record):
        cell = _cell(record, row, faces, home)
        if row["setup"] and cell and cell["iou_lg"] and _at_home(row, faces, home):
            found.setdefault(row["setup"], {})[row["title"]] = cell["iou_lg"]["mean"]
    lines = []
    for setup, scores in sorted(found.items()):
        if len(scores) > 1:
            best = max(scores, key=scores.__getitem__)
            others = ", ".join(
                f"{name} {short(scores[name])}"
                for name in sorted(scores, key=lambda name: -scores[name])[1:]
            )
            lines.append(
                f"Best method in {setup}, by IoU: {best} ({short(scores[best])}; {others}). "
                "Published: Patches in every set-up."
            )
    return lines


def _price_of_labels(record: Record) -> list[str]:
    """Published: weak labels cost less than another generator."""
    _, home = _home(record)
    lines = []
    for matrix, row in _matrices_with_rows(record):
        seen, unseen = matrix.mean(True), matrix.mean(False)
        full = _iou(record, row["method"], "full-c")
        weak = _iou(record, f"{row['method']}-weak", "weak-b")
        if row["setup"] != "full-c" or None in (seen, unseen, full, weak):
            continue
        labels, generator = full - weak, seen - unseen  # type: ignore[operator]
        less = "less" if labels < generator else "more"
        lines.append(
            f"{row['title']}: labels in place of masks (weak-b against full-c, {home}) cost "
            f"{short(labels)} IoU, {less} than another generator does ({short(generator)}). "
            "Published: less."
        )
    return lines


def _hardest(record: Record) -> list[str]:
    """Published: the latent generator, through which the whole picture passes, is hardest."""
    lines = []
    for matrix, row in _matrices_with_rows(record):
        if row["setup"] != "full-c":
            continue
        own = {
            name: values[matrix.columns.index(name)]
            for name, values in zip(matrix.rows, matrix.values, strict=True)
            if name in matrix.columns
        }
        known = {name: value for name, value in own.items() if value is not None}
        if len(known) > 1:
            worst = min(known, key=known.__getitem__)
            lines.append(
                f"{row['title']}: hardest generator when trained on it: {worst} "
                f"({short(known[worst])}). Published: the latent one, which re-encodes the whole "
                "picture."
            )
    return lines


def _matrices_with_rows(record: Record) -> list[tuple[Matrix, Row]]:
    """The matrices of the home faces, each with the first row that belongs to it."""
    faces, _ = _home(record)
    pairs = []
    for matrix in matrices(record):
        for row in _trained(record):
            if matrix.title == f"{row['title']}, {row['setup']}, {faces}":
                pairs.append((matrix, row))
                break
    return pairs


def _iou(record: Record, method: str, setup: str) -> float | None:
    faces, home = _home(record)
    for row in _trained(record):
        if row["method"] == method and row["setup"] == setup and _at_home(row, faces, home):
            cell = _cell(record, row, faces, home)
            return float(cell["iou_lg"]["mean"]) if cell and cell["iou_lg"] else None
    return None


# ------------------------------------------------------------------------------ reading records


def _check(record: Record) -> None:
    if record.get("kind") != "dolos-study":
        raise DataError(
            f"a record of kind {record.get('kind')!r} has no study tables: give one written by "
            "tamperscope bench dolos"
        )


def _home(record: Record) -> tuple[str, str]:
    return record["method"]["faces"][0], record["method"]["home"]


def _trained(record: Record) -> list[Row]:
    return [row for row in record["method"]["rows"] if not row["reference"]]


def _unique(rows: Any) -> list[Row]:
    """The first row of each name: a region prior has one for each test set."""
    return list({row["name"]: row for row in reversed(list(rows))}.values())[::-1]


def _at_home(row: Row, faces: str, home: str, *, alone: bool = True) -> bool:
    """Whether a row was trained on the home set, ``alone`` or among others, or nowhere."""
    generators = list(row["generators"])
    seen = generators in ([], [home]) if alone else not generators or home in generators
    return seen and row["faces"] in ("", faces)


def _cell(record: Record, row: Row, faces: str, generator: str) -> Mapping[str, Any] | None:
    wanted = (row["name"], faces, generator)
    for cell in record["numbers"]["cells"]:
        if (cell["row"], cell["faces"], cell["generator"]) == wanted:
            return dict(cell)
    return None


def _real(record: Record, row: Row, faces: str) -> Mapping[str, Any] | None:
    own = list(row["generators"]) if row["reference"] else []
    for numbers in record["numbers"]["real"]:
        if (numbers["row"], numbers["faces"]) == (row["name"], faces) and (
            numbers["generators"] == own
        ):
            return dict(numbers)
    return None


def _preamble(record: Record) -> str:
    protocol = record["protocol"]
    rules = {name: protocol.get(name) or protocol[old] for name, old in EARLIER.items()}
    counts = ", ".join(
        f"{name} {values['pictures']}" for name, values in record["dataset"]["sets"].items()
    )
    missing = record["numbers"].get("missing") or []
    lines = [
        f"Protocol {protocol['name']}: {rules['threshold_rule']}; {rules['scoring_resolution']}. "
        f"{rules['empty_mask_rule']}.",
        f"Intervals: {protocol['confidence']:.0%} percentile bootstrap over pictures. "
        f"AP: {protocol['image_level']} (JPEG quality {protocol['recompression_quality']}); "
        "± is two standard deviations of the redraws.",
        f"Pictures ({record['dataset']['split']}): {counts}.",
    ]
    if missing:
        lines.append(f"Not measured, for want of weights: {', '.join(missing)}.")
    return "\n\n".join(lines) + "\n"


# ----------------------------------------------------------------------------------- wording


def _title(row: Row) -> str:
    return str(row["title"])


def _trained_on(row: Row) -> str:
    return _title(row) if row["reference"] else str(row["trained_on"] or row["name"])


def _crossed(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return NOTHING
    return f"{interval(cell['iou_lg'])} / {_precision(cell['detection'])}"


def _precision(detection: Mapping[str, Any] | None) -> str:
    if detection is None:
        return NOTHING
    found = detection["average_precision"]
    return f"{short(found['mean'])} ± {short(2 * found['std'])}"


def _percent(numbers: Mapping[str, Any] | None, name: str) -> str:
    return percent(numbers[name] if numbers else None)
