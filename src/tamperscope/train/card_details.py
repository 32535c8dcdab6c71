"""The lines of a weights card that depend on what was trained."""

from collections.abc import Callable, Mapping
from typing import Any

from tamperscope.train.config import Recipe

_Details = Callable[[Mapping[str, Any], int], dict[str, Any]]


def card_details(recipe: Mapping[str, Any], samples: int) -> dict[str, Any]:
    """Fields of `tamperscope.weights.WeightsCard`: summary, method, backbone, options,
    preprocessing, side and data.

    Args:
        recipe: the tables of a run's ``recipe.json``.
        samples: pictures seen in training.
    """
    return _DETAILS[recipe.get("task", "focal")](recipe, samples)


def _focal_details(recipe: Mapping[str, Any], samples: int) -> dict[str, Any]:
    model = recipe["model"]["config"]
    return {
        "summary": f"trained on {samples} synthetic pictures",
        "method": recipe["model"]["network"],
        "backbone": str(model.get("backbone", "compact")),
        "options": {
            "dim": model.get("dim", 64),
            "evidence": model.get("evidence", True),
            **({"options": model["options"]} if model.get("options") else {}),
        },
        "preprocessing": "native",
        "data": "synthetic forgeries; name the photos they were made from",
    }


def _dolos_details(recipe: Mapping[str, Any], samples: int) -> dict[str, Any]:
    from tamperscope.train.tasks.dolos import DolosTask

    task = DolosTask(Recipe.from_dict(recipe))
    model, config, shape = recipe["model"]["config"], recipe["dolos"], task.geometry()
    # How it started is told by the recipe; which network it is, by the rest.
    supervision = "weak" if task.weak else "full"
    options = {k: v for k, v in model.items() if k not in ("init", "pretrained")}
    return {
        "summary": f"trained on {samples} pictures in set-up {config['setup']}",
        "method": f"dolos-{task.method}{'-weak' if task.weak else ''}",
        "backbone": "xception",
        "options": {"method": task.method, "supervision": supervision} | options,
        "preprocessing": shape.resample,
        "side": int(config["size"]),
        "data": f"{config['faces']} faces, generators: {_generators(config)}; name the set",
    }


def _fakelocator_details(recipe: Mapping[str, Any], samples: int) -> dict[str, Any]:
    model, config = recipe["model"]["config"], recipe["fakelocator"]
    synthetic = f" and {len(config['synthetic'])} synthetic" if config["synthetic"] else ""
    return {
        "summary": f"trained on {samples} pictures, augmentation: {config['augment']}",
        "method": "fakelocator",
        "backbone": "fakelocator",
        # Where the encoder started from is told by the recipe.
        "options": {k: v for k, v in model.items() if k != "encoder_weights"},
        "preprocessing": "bilinear",
        "side": int(config["size"]),
        "data": f"{config['faces']} faces, generators: {_generators(config)}{synthetic}; name the"
        " set",
    }


def _parsing_details(recipe: Mapping[str, Any], samples: int) -> dict[str, Any]:
    return {
        "summary": f"labels the 19 parts of a face, trained on {samples} pictures",
        "method": "face-parsing",
        "backbone": "face-parser",
        "options": dict(recipe["model"]["config"]),
        "preprocessing": "bilinear",
        "data": "labelled faces; name the set",
    }


def _generators(config: Mapping[str, Any]) -> str:
    names = ", ".join(config["generators"])
    return f"{names} but {', '.join(config['leave_out'])}" if config["leave_out"] else names


_DETAILS: dict[str, _Details] = {
    "focal": _focal_details,
    "dolos": _dolos_details,
    "fakelocator": _fakelocator_details,
    "face-parser": _parsing_details,
}
