"""`python -m medrl` is the command `medrl`."""

from medrl.cli import main

main()
