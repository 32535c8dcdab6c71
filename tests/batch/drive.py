"""A driver to be killed: ``python -m batch.drive SOURCE OUTPUT WORKERS``."""

import sys
from pathlib import Path

from batch.archive import examine

if __name__ == "__main__":
    examine(sys.argv[1], Path(sys.argv[2]), workers=int(sys.argv[3]))
