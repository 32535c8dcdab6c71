import hashlib
import json
import os
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tamperscope.errors import ConfigError, TrainingError
from tamperscope.train import checkpoint as store
from tamperscope.weights.cards import card_for, sidecar
from tamperscope.weights.load import load_state, load_strict

WEIGHTS = {"w": torch.arange(4.0).view(2, 2), "n": torch.tensor(3)}


def _save(run: Path, samples: int, **state: bool) -> Path:
    return store.save_checkpoint(
        run, samples=samples, network=WEIGHTS, ema=None, state={"samples": samples, **state}
    )


def test_a_checkpoint_comes_back_whole(tmp_path: Path) -> None:
    layout = torch.randn(2, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    state = {"optimizer": {"m": torch.ones(2)}, "samples": 12, "best_value": None}
    folder = store.save_checkpoint(
        tmp_path, samples=12, network={"w": layout}, ema=WEIGHTS, state=state
    )
    got = store.load_checkpoint(folder)
    assert folder.name == "samples-000000000012"
    assert torch.equal(got.network["w"], layout)
    assert got.ema is not None
    assert torch.equal(got.ema["w"], WEIGHTS["w"])
    assert torch.equal(got.state["optimizer"]["m"], torch.ones(2))
    assert got.state["best_value"] is None


def test_only_the_newest_stay_and_interrupted_writes_are_not_checkpoints(tmp_path: Path) -> None:
    for samples in (100, 9, 20):
        _save(tmp_path, samples)
    leftover = tmp_path / store.FOLDER / "partial-samples-000000000500-1"
    leftover.mkdir()
    assert [f.name[-3:] for f in store.checkpoints(tmp_path)] == ["009", "020", "100"]
    store.prune(tmp_path, 2)
    assert [f.name[-3:] for f in store.checkpoints(tmp_path)] == ["020", "100"]
    assert not leftover.exists()


def _names(run: Path) -> list[str]:
    return sorted(folder.name for folder in (run / store.FOLDER).iterdir())


def test_a_checkpoint_saved_twice_is_there_once(tmp_path: Path) -> None:
    folder = _save(tmp_path, 9)
    assert _save(tmp_path, 9, again=True) == folder
    assert _names(tmp_path) == [folder.name]
    assert store.load_checkpoint(folder).state["again"]


def test_a_kill_between_two_of_the_same_number_leaves_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = _save(tmp_path, 9), Path.rename

    def killed(self: Path, target: Path) -> Path:
        if Path(target) == folder:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            _save(tmp_path, 9, again=True)
    assert not folder.exists()
    assert store.checkpoints(tmp_path) == [folder]
    assert store.load_checkpoint(folder).state == {"samples": 9}
    _save(tmp_path, 9)
    assert _names(tmp_path) == [folder.name]


def test_what_was_set_aside_comes_back_only_where_it_is_missed(tmp_path: Path) -> None:
    folder = _save(tmp_path, 9)
    aside = folder.with_name(f"partial-{folder.name}-replaced")
    aside.mkdir()
    removed = folder.with_name("partial-samples-000000000004-old")
    removed.mkdir()
    assert store.checkpoints(tmp_path) == [folder]
    assert store.load_checkpoint(folder).state == {"samples": 9}
    folder.rename(folder.with_name("partial-elsewhere"))
    assert store.checkpoints(tmp_path) == [folder]
    assert not aside.exists()
    assert removed.exists()
    store.prune(tmp_path, 1)
    assert _names(tmp_path) == [folder.name]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        folder = _save(tmp_path, 1)
    finally:
        os.umask(umask)
    assert {f.stat().st_mode & 0o777 for f in folder.iterdir()} == {0o644}


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"is not a training checkpoint \(state\.pt is missing\)"
    ):
        store.load_checkpoint(tmp_path)


@pytest.mark.parametrize("name", ["state.pt", "network.safetensors"])
def test_a_damaged_file_is_an_error_with_a_remedy(tmp_path: Path, name: str) -> None:
    folder = _save(tmp_path, 1)
    (folder / name).write_bytes(b"not this")
    with pytest.raises(TrainingError, match=r"cannot read the checkpoint .* from an older one"):
        store.load_checkpoint(folder)


class _Payload:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("echo must never run",)


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    folder = _save(tmp_path, 1)
    torch.save({"x": _Payload()}, folder / "state.pt")
    with pytest.raises(TrainingError, match="cannot read the checkpoint"):
        store.load_checkpoint(folder)


def test_export_halves_parameters_keeps_buffers_and_writes_a_card(
    tmp_path: Path, standin: ModuleType
) -> None:
    run = tmp_path / "run"
    standin.train(standin.recipe(model={"config": {"backbone": "tiny net"}}), run)
    out = tmp_path / "out" / "tiny.safetensors"
    card_path = store.export_weights(
        run, out, card_fields={"data": 'own "photos"', "name": "tiny-1"}
    )
    weights = load_file(out)
    assert weights["body.0.weight"].dtype == torch.float16
    assert weights["body.1.running_var"].dtype == torch.float32
    assert weights["body.1.num_batches_tracked"].dtype == torch.int64
    best = load_file(run / store.BEST)
    torch.testing.assert_close(
        weights["body.0.weight"].float(), best["body.0.weight"], atol=1e-3, rtol=1e-3
    )
    card = card_for(out)
    assert card is not None
    assert card_path == sidecar(out)
    assert card.sha256 == hashlib.sha256(out.read_bytes()).hexdigest()
    assert card.bytes == out.stat().st_size
    assert (card.name, card.data, card.backbone) == ("tiny-1", 'own "photos"', "tiny net")
    assert 0 <= card.numbers["separability"] <= 1
    with safe_open(out, framework="pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
    assert recipe == json.loads((run / "recipe.json").read_text())
    load_strict(standin.TinyNet(), load_state(out), what="export")


def test_a_card_field_that_does_not_exist_is_named(tmp_path: Path, standin: ModuleType) -> None:
    run = tmp_path / "run"
    standin.train(standin.recipe(), run)
    with pytest.raises(ConfigError, match="licence"):
        store.export_weights(run, tmp_path / "w.safetensors", card_fields={"licence": "x"})


def test_export_of_the_latest_weights(tmp_path: Path, standin: ModuleType) -> None:
    run = tmp_path / "run"
    report = standin.train(standin.recipe(run={"validate_every": 0}), run)
    for which, name in (("latest", "ema"), ("latest-raw", "network")):
        store.export_weights(run, tmp_path / "w.safetensors", dtype="float32", which=which)
        expected = load_file(report.checkpoint / f"{name}.safetensors")
        got = load_file(tmp_path / "w.safetensors")
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[k], expected[k]) for k in got)


def test_export_mistakes_are_named(tmp_path: Path) -> None:
    out = tmp_path / "w.safetensors"
    with pytest.raises(ConfigError, match="cannot export as 'int8'; known: float16, bfloat16"):
        store.export_weights(tmp_path, out, dtype="int8")
    with pytest.raises(
        ConfigError, match="cannot export 'newest'; known: best, latest, latest-raw"
    ):
        store.export_weights(tmp_path, out, which="newest")
    with pytest.raises(TrainingError, match=r"has no best\.safetensors: no validation has run yet"):
        store.export_weights(tmp_path, out)
    with pytest.raises(TrainingError, match="has no checkpoint to export; train first"):
        store.export_weights(tmp_path, out, which="latest")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/me/runs/first.safetensors", "first.safetensors"),
        ("C:\\Users\\me\\first.safetensors", "first.safetensors"),
        ("runs/first.safetensors", "runs/first.safetensors"),
        ("compact", "compact"),
        ("", ""),
    ],
)
def test_an_exported_recipe_names_no_folders_of_the_machine(path: str, shown: str) -> None:
    recipe = {"model": {"init_from": path, "config": {"widths": [1, 2]}}, "files": [path, 3]}
    cut = {"model": {"init_from": shown, "config": {"widths": [1, 2]}}, "files": [shown, 3]}
    assert store.without_folders(recipe) == cut


def test_the_header_of_exported_weights_names_no_folders(
    tmp_path: Path, standin: ModuleType
) -> None:
    run = tmp_path / "run"
    standin.train(standin.recipe(run={"validate_every": 0}), run)
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["model"]["init_from"] = "/home/me/runs/first.safetensors"
    (run / "recipe.json").write_text(json.dumps(recipe))
    store.export_weights(run, tmp_path / "net.safetensors", which="latest")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        header = file.metadata()
    assert "/home/me" not in header["recipe"]
    assert json.loads(header["recipe"])["model"]["init_from"] == "first.safetensors"


def test_the_weights_that_ship_name_no_folders() -> None:
    package = Path(store.__file__).parents[1]
    files = [f for f in package.rglob("*.safetensors") if f.is_file()]
    assert files
    for path in files:
        with safe_open(path, "pt") as file:
            recipe = json.loads((file.metadata() or {}).get("recipe", "{}"))
        assert store.without_folders(recipe) == recipe, path.name
