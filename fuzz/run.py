"""Feed a reader with made-up files until it breaks, guided by the code that they reach.

    python fuzz/run.py TARGET [CORPUS_FOLDER] [-max_total_time=300] [-rss_limit_mb=2048] ...

TARGET is one of image, mask, weights, manifest, result. Needs ``pip install atheris``; the options
are libFuzzer's. The corpus folder is filled with seeds first, and then with what reached new code.
A crash leaves its input behind in a file ``crash-...``; to see it again, name that file in the
place of the corpus folder.
"""

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

# Everything that the package imports is watched, but not the numbers under it.
with atheris.instrument_imports(include=["tamperscope", "PIL", "safetensors"]):
    import hostile_data
    from fuzz.targets import TARGETS


def main() -> None:
    """Run one target."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(
            f"usage: run.py TARGET [CORPUS] [libFuzzer options]; targets: {', '.join(TARGETS)}"
        )
    name, arguments = sys.argv[1], sys.argv[2:]
    if arguments and not arguments[0].startswith("-") and not Path(arguments[0]).is_file():
        corpus = Path(arguments[0])
        corpus.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(hostile_data.seeds(name)):
            (corpus / f"seed-{number:03}").write_bytes(seed)
    limits = ["-timeout=10", "-rss_limit_mb=2048", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *limits, *arguments], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
