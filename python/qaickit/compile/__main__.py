"""`python -m qaickit.compile`."""

from qaickit._tools import as_process
from qaickit.compile.cli import main

if __name__ == "__main__":
    raise SystemExit(as_process(main))
