"""`python -m qaickit.loadgen`."""

from qaickit.loadgen.cli import main

raise SystemExit(main())
