"""`python -m qaickit.compile`."""

import sys

from qaickit.compile.cli import main

if __name__ == "__main__":
    sys.exit(main())
