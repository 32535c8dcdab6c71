"""Face parsers by name and file, and what they make of pictures."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hostile import photo
from methods.fakelocator.toys import PARSER, save_parser, save_random
from reference import recipe
from tamperscope import catalog
from tamperscope.errors import UnknownNameError, WeightsError, WeightsMismatchError
from tamperscope.face_parsing.bisenet import MEAN, STD, BiSeNet
from tamperscope.face_parsing.networks import NetworkParser
from tamperscope.face_parsing.parser import parse_face
from tamperscope.face_parsing.parts import renumber
from tamperscope.face_parsing.preprocess import squeeze
from tamperscope.face_parsing.registry import load_parser
from tamperscope.face_parsing.small import build_small_parser
from tamperscope.weights import card_for, cards, convert, sha256_of, verify


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """BiSeNet's file as it is published: a bare state dict in PyTorch's old format."""
    text = (recipe.FOLDER / "keys_bisenet_faceparsing.json").read_text(encoding="utf-8")
    state = {
        key: torch.from_numpy(recipe.value_for(key, tuple(entry["shape"])))
        for key, entry in json.loads(text).items()
    }
    path = tmp_path_factory.mktemp("bisenet") / "79999_iter.pth"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize("size", [(1, 1), (40, 97), (200, 90)])
def test_small_parser_from_a_file(tmp_path: Path, size: tuple[int, int]) -> None:
    path = save_parser(tmp_path / "own.safetensors")
    parser = load_parser(path)
    assert parser.weights == {"own": sha256_of(path)}
    picture = photo(*size)
    labels = parse_face(parser, picture, what="a")
    assert labels.shape == size
    assert labels.max() < 19
    np.testing.assert_array_equal(labels, parser(picture))


def test_small_parser_labels_what_its_network_does(tmp_path: Path) -> None:
    parser = load_parser(save_parser(tmp_path / "own.safetensors"))
    picture = photo(PARSER["size"], PARSER["size"])
    network = parser._network
    assert isinstance(network, type(build_small_parser(PARSER)))
    with torch.inference_mode():
        expected = network(squeeze(picture, PARSER["size"])[None])[0].argmax(0).numpy()
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(parser(picture), expected)


def test_published_bisenet(published: Path) -> None:
    parser = load_parser(published)
    assert parser.weights == {"79999_iter.pth": sha256_of(published)}
    assert isinstance(parser._network, BiSeNet)
    picture = photo(120, 90)
    x = (squeeze(picture, 512).double() + 1) / 2
    x = (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        theirs = parser._network(x[None].float())[0].argmax(0).to(torch.uint8).numpy()
    ours = renumber(theirs, "bisenet", what="a")
    rows, columns = (np.arange(120) + 0.5) * 512 / 120, (np.arange(90) + 0.5) * 512 / 90
    expected = ours[rows.astype(int)[:, None], columns.astype(int)]
    assert (parser(picture) == expected).mean() > 0.999


def test_published_bisenet_converts_and_verifies(published: Path, tmp_path: Path) -> None:
    report = convert(published, tmp_path / "b.safetensors", build=catalog.build_network)
    assert report.card.kind == "bisenet"
    assert (report.card.backbone, report.card.method) == ("bisenet", "face-parsing")
    checked = verify(report.path, build=catalog.build_network)
    assert checked.output_shape == (1, 19, 64, 64)
    np.testing.assert_array_equal(
        load_parser(report.path)(photo()), load_parser(published)(photo())
    )


def test_a_bisenet_with_a_tensor_missing_is_refused(published: Path, tmp_path: Path) -> None:
    state = torch.load(published, weights_only=True)
    del state["ffm.conv1.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(WeightsMismatchError, match=r"1 missing: ffm\.conv1\.weight"):
        load_parser(tmp_path / "cut.pth")


def test_files_that_label_nothing_are_refused(tmp_path: Path) -> None:
    path = save_random(tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match="is for fakelocator: it labels no parts of a face"):
        load_parser(path)
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match="no card beside it and is no BiSeNet checkpoint"):
        load_parser(tmp_path / "other.pth")
    with pytest.raises(UnknownNameError, match="unknown weights 'bisnet'; did you mean 'bisenet'"):
        load_parser("bisnet")


def test_labels_are_given_their_own_numbers() -> None:
    class Halves(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = torch.zeros(1, 2, *x.shape[-2:])
            logits[:, 1, :, x.shape[-1] // 2 :] = 1
            return logits

    parser = NetworkParser(
        Halves(), lambda pixels: squeeze(pixels, 8), names=("hair", "nose"), weights={}
    )
    labels = parser(photo(4, 6))
    assert labels[0].tolist() == [13, 13, 13, 2, 2, 2]


def test_a_parser_found_by_name_is_that_of_the_card_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_parser(tmp_path / "own.safetensors")
    found = card_for(path)
    assert found is not None
    listed = replace(found, options={"widths": [8, 8, 8], "size": 32}, sha256="", recipe="own")
    monkeypatch.setattr(cards, "_shipped_cards", lambda: {"own": listed})
    monkeypatch.setenv("TAMPERSCOPE_WEIGHTS", str(tmp_path))
    np.testing.assert_array_equal(load_parser("own")(photo()), load_parser(path)(photo()))
