"""``python -m qaickit.runner``."""

from qaickit.runner.cli import main

raise SystemExit(main())
