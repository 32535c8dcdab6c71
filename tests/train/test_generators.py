import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import load_file

from tamperscope.data.generators.decoders import DecoderGenerator
from tamperscope.data.generators.diffusion import DiffusionGenerator
from tamperscope.data.generators.latent import LatentGenerator
from tamperscope.errors import ConfigError, UnknownNameError
from tamperscope.train import checkpoint
from tamperscope.train.generators import (
    NETWORKS,
    GeneratorRecipe,
    load_generator_recipe,
    main,
    train_generator,
)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    labels = np.zeros((64, 64), np.uint8)
    labels[10:50, 10:50] = 1
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for i in range(12):
        small = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / "images" / f"face{i}.png"), cv2.resize(small, (64, 64)))
        cv2.imwrite(str(folder / "masks" / f"face{i}.png"), labels)
    return folder


def _recipe(network: str, **changes: object) -> GeneratorRecipe:
    settings: dict[str, object] = {
        "network": network,
        "total_samples": 4,
        "batch_size": 1,
        "warmup_samples": 2,
        "adversarial_from": 2,
        "log_every": 1,
        "validate_every": 100,
        "checkpoint_every": 2,
        "validation_samples": 1,
    }
    return GeneratorRecipe(**(settings | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", NETWORKS)
def test_a_run_ends_in_weights_the_generator_loads(
    network: str, faces: Path, tmp_path: Path
) -> None:
    assert train_generator(_recipe(network, total_samples=2), faces=faces, output=tmp_path)
    weights = tmp_path / "generator.safetensors"
    if network == "latent":
        LatentGenerator(weights=weights)
    elif network == "diffusion":
        DiffusionGenerator(weights=weights)
    else:
        DecoderGenerator(network, weights=weights)  # type: ignore[arg-type]
    with safe_open(weights, framework="pt") as file:
        header = file.metadata()
    assert json.loads(header["recipe"])["network"] == network
    assert json.loads(header["training"])["samples"] == 2
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines].count("validation") == 1


def test_an_interrupted_run_ends_as_an_uninterrupted_one(faces: Path, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train_generator(_recipe("transposed"), faces=faces, output=whole)
    train_generator(_recipe("transposed"), faces=faces, output=parts)
    # As if killed right after the first of its two checkpoints.
    for folder in checkpoint.checkpoints(parts)[1:]:
        (folder / "state.pt").unlink()
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    (parts / "generator.safetensors").unlink()
    train_generator(_recipe("transposed"), faces=faces, output=parts)
    a, b = (load_file(run / "generator.safetensors") for run in (whole, parts))
    assert all((a[name] == b[name]).all() for name in a)
    assert len((parts / "log.jsonl").read_text().splitlines()) == len(
        (whole / "log.jsonl").read_text().splitlines()
    )


def test_another_networks_run_folder_is_refused(faces: Path, tmp_path: Path) -> None:
    train_generator(_recipe("diffusion", total_samples=1), faces=faces, output=tmp_path)
    with pytest.raises(ConfigError, match="is a run of 'diffusion', not of 'latent'"):
        train_generator(_recipe("latent"), faces=faces, output=tmp_path)


def test_layers_of_equal_shape_carry_over(faces: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train_generator(_recipe("transposed", total_samples=2), faces=faces, output=first)
    recipe = _recipe("shuffle", total_samples=1, lr=1e-12, init_from=str(first))
    train_generator(recipe, faces=faces, output=second)
    a, b = (load_file(run / "generator.safetensors") for run in (first, second))
    same = [k for k in b if k in a and a[k].shape == b[k].shape and (a[k] == b[k]).all()]
    assert "coder.1.weight" in same
    assert not any(k.startswith("up") for k in same)
    with pytest.raises(ConfigError, match="no layer has the name and shape"):
        train_generator(
            _recipe("diffusion", init_from=str(first)), faces=faces, output=tmp_path / "third"
        )
    with pytest.raises(ConfigError, match="neither a run folder nor a weights file"):
        train_generator(
            _recipe("latent", init_from=str(tmp_path / "no")), faces=faces, output=tmp_path / "4"
        )


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_has_a_recipe(network: str) -> None:
    recipe = load_generator_recipe(f"generator-{network}", ["seed=5", "precision=no"])
    assert recipe.network == network
    assert recipe.seed == 5
    assert recipe.precision == "no"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=3", "unknown key 'colour' in the recipe; known: "),
        ("total_samples=0", "total_samples must be positive, not 0"),
        ("whole_share=2", r"whole_share must be in \[0, 1\], not 2"),
        ("precision=fp8", "precision must be bf16 or no, not 'fp8'"),
    ],
)
def test_impossible_settings_are_named(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_generator_recipe("generator-latent", [override])


def test_unknown_names_are_answered_with_known_ones(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'nearest'"):
        load_generator_recipe("generator-latent", ["network=neerest"])
    assert main(["generator-x", "--faces", str(faces), "--output", str(tmp_path)]) == 1
    assert "give a .toml file or one of: generator-diffusion, " in capsys.readouterr().err
