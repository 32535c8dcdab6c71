"""Where the pictures of a built set lie, relative to its folder."""

from dataclasses import dataclass

from tamperscope.data.generators.registry import WHOLE


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The folders of one kind of built set.

    format: what its file of settings calls it; command: the verb that builds it.
    region, mask, whole: patterns below ``COLLECTION/fake/`` with the fields generator, split and
        stem: a face with a regenerated region, its mask (None: no masks), a regenerated face.
    """

    format: str
    command: str
    region: str
    mask: str | None
    whole: str

    def real_path(self, collection: str, split: str, stem: str) -> str:
        """Where an untouched face goes."""
        return f"{collection}/real/{split}/{stem}.png"

    def region_path(self, collection: str, generator: str, split: str, stem: str) -> str:
        """Where a face with a regenerated region goes."""
        return _fill(self.region, collection, generator, split, stem)

    def mask_path(self, collection: str, generator: str, split: str, stem: str) -> str | None:
        """Where the mask of that face goes, if there are masks."""
        if self.mask is None:
            return None
        return _fill(self.mask, collection, generator, split, stem)

    def whole_path(self, collection: str, generator: str, split: str, stem: str) -> str:
        """Where a wholly regenerated face goes."""
        return _fill(self.whole, collection, generator, split, stem)


def _fill(pattern: str, collection: str, generator: str, split: str, stem: str) -> str:
    below = pattern.format(generator=generator, split=split, stem=stem)
    return f"{collection}/fake/{below}.png"


DOLOS = Layout(
    format="tamperscope-dolos",
    command="data build dolos",
    region="{generator}/images/{split}/{stem}",
    mask="{generator}/masks/{split}/{stem}",
    whole="{generator}" + WHOLE + "/{split}/{stem}",
)
FAKELOCATOR = Layout(
    format="tamperscope-fakelocator",
    command="data build fakelocator",
    region="{generator}/region/{split}/{stem}",
    mask=None,
    whole="{generator}/whole/{split}/{stem}",
)
LAYOUTS = (DOLOS, FAKELOCATOR)
