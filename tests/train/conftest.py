import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def standin() -> ModuleType:
    """The stand-in network and data of ``standin.py``, loaded from beside this file."""
    path = Path(__file__).with_name("standin.py")
    spec = importlib.util.spec_from_file_location("train_standin", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["train_standin"] = module
    spec.loader.exec_module(module)
    return module
