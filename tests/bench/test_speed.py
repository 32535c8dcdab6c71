import pytest

from tamperscope.bench.speed import measure_speed, synthetic_jpeg
from tamperscope.errors import ConfigError
from tamperscope.image import read_image


def test_synthetic_pictures_have_the_size_asked_for_and_are_reproducible() -> None:
    data = synthetic_jpeg(0.25)
    image = read_image(data)
    assert image.format == "JPEG"
    assert image.height * image.width == pytest.approx(250_000, rel=0.005)
    assert image.width / image.height == pytest.approx(4 / 3, rel=0.01)
    assert image.pixels.std() > 10
    assert synthetic_jpeg(0.25) == data
    assert synthetic_jpeg(0.25, seed=1) != data


def test_candidates_take_turns_after_a_call_that_is_not_measured() -> None:
    calls: list[str] = []
    found = measure_speed(
        {"a": lambda _: calls.append("a"), "b": lambda _: calls.append("b")},
        megapixels=[0.01, 0.02],
        repeats=2,
    )
    assert calls == ["a", "b"] * 6
    assert set(found["a"]) == {"0.01", "0.02"}
    times = found["b"]["0.02"]
    assert isinstance(times, dict)
    assert set(times) == {"median", "least", "most", "repeats"}
    assert 0 <= times["least"] <= times["median"] <= times["most"]  # type: ignore[operator]


def test_nothing_to_time_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to time: give at least one candidate"):
        measure_speed({})
    with pytest.raises(ConfigError, match="nothing to time"):
        measure_speed({"a": len}, repeats=0)
    with pytest.raises(ConfigError, match="a picture of 0 Mpx has no pixels: give more than 0"):
        synthetic_jpeg(0)
