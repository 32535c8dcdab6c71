"""ONNX Runtime as an engine."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tamperscope.engines.graph import Graph, Runner
from tamperscope.engines.onnx_export import FORMAT, side_of, write_onnx
from tamperscope.errors import ConfigError, WeightsError, WeightsNotFoundError, missing_extra
from tamperscope.provenance import JSON, tool_version
from tamperscope.weights import LoadedWeights, sha256_of
from tamperscope.workers.settings import cores_here

CACHE_VARIABLE = "TAMPERSCOPE_CACHE"
"""Names the folder for what can be made again; by default ``tamperscope`` among the user's caches.
"""


def cache_folder() -> Path:
    """Where exported networks are kept."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named).expanduser() / "onnx"
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "tamperscope" / "onnx"


class OnnxEngine:
    """Implements `tamperscope.engines.Engine`.

    Args:
        files: exported networks; each stands for the weights it says it was made from. Networks
            without a file are exported into the cache on first use.
        device: ``cpu``, or ``cuda`` where onnxruntime-gpu is installed.
        cache: a folder in place of `cache_folder`.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        WeightsError: a file is missing, damaged, or none of ours.
        ConfigError: another device, or CUDA without onnxruntime-gpu.
    """

    def __init__(
        self,
        files: Sequence[str | os.PathLike[str]] = (),
        *,
        device: str = "cpu",
        cache: Path | None = None,
    ) -> None:
        self._runtime = _import_runtime()
        self._providers = _providers(self._runtime, device)
        self._cache = cache
        self._given: dict[str, _Session] = {}
        self._used: set[str] = set()
        digests = []
        for file in files:
            session = self._open(Path(file))
            self._given[session.notes["weights_sha256"]] = session
            digests.append(sha256_of(file))
        self._digests = digests

    @property
    def record(self) -> JSON:
        """See `tamperscope.engines.Engine`."""
        return {"name": "onnx", "files": list(self._digests)} if self._digests else "onnx"

    def runner(self, graph: Graph, weights: LoadedWeights) -> Runner:
        """See `tamperscope.engines.Engine`."""
        session = self._given.get(weights.sha256)
        if session is None:
            session = self._cached(graph, weights)
        else:
            session.check(graph)
        self._used.add(weights.sha256)
        return Runner(graph, weights.name, session.run)

    def settle(self) -> None:
        """See `tamperscope.engines.Engine`: every file that was given must have been used."""
        for sha256, session in self._given.items():
            if sha256 not in self._used:
                raise WeightsError(
                    f"{session.path} was made from the weights {session.notes['weights']!r} "
                    f"(sha256 {sha256[:12]}...), which this method does not run here: export the "
                    "weights that it runs, or name those with weights="
                )

    def _open(self, path: Path) -> "_Session":
        return _Session(self._runtime, path, self._providers)

    def _cached(self, graph: Graph, weights: LoadedWeights) -> "_Session":
        outputs = ",".join(graph.outputs)
        parts = (weights.sha256, tool_version(), torch.__version__, str(graph.side), outputs)
        digest = hashlib.sha256(" ".join(parts).encode()).hexdigest()[:16]
        path = (self._cache or cache_folder()) / f"{Path(weights.name).stem}-{digest}.onnx"
        if path.is_file():
            try:
                session = self._open(path)
            except WeightsError:
                pass  # an older or damaged one is made again
            else:
                if session.notes["weights_sha256"] == weights.sha256:
                    return session
        write_onnx(graph, path, weights=weights)
        return self._open(path)


class _Session:
    """A file that is being run."""

    def __init__(self, runtime: Any, path: Path, providers: list[Any]) -> None:
        if not path.is_file():
            raise WeightsNotFoundError(
                f"no ONNX file {path}: check the path, or make one with tamperscope export"
            )
        options = runtime.SessionOptions()
        options.intra_op_num_threads = _threads()
        options.inter_op_num_threads = 1
        # Threads that wait by spinning take the cores from what PyTorch does between two networks.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        try:
            self._session = runtime.InferenceSession(os.fspath(path), options, providers=providers)
        except Exception as error:  # it has a kind of its own for every status code
            reason = " ".join(str(error).split())[:160]
            raise WeightsError(
                f"{path} cannot be run by ONNX Runtime ({reason}): export it again"
            ) from error
        wanted = providers[0] if isinstance(providers[0], str) else providers[0][0]
        if wanted not in self._session.get_providers():
            raise ConfigError(
                f"ONNX Runtime could not start {wanted} and would run on the processor instead: "
                "check its CUDA and cuDNN libraries, or use device=cpu"
            )
        self.path = path
        self.notes: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if self.notes.get("format") == FORMAT and not self.notes.get("weights_sha256"):
            raise WeightsError(
                f"{path} holds random numbers in place of weights: export it without --untrained"
            )
        if self.notes.get("format") != FORMAT:
            raise WeightsError(
                f"{path} was not written by this version of tamperscope: make one with "
                "tamperscope export"
            )
        self._inputs = [entry.name for entry in self._session.get_inputs()]
        self._outputs = [entry.name for entry in self._session.get_outputs()]

    def check(self, graph: Graph) -> None:
        """Raise where it was exported with other settings than it is to run with.

        Raises:
            WeightsError: another size of the input, or outputs that are missing.
        """
        made, wanted = self.notes.get("side", "any"), side_of(graph)
        if made != wanted:
            raise WeightsError(
                f"{self.path} was exported for a side of {made} and is to run with {wanted}: "
                "export it again with these settings, or leave the file out"
            )
        if missing := [name for name in graph.outputs if name not in self._outputs]:
            raise WeightsError(
                f"{self.path} has no output {', '.join(missing)}: it was exported for another "
                "method; export it again for this one"
            )

    def run(self, inputs: tuple[Tensor, ...]) -> Mapping[str, Tensor]:
        """The outputs by name, where the first input is."""
        arrays = [np.ascontiguousarray(x.detach().cpu().numpy()) for x in inputs]
        fed = dict(zip(self._inputs, arrays, strict=True))
        found = self._session.run(self._outputs, fed)
        device = inputs[0].device
        return {
            name: torch.from_numpy(array).to(device)
            for name, array in zip(self._outputs, found, strict=True)
        }


def _import_runtime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("engine=onnx", "onnx") from error
    return onnxruntime


def _providers(runtime: Any, device: str) -> list[Any]:
    kind, _, number = device.partition(":")
    if kind in ("auto", "cpu"):
        return ["CPUExecutionProvider"]
    if kind != "cuda":
        raise ConfigError(f"engine=onnx runs on cpu or cuda, not on {device!r}")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        raise ConfigError(
            "engine=onnx finds no CUDA: pip install onnxruntime-gpu in place of onnxruntime, or "
            "use device=cpu"
        )
    # As in PyTorch: float32 is float32.
    options = {"device_id": number or "0", "use_tf32": "0"}
    return [("CUDAExecutionProvider", options), "CPUExecutionProvider"]


def _threads() -> int:
    """As many as PyTorch would take, and no more than the cores this process may use."""
    return max(1, min(torch.get_num_threads(), cores_here()))
