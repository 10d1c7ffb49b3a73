"""`python -m alm`, the same as the command `alm`."""

from alm.cli import main

main()
