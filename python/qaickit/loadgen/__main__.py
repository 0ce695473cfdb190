"""`python -m qaickit.loadgen`."""

from qaickit._tools import command

if __name__ == "__main__":
    raise SystemExit(command("qaickit.loadgen.cli")())
