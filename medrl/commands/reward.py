"""`medrl reward`: try a reward file before a run, attack it, or score stored rollouts under another one."""

import gc
from pathlib import Path
from typing import Annotated, Any

import typer

from medrl.commands.arguments import AsJson, Overrides, RecipeArgument, read_recipe
from medrl.errors import MedrlError
from medrl.terminal import report_rescored, working

reward_app = typer.Typer(no_args_is_help=True, help="Try a reward file, attack it, or score stored rollouts again.")

File = Annotated[str, typer.Argument(help="A reward: path.py[:function].", show_default=False)]
Kwargs = Annotated[
    list[str] | None,
    typer.Argument(help="Its keyword arguments: key=value …", show_default=False, metavar="[KEY=VALUE]…"),
]
Deadline = Annotated[float, typer.Option("--timeout", help="Seconds a reply may take.")]


@reward_app.command("check")
def reward_check(file: File, kwargs: Kwargs = None, timeout_s: Deadline = 10.0, as_json: AsJson = False) -> None:
    """Try a reward file: signature, determinism, range, hostile replies, speed. Exit code 1 for faults."""
    from medrl.commands.show_reward import show_checked
    from medrl.scoring.trial.check_reward import check_reward

    checked = check_reward(file, _keyword_arguments(kwargs), timeout_s)
    show_checked(checked, as_json)
    raise typer.Exit(1 if checked.faults else 0)


@reward_app.command("attack")
def reward_attack(
    file: Annotated[str, typer.Argument(help="A reward: path.py[:function]; or a recipe.yaml, with its data.")],
    arguments: Annotated[
        list[str] | None,
        typer.Argument(help="Keyword arguments of the reward, or changes to the recipe.", show_default=False),
    ] = None,
    rows: Annotated[int, typer.Option(help="Rows of each kind taken from a recipe's data.")] = 3,
    timeout_s: Deadline = 10.0,
    as_json: AsJson = False,
) -> None:
    """Try to earn more than an honest wrong answer. Exit code 1 if any attack does, or leaves no score."""
    from medrl.commands.show_reward import show_findings

    if file.endswith((".yaml", ".yml")):
        from medrl.commands.attack_recipe import attack_recipe

        findings, about = attack_recipe(file, arguments or [], rows)
    else:
        findings, about = _attack_file(file, _keyword_arguments(arguments), timeout_s)
    show_findings(findings, about, as_json)
    raise typer.Exit(1 if any(one.verdict != "held" for one in findings) else 0)


@reward_app.command("rescore")
def rescore(
    run: Annotated[Path, typer.Argument(help="A run directory such as runs/quickstart.", show_default=False)],
    recipe: RecipeArgument,
    overrides: Overrides = None,
    held_out: Annotated[
        bool, typer.Option("--val", help="The replies of the run's validations, not those of its training.")
    ] = False,
    top: Annotated[int, typer.Option(help="How many of the most changed groups and rollouts to list.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write old and new of every rollout here, as JSON lines.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run's stored rollouts under a recipe's rewards, without a model: means, order in groups, advantages.

    `medrl reward rescore runs/x runs/x/recipe.yaml rewards.format.weight=0` asks what one change would have done.
    """
    from medrl.evaluation.rescore import facts_of, write
    from medrl.evaluation.rescore import rescore as score_again

    if not (run / "recipe.yaml").is_file():
        raise MedrlError(
            f"{run}: not a run directory (no recipe.yaml). Expected RUN RECIPE, such as runs/quickstart recipe.yaml."
        )
    settings, beside = read_recipe(recipe, overrides)
    with working(quiet=as_json) as progress:
        found = score_again(run, settings, beside, held_out, progress)
    if out is not None:
        write(found, out)
    facts = {"run": str(run), "recipe": str(recipe), **facts_of(found, top), "out": str(out) if out else None}
    report_rescored(facts, as_json)
    gc.freeze()  # at its end the interpreter would walk over millions of rows once more


def _attack_file(file: str, kwargs: dict[str, Any], timeout_s: float) -> tuple[list[Any], str]:
    from medrl.scoring.trial.attack import attack_all
    from medrl.scoring.trial.caged import Cage
    from medrl.scoring.trial.check_reward import prepared

    with Cage(file, kwargs, timeout_s=timeout_s) as cage:
        cage, examples, source = prepared(cage, kwargs)
        if cage.facts.misfit:
            raise MedrlError(
                f"{cage.facts.path}: {cage.facts.signature}: {cage.facts.misfit}. See `medrl reward check`."
            )
        if not examples:
            raise MedrlError(f"{cage.facts.path}: {source}")
        return attack_all(cage, examples, cage.facts.of_group), f"{file}: {source}"


def _keyword_arguments(given: list[str] | None) -> dict[str, Any]:
    """key=value … as a mapping, the values read as YAML would."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    for one in given or []:
        if "=" not in one:
            raise MedrlError(f"{one!r}: expected key=value, a keyword argument of the reward such as threshold=0.5.")
    try:
        found = OmegaConf.to_container(OmegaConf.from_dotlist(given or []))
    except (OmegaConfBaseException, ValueError) as error:
        raise MedrlError(f"{given}: not readable as key=value: {error}") from None
    return {str(key): value for key, value in found.items()} if isinstance(found, dict) else {}
