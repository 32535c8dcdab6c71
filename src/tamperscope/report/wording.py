"""The sentences people read: verdicts and explanations, in one place so that all outputs agree."""

from tamperscope.errors import ConfigError
from tamperscope.report.plain import printable
from tamperscope.result import Localization, MapKind

__all__ = [
    "edge",
    "explain_map",
    "explain_score",
    "parts",
    "percent",
    "printable",
    "score",
    "verdict",
]

_NAMED_PARTS = 3
NOT_PROOF = "this does not prove that the picture is authentic"

_MAPS = {
    MapKind.PROBABILITY: (
        "Each pixel carries an estimated probability of being manipulated, as if manipulated and "
        "untouched places were equally common. It was fitted on made forgeries and holds for "
        "pictures like those: read it as a ranking of places rather than a chance."
    ),
    MapKind.SALIENCY: (
        "Each pixel shows how much it mattered to a decision about the whole picture. It ranks "
        "places inside this picture; it is not a probability, and values of two pictures cannot "
        "be compared."
    ),
    MapKind.CLUSTER_SIMILARITY: (
        "The method groups pixels by the traces they carry. Each pixel shows how much closer it "
        "is to the group taken as foreign than to the main group. It is not a probability."
    ),
    MapKind.FAKENESS: (
        "Each pixel shows by how much the method estimates that a generator changed it, as a share "
        "of all grey levels: 0.1 is a change by a tenth of the range from black to white, 1 a "
        "pixel that nothing real lies behind. It is not a probability: a small change can be as "
        "certain as a large one."
    ),
}


def verdict(result: Localization) -> str:
    """One line that says what was found and claims no more than that."""
    if result.flagged:
        share = percent(result.forged_fraction)
        found = f"suspicious region: {share} of the picture, score {score(result.image_score)}"
        named = ", ".join(f"{name} {value}" for name, value in parts(result)[:_NAMED_PARTS])
        if stands_twice(result):
            found += "; a region stands in the picture twice"
        return f"{found} ({named})" if named else found
    if result.provenance.notes.get("picture") == "fake":
        return (
            f"the picture as a whole looks generated, score {score(result.image_score)}, but no "
            "region stands out"
        )
    if stands_twice(result):
        # Both places are framed in the overlay: whoever sees them must not read "nothing".
        return f"a region stands in the picture twice, but none is marked ({NOT_PROOF})"
    return f"nothing found ({NOT_PROOF})"


def parts(result: Localization) -> list[tuple[str, str]]:
    """Parts of the face and the mean fakeness in them, ``("mouth", ".71")``, the highest first;
    empty for results without."""
    named = result.provenance.notes.get("parts")
    if not isinstance(named, dict):
        return []
    values = [(name, value) for name, value in named.items() if isinstance(value, float)]
    ordered = sorted(values, key=lambda item: -item[1])
    return [(printable(name), score(value).replace("0.", ".", 1)) for name, value in ordered]


def stands_twice(result: Localization) -> bool:
    """Whether a region that stands in the picture twice was found."""
    return bool(result.provenance.notes.get("copied"))


def explain_score(result: Localization) -> str:
    """What the image score of this result means, and what it does not, in plain language."""
    meaning = (
        f"The score runs from 0 to 1 and says how strongly the method holds that some part of "
        f"this picture has another history than the rest. Here it is {score(result.image_score)}. "
    )
    if stands_twice(result):
        meaning += (
            "A region stands in this picture twice, which speaks for a copy unless things are "
            "alike by design, as windows and prints are: compare the two places. "
        )
    if result.flagged:
        return meaning + (
            "It is not the probability that the picture is a forgery. Retouching, text, strong "
            "light or a blurred background can raise it, and a harmless edit leaves the same "
            "traces as a harmful one. Look at the region, and look for a second source."
        )
    return meaning + (
        f"No region was marked; {NOT_PROOF}. Strong compression, resizing and messaging services "
        "erase the traces the method looks for, and it only knows the kinds of manipulation it "
        "was made for."
    )


def explain_map(kind: MapKind) -> str:
    """What the numbers of a score map of this kind are."""
    return _MAPS[kind]


def edge(result: Localization) -> str:
    """Where the edge of the mask lies on the scale of the map; empty where there is no mask, or
    none that a level of the map made."""
    # Methods that take the mask from clusters note which of them they took for foreign.
    if not result.flagged or "foreground" in result.provenance.notes:
        return ""
    return f"The edge of the mask lies at {score(result.threshold)} on its scale."


def score(value: float) -> str:
    """A score in [0, 1] for people: '0.87', '> 0.99', '< 0.01'; never a false 0 or 1."""
    text = f"{value:.2f}"
    if text == "1.00" and value < 1.0:
        return "> 0.99"
    if text == "0.00" and value > 0.0:
        return "< 0.01"
    return text


def percent(share: float) -> str:
    """A share in [0, 1] for people: '12 %', '0.4 %', 'less than 0.1 %'; never a false 0 or 100.

    Raises:
        ConfigError: the share is outside [0, 1].
    """
    if not 0.0 <= share <= 1.0:
        raise ConfigError(f"a share lies in [0, 1], got {share}")
    value = 100.0 * share
    if value in (0.0, 100.0):
        return f"{value:.0f} %"
    if value < 0.1:
        return "less than 0.1 %"
    if value < 9.95:
        return f"{value:.1f} %"
    return "more than 99 %" if value >= 99.5 else f"{value:.0f} %"
