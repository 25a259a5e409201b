"""`medrl reward`: try a reward file before a run, attack it, or score stored rollouts under another one."""

import typer

reward_app = typer.Typer(no_args_is_help=True, help="Try a reward file, attack it, or score stored rollouts again.")
