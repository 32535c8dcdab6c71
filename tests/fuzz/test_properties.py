"""Files that were almost right, and files that are nothing at all: an answer comes out of each."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hostile_data
from fuzz.targets import TARGETS

Edit = tuple[int, int, bytes]


def _edited(data: bytes, edits: list[Edit]) -> bytes:
    """A file with bytes replaced, inserted or left out in some places."""
    for place, dropped, new in edits:
        at = place % (len(data) + 1)
        data = data[:at] + new + data[at + dropped :]
    return data


_EDITS = st.lists(
    st.tuples(st.integers(0, 2**16), st.integers(0, 12), st.binary(max_size=12)),
    min_size=1,
    max_size=6,
)


@pytest.mark.filterwarnings("ignore")  # decoders warn of what they then survive
@pytest.mark.parametrize("name", TARGETS)
def test_almost_right(name: str) -> None:
    seeds = hostile_data.seeds(name)

    @given(st.sampled_from(seeds), _EDITS)
    def check(seed: bytes, edits: list[Edit]) -> None:
        TARGETS[name](_edited(seed, edits))

    check()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
@given(data=st.binary(max_size=300))
def test_nothing_at_all(name: str, data: bytes) -> None:
    TARGETS[name](data)


@given(
    where=st.text(max_size=20),
    label=st.one_of(st.none(), st.integers(), st.text(max_size=3)),
    shape=st.recursive(
        st.one_of(st.none(), st.booleans(), st.floats(), st.text(max_size=4)),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
        max_leaves=6,
    ),
)
def test_manifests_of_any_values(where: str, label: object, shape: object) -> None:
    import json

    for image in ({"path": where, "sha256": ""}, shape):
        entry = {"id": where, "label": label, "image": image, "mask": shape}
        for samples in ([entry], shape, [shape]):
            document = {"format": "tamperscope-manifest", "version": 1, "name": where}
            TARGETS["manifest"](json.dumps({**document, "samples": samples}).encode())
