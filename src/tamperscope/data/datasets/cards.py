"""What is known of a set before it is opened: paper, terms, counts, layouts, mask colours."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tamperscope.data.masks import MEANINGS, MaskCoding
from tamperscope.data.sample import Dataset


@dataclass(frozen=True, kw_only=True)
class Count:
    """How many pictures a set holds according to somebody; None where they do not say.

    who: the release, paper or code that counts so.
    unit: what is counted; only pictures can be compared with what is read.
    """

    forged: int | None
    authentic: int | None
    who: str
    unit: str = "pictures"

    def line(self) -> str:
        """For people: ``920 forged, 800 authentic (MVSS-Net, FOCAL)``."""
        parts = [
            f"{number:,} {what}"
            for number, what in ((self.forged, "forged"), (self.authentic, "authentic"))
            if number is not None
        ]
        unit = "" if self.unit == "pictures" else f" {self.unit}"
        return f"{', '.join(parts)}{unit} ({self.who})"


@dataclass(frozen=True, kw_only=True)
class DatasetCard:
    """One set that can be read, and the function that reads it.

    name: what to type. title: what it is called. summary: what its forgeries are.
    paper, terms, source: for citing, for using, for getting it; nothing here downloads. Terms are
        given as far as known and replace no reading of the originals.
    counts: the numbers in use, the release's own first; empty for layouts of one's own data.
    polarity: how the mask files mark what is forged; None where that varies or there are none.
    layouts: the folders and names the reader understands.
    traps: what to know before quoting a number on this set.
    read: ``read(root: Path, **options) -> Dataset``.
    options: what ``read`` takes beside the root, with one line about each.
    """

    name: str
    title: str
    summary: str
    paper: str
    terms: str
    source: str
    counts: tuple[Count, ...]
    polarity: MaskCoding | None
    layouts: tuple[str, ...]
    read: Callable[..., Dataset]
    traps: tuple[str, ...] = ()
    options: tuple[tuple[str, str], ...] = ()

    @property
    def mask_values(self) -> str | None:
        """Which values of a mask mark what is forged, in words; None as for ``polarity``."""
        return None if self.polarity is None else MEANINGS[self.polarity]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: everything but the function."""
        return {
            "name": self.name,
            "title": self.title,
            "summary": self.summary,
            "paper": self.paper,
            "terms": self.terms,
            "source": self.source,
            "counts": [asdict(count) for count in self.counts],
            "polarity": self.polarity,
            "mask_values": self.mask_values,
            "layouts": list(self.layouts),
            "traps": list(self.traps),
            "options": dict(self.options),
        }
