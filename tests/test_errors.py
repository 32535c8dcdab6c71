import inspect
import pickle

import pytest

from tamperscope import errors

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, errors.TamperscopeError)
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_is_drawn_in_the_module_docstring(kind: type[Exception]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_message_is_shown_plainly_and_survives_another_process(kind: type[Exception]) -> None:
    error = kind("it's broken: mend it")
    assert str(error) == "it's broken: mend it"
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.ImageError, ValueError),
        (errors.ImageTooLargeError, errors.ImageError),
        (errors.UnknownNameError, KeyError),
        (errors.ConfigError, ValueError),
        (errors.MissingExtraError, ImportError),
        (errors.ClusteringError, ValueError),
        (errors.UnsafeWeightsError, errors.WeightsError),
    ],
)
def test_errors_are_also_what_python_would_raise(kind: type, builtin: type) -> None:
    assert issubclass(kind, builtin)


def test_unknown_names_the_nearest_and_all() -> None:
    error = errors.unknown("method", "fcal", ["other", "focal"])
    assert str(error) == "unknown method 'fcal'; did you mean 'focal'? known: focal, other"


def test_unknown_ignores_case() -> None:
    assert "did you mean 'HDBSCAN'?" in str(errors.unknown("rule", "hdbscam", ["HDBSCAN", "x"]))


def test_unknown_without_a_near_name_or_any_name() -> None:
    assert str(errors.unknown("method", "zzz", ["focal"])) == "unknown method 'zzz'; known: focal"
    assert str(errors.unknown("method", "zzz", [])) == "unknown method 'zzz'; known: none"


def test_missing_extra_gives_the_command() -> None:
    error = errors.missing_extra("reading HEIC", "heif")
    assert isinstance(error, errors.MissingExtraError)
    assert str(error).endswith("pip install 'tamperscope[heif]'")
