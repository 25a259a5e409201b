"""Several environments as one: the model may zoom, then set the window of the crop, then measure in it.

They share the episode's pictures, so what one shows, the others can work on.
"""

from medrl.errors import MedrlError
from medrl.plugin import check_call, load_plugin
from medrl.rollout.env import Action, Observation, Scene, tool_names


class ToolboxEnv:
    """`envs`: `{"use": "path.py:Class", "kwargs": {…}}` each, with tool names of their own; paths as in a recipe."""

    def __init__(self, envs):
        made = []
        for one in envs:
            plugin, kwargs = load_plugin(one["use"], "Env"), dict(one.get("kwargs") or {})
            check_call(plugin, (), kwargs)
            made.append(plugin.target(**kwargs))
        self.tools = [tool for env in made for tool in env.tools]
        self.owners = {name: env for env in made for name in tool_names(env.tools)}
        if len(self.owners) < len(self.tools):
            raise MedrlError(
                f"ToolboxEnv: two tools have one name among {', '.join(tool_names(self.tools))}. "
                "Give one of the environments another `name` in its kwargs."
            )
        self.envs = made

    def reset(self, sample, scene: Scene) -> None:
        for env in self.envs:
            env.reset(sample, scene)

    def step(self, action: Action) -> Observation:
        return self.owners[action.name].step(action)
