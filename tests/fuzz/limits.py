"""Runs targets on hostile files, each file under a limit of time and all under one of memory.

``python limits.py TARGET_OR_FOLDER...``: dies by SIGPROF at the first file that takes more than 10
seconds of processor time, ends with 1 at the first after which 2 GB were needed, and else prints
how many files it saw. A folder stands for the pictures in it.
"""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SECONDS = 10
MEGABYTES = 2048


def files(name: str) -> Iterator[tuple[str, bytes]]:
    """The hostile files of a target."""
    if os.path.isdir(name):
        yield from ((path.name, path.read_bytes()) for path in sorted(Path(name).iterdir()))
        return
    if name in ("image", "mask"):
        import hostile

        yield from ((broken.name, broken.data) for broken in hostile.BROKEN)
        yield from hostile.ODD.items()
        yield from hostile.doubtful()
        return
    import hostile_data

    if name == "weights":
        yield from ((refused.name, refused.data) for refused in hostile_data.refused_weights())
    else:
        yield from hostile_data.refused_lists()


def peak_megabytes() -> int:
    """The most memory this process has had so far."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    # What getrusage says on Linux begins with what the parent had.
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) // 1024


def main(names: list[str]) -> int:
    """Run everything; see the top of this file."""
    # Far above what is allowed: only to spare the machine what it would do beyond it.
    resource.setrlimit(resource.RLIMIT_DATA, (6 * 2**30, 6 * 2**30))
    seen = 0
    for name in names:
        run = _target(name)
        for file, data in files(name):
            print(name, file, flush=True)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            run(data)
            signal.setitimer(signal.ITIMER_PROF, 0)
            seen += 1
            peak = peak_megabytes()
            if peak > MEGABYTES:
                print(f"needed {peak} MB")
                return 1
    print(f"{seen} files")
    return 0


def _target(name: str):  # type: ignore[no-untyped-def]
    if os.path.isdir(name):
        from tamperscope.image import read_image

        return read_image
    from fuzz.targets import TARGETS

    return TARGETS[name]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
