from pathlib import Path

import pytest

from tamperscope.data.generators.classical import ClassicalInpainter
from tamperscope.data.generators.registry import (
    GENERATORS,
    GeneratorChoice,
    load_generator,
    parse_choice,
)
from tamperscope.errors import ConfigError, UnknownNameError, WeightsNotFoundError


def test_a_generator_by_name_and_with_options() -> None:
    generator = load_generator("ns", options={"radius": 5.0})
    assert isinstance(generator, ClassicalInpainter)
    assert (generator.name, generator.family, generator.whole_image) == ("ns", "classical", False)


def test_unknown_names_and_options_get_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown generator 'tellea'; did you mean 'telea'"):
        load_generator("tellea")
    with pytest.raises(UnknownNameError, match="option of generator 'telea' 'radios'; did you"):
        load_generator("telea", options={"radios": 5})


@pytest.mark.parametrize("name", [n for n in GENERATORS if n not in ("telea", "ns")])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    if name.startswith("diffusers"):
        pytest.importorskip("diffusers")
    if name == "onnx":
        pytest.importorskip("onnxruntime")
    with pytest.raises(WeightsNotFoundError, match="nowhere.*(give|: train)"):
        load_generator(name, weights=tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["diffusers-repaint", "diffusers-ldm", "onnx", "torchscript"])
def test_a_model_is_needed_once(name: str) -> None:
    with pytest.raises(ConfigError, match=f"'{name}' needs a .*: write {name}:MODEL"):
        load_generator(name)
    with pytest.raises(ConfigError, match="names no model: write"):
        load_generator(f"{name}:")
    with pytest.raises(ConfigError, match="has two models, a and b: give one"):
        load_generator(f"{name}:a", weights="b")


def test_weights_where_there_are_none() -> None:
    with pytest.raises(ConfigError, match="'telea' has no weights: leave a.safetensors away"):
        load_generator("telea", weights="a.safetensors")
    with pytest.raises(ConfigError, match="'telea' takes no model after a colon"):
        load_generator("telea:a")


@pytest.mark.parametrize(
    ("text", "label", "spec"),
    [
        ("telea", "telea", "telea"),
        ("soft=telea", "soft", "telea"),
        ("onnx:models/big lama.onnx", "onnx-big-lama", "onnx:models/big lama.onnx"),
        ("torchscript:C:/lama.pt", "torchscript-lama", "torchscript:C:/lama.pt"),
        ("lama=onnx:a=b.onnx", "lama", "onnx:a=b.onnx"),
        ("onnx:a=b.onnx", "onnx-a-b", "onnx:a=b.onnx"),
        ("diffusers-repaint:some/model", "diffusers-repaint", "diffusers-repaint:some/model"),
    ],
)
def test_what_is_typed(text: str, label: str, spec: str) -> None:
    choice = parse_choice(text)
    assert (choice.label, choice.spec) == (label, spec)


def test_weights_and_options_go_by_label() -> None:
    choice = parse_choice("mine=telea", weights={"telea": "x"}, options={"mine": {"radius": 2.0}})
    assert choice.weights is None
    assert isinstance(choice.load(), ClassicalInpainter)
    assert choice.options == {"radius": 2.0}


@pytest.mark.parametrize("label", ["../up", "a b", "", ".hidden", "mine-whole", "x.part"])
def test_a_label_must_be_a_folder_of_its_own(label: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a folder of pictures: use letters"):
        GeneratorChoice(label=label, spec="telea")
