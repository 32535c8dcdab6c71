"""Many pictures, on the cores of one machine or on a Ray cluster: `tamperscope batch`.

``run`` is the driver. It lists inputs (``sources``), has an engine (``local``, ``ray_engine``)
examine them in worker processes (``worker``, watched by ``keeper``), keeps finished rows in a small
database (``state``) and writes them in order into part files (``parts``).
"""

from tamperscope.batch.config import BatchConfig
from tamperscope.batch.run import run_batch

__all__ = ["BatchConfig", "run_batch"]
