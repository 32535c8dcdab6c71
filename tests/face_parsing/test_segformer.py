"""SegFormer through transformers, with a tiny one of random weights."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hostile import photo
from tamperscope.errors import MissingExtraError, WeightsError, WeightsNotFoundError
from tamperscope.face_parsing.parts import NUMBERINGS, PARTS
from tamperscope.face_parsing.registry import load_parser
from tamperscope.face_parsing.segformer import load_segformer

transformers = pytest.importorskip("transformers")


def save_tiny(folder: Path, names: tuple[str, ...] | None, *, side: int = 64) -> Any:
    labels = {} if names is None else {"id2label": dict(enumerate(names))}
    config = transformers.SegformerConfig(
        num_encoder_blocks=2, depths=[1, 1], sr_ratios=[2, 1], hidden_sizes=[8, 16],
        patch_sizes=[7, 3], strides=[4, 2], num_attention_heads=[1, 2], mlp_ratios=[2, 2],
        decoder_hidden_size=16, num_labels=len(names or PARTS), **labels,
    )  # fmt: skip
    torch.manual_seed(3)
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    network.save_pretrained(folder)
    transformers.SegformerImageProcessor(
        size={"height": side, "width": side}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    ).save_pretrained(folder)
    return network


@pytest.mark.parametrize("names", [None, PARTS, NUMBERINGS["bisenet"]])
def test_labels_are_those_of_the_model(tmp_path: Path, names: tuple[str, ...] | None) -> None:
    network = save_tiny(tmp_path, names)
    parser = load_parser(f"segformer:{tmp_path}")
    (digest,) = parser.weights.values()
    assert len(digest) == 64
    picture = photo(64, 64)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.inference_mode():
        logits = network(pixel_values=x).logits
        enlarged = torch.nn.functional.interpolate(logits, size=(64, 64), mode="bilinear")
    winners = enlarged[0].argmax(0).numpy()
    expected = np.array([PARTS.index(name) for name in names or PARTS])[winners]
    assert len(np.unique(expected)) > 1
    assert (parser(picture) == expected).mean() > 0.99
    assert parser(photo(30, 47)).shape == (30, 47)


def test_other_labels_are_refused(tmp_path: Path) -> None:
    save_tiny(tmp_path, ("road", "sky", "skin"))
    with pytest.raises(WeightsError, match="labels road, sky, which are no parts of a face"):
        load_segformer(str(tmp_path))


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="no SegFormer .*: give a folder") as caught:
        load_segformer(str(tmp_path / "none"))
    assert "\n" not in str(caught.value)


def test_without_transformers_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tamperscope\[segformer\]'"):
        load_parser("segformer")
