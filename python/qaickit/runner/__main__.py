"""``python -m qaickit.runner``."""

from qaickit._tools import as_process
from qaickit.runner.cli import main

raise SystemExit(as_process(main))
