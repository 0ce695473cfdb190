"""`python -m qaickit.loadgen`."""

from qaickit._tools import as_process
from qaickit.loadgen.cli import main

raise SystemExit(as_process(main))
