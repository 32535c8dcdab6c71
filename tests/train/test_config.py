import json
import subprocess
import sys
from pathlib import Path

import pytest

from tamperscope.errors import ConfigError
from tamperscope.train.config import Recipe, changed_keys, load_recipe, override, recipe_names


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_file_values_replace_defaults_and_lists_become_tuples(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.toml",
        "[optim]\nlr = 1\nbetas = [0.8, 0.9]\n[data.synthesis]\nsize = [64, 64]\n",
    )
    recipe = load_recipe(path)
    assert recipe.optim.lr == 1.0
    assert isinstance(recipe.optim.lr, float)
    assert recipe.optim.betas == (0.8, 0.9)
    assert recipe.data.synthesis == {"size": [64, 64]}
    assert recipe.optim.batch_size == Recipe().optim.batch_size


def test_overrides_are_read_as_toml_and_else_as_text() -> None:
    recipe = override(
        Recipe(),
        [
            "optim.lr=1e-3",
            "run.device=cpu",
            "run.tensorboard=false",
            "optim.betas=[0.5, 0.6]",
            "data.synthesis.mixture.splice=0.5",
            "model.config.backbone = compact",
        ],
    )
    assert recipe.optim.lr == 0.001
    assert recipe.run.device == "cpu"
    assert recipe.run.tensorboard is False
    assert recipe.optim.betas == (0.5, 0.6)
    assert recipe.data.synthesis == {"mixture": {"splice": 0.5}}
    assert recipe.model.config == {"backbone": "compact"}


def test_a_recipe_survives_json(tmp_path: Path) -> None:
    recipe = load_recipe("smoke", ["data.synthesis.size=[96, 96]"])
    path = write(tmp_path / "recipe.json", json.dumps(recipe.to_dict()))
    assert load_recipe(path) == recipe


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[optm]\n", r"unknown key 'optm' in the recipe, did you mean 'optim'\?"),
        ("[optim]\nlrr = 1\n", r"unknown key 'optim\.lrr' .* did you mean 'lr'\?; known here: lr,"),
        ("[optim]\nlr = 'fast'\n", r"optim\.lr must be a number, got 'fast'"),
        ("[optim]\nbatch_size = 1.5\n", r"optim\.batch_size must be a whole number, got 1\.5"),
        ("[optim]\nbatch_size = true\n", r"optim\.batch_size must be a whole number, got True"),
        ("[optim]\nbetas = [0.9]\n", r"optim\.betas must be a list of 2 values, got \[0\.9\]"),
        ("[run]\ntensorboard = 1\n", r"run\.tensorboard must be true or false, got 1"),
        ("[run]\nprecision = 'bf61'\n", r"run\.precision = 'bf61' .* did you mean 'bf16'\?"),
        ("[model]\nconfig = 3\n", r"model\.config must be a table, got 3"),
        ("optim = 3\n", r"optim must be a table, got 3"),
        ("[optim]\nlr = 0\n", r"optim\.lr must be above 0, got 0"),
        ("[loss]\nforged_share = 1\n", r"loss\.forged_share must be in \(0, 1\), got 1"),
        (
            "[run]\nbest_metric = 'separabilty'\n",
            r"'separabilty' is not a validation number, did you mean 'separability'\?",
        ),
        ("[optim\n", r"cannot read the recipe .*r\.toml: "),
    ],
)
def test_mistakes_in_a_file_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path / "r.toml", text))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("optim.lr", r"cannot read the override 'optim\.lr'; write table\.key=value"),
        ("lr=1", r"cannot read the override 'lr=1'"),
        ("optm.lr=1", r"unknown key 'optm' .* did you mean 'optim'\?"),
        ("optim.lr.x=1", r"'optim\.lr' is a value, not a table"),
        ("optim.lr=quick", r"optim\.lr must be a number, got 'quick'"),
    ],
)
def test_mistakes_in_an_override_are_named(item: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(Recipe(), [item])


def test_an_unknown_recipe_name_suggests_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r"no recipe 'smok', did you mean 'smoke'\?; give a \.toml"
    ):
        load_recipe("smok")


def test_changed_keys_are_dotted_and_sorted() -> None:
    after = override(Recipe(), ["run.seed=5", "optim.lr=0.5", "data.synthesis.size=[8, 8]"])
    assert changed_keys(Recipe(), after) == ["data.synthesis.size", "optim.lr", "run.seed"]
    assert changed_keys(after, after) == []


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_of_the_package_are_accepted_by_those_who_receive_them(name: str) -> None:
    from tamperscope.data.synthesis.dataset import config_from_dict
    from tamperscope.train.setup import named_builder

    recipe = load_recipe(name)
    config_from_dict(dict(recipe.data.synthesis))
    network = named_builder(recipe.model.network)(recipe.model.config)
    assert sum(p.numel() for p in network.parameters()) > 100_000


def test_reading_recipes_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from tamperscope.train import load_recipe; load_recipe('smoke');"
        "print([m for m in ('torch', 'numpy', 'accelerate') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
