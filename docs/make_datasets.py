"""Write docs/datasets.md from the cards of the sets.

python docs/make_datasets.py
"""

import json
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tamperscope.data import DATASETS, DatasetCard

PAGE = Path(__file__).with_name("datasets.md")
RECORD = PAGE.parents[1] / "results" / "duplicates.json"
HEAD = """# Data sets

<!-- Made by docs/make_datasets.py from the cards in tamperscope.data.datasets; edit those. -->

Sets are read in the layouts they are published in, and pictures and masks are paired by name:

```python
from tamperscope.data import load

for sample in load("coverage", "/data/COVERAGE"):
    truth = sample.truth()  # (h, w) bool, True = forged; None for authentic pictures
```

`truth()` knows how each set marks what is forged: white, black (DSO-1, NIST16, DOLOS), green
(Columbia), or any level but zero (Korus). Files without partner are an error that names them;
`skip_orphans=True` leaves them out and counts them.

Nothing is downloaded. Getting a set and keeping to its terms is up to you; the terms below are
given as far as known.

## Check a set before measuring on it

```sh
tamperscope data check coverage /data/COVERAGE
tamperscope data check casia1 /data/CASIA1 --against casia2=/data/CASIA2
```

reads every file and compares the set with what is known of it:

| finding | level | what it means |
|---|---|---|
| `orphans` | error | pictures without mask or masks without picture |
| `unreadable-pictures`, `unreadable-masks` | error | truncated, empty, or no pictures |
| `inverted-masks` | error | the usual mask marks over half of its picture: other polarity |
| `empty-masks` | error | a forged picture of which nothing is marked; no F1 is defined on it |
| `contradicting-labels` | error | the same pixels as forged and as authentic |
| `counts` | warning or note | pictures found, against every count in use |
| `size-mismatch` | warning | a mask of another size than its picture |
| `full-masks` | warning | the whole picture is marked |
| `unclear-masks` | warning | pixels halfway between the two colours, where the threshold decides |
| `non-binary-masks` | note | more than two colours, as JPEG and resizing leave them |
| `duplicates` | warning | the same pixels twice |
| `near-duplicates`, `originals` | note | nearly the same picture: of one label, or of both |
| `shared`, `nearly-shared` | warning | the other set (`--against`) has them too |

Shared pictures make one of the two sets useless for testing what was trained on the other. The exit
code is 1 for errors (`--strict`: for warnings too). `--json` lists everything concerned.

## Near-duplicates

@DUPLICATES@

## Sets

| name | set | forged | authentic | masks |
|---|---|---:|---:|---|
"""


DUPLICATES = """\
Two pictures are near-duplicates when the signs of 63 DCT frequencies differ in at most {bits} and
their 32 x 32 versions correlate at {correlation} or above. Of {pairs:,} pairs of distinct
photographs {wrong} taken for one ({wider} within 18 bits and .7). Of {copies} copies each, this
share is found ([record](../results/duplicates.json), `benchmarks/duplicates.py`):

| copy | found | | copy | found |
|---|---:|---|---|---:|
"""


def page() -> str:
    """The whole page."""
    cards = list(DATASETS.values())
    head = HEAD.replace("@DUPLICATES@\n", _duplicates(json.loads(RECORD.read_text("utf-8"))))
    return head + "".join(map(_row, cards)) + "".join(map(_section, cards))


def _duplicates(record: Mapping[str, Any]) -> str:
    numbers = record["numbers"]
    distinct, found = numbers["distinct_pairs"], numbers["variations"]
    wrong = distinct["taken_for_one"]
    text = DUPLICATES.format(
        **numbers["limits"],
        pairs=distinct["pairs"],
        wrong="none is" if not wrong else f"{wrong} are",
        wider=distinct["within"]["18"][numbers["correlations"].index(0.7)],
        copies=found[0]["copies"],
    )
    cells = [f"{one['name']} | {100 * one['found']:.0f} %" for one in found]
    half = (len(cells) + 1) // 2
    pairs = zip_longest(cells[:half], cells[half:], fillvalue=" | ")
    return text + "".join(f"| {left} | | {right} |\n" for left, right in pairs)


def _row(card: DatasetCard) -> str:
    forged, clean = (
        " / ".join(dict.fromkeys(f"{n:,}" for n in numbers if n is not None))
        for numbers in (
            [c.forged for c in card.counts if c.unit == "pictures"],
            [c.authentic for c in card.counts if c.unit == "pictures"],
        )
    )
    return f"| `{card.name}` | {card.title} | {forged} | {clean} | {card.polarity or ''} |\n"


def _section(card: DatasetCard) -> str:
    facts = [("Paper", card.paper), ("Terms", card.terms), ("Get it at", card.source)]
    lines = [f"- {label}: {text}\n" for label, text in facts if text]
    lines += [f"- Count: {count.line()}\n" for count in card.counts]
    lines += [f"- Layout: {_code(layout)}\n" for layout in card.layouts]
    lines += [f"- Option `{name}`: {about}\n" for name, about in card.options]
    lines += [f"- Mind: {trap}\n" for trap in card.traps]
    return f"\n### {card.name}\n\n{card.title}: {card.summary}.\n\n{''.join(lines)}"


def _code(text: str) -> str:
    # A pair of stars would be read as emphasis.
    return text.replace("*", r"\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
