"""The vLLM servers of a run and the client that episode workers reach them by."""

from typing import Any

from verl.workers.rollout.llm_server import LLMServerClient, LLMServerManager
from verl.workers.rollout.router import GlobalRequestLoadBalancer


class Servers(LLMServerManager):
    """verl's manager; its load balancer runs inside the workers unless the recipe's `verl:` section names a router."""

    async def _init_global_load_balancer(self) -> None:
        self.global_load_balancer = None
        if self.rollout_config.router_config_path:
            await super()._init_global_load_balancer()

    def get_client(self, client_cls: type[LLMServerClient] | None = None, **named: Any) -> LLMServerClient:
        if self.global_load_balancer is not None:
            return super().get_client(client_cls, **named)
        return WorkersClient(self.config, dict(zip(self.server_addresses, self.server_handles)))


class WorkersClient(LLMServerClient):
    """verl's client with verl's balancer beside it, which saves two calls a request and a process that imports verl.

    Each worker shares out its own requests. A batch is dealt to the workers in equal parts, so the servers get equal
    parts too; the turns of one episode stay with one server.
    """

    def __init__(self, config: Any, servers: dict[str, Any]) -> None:
        super().__init__(config)
        self._balancer = GlobalRequestLoadBalancer(servers)

    async def _acquire_server(self, request_id: str, **_: Any) -> tuple[str, Any]:
        return self._balancer.acquire_server(request_id)

    def _release_server(self, server_id: str, request_id: str | None = None) -> None:
        self._balancer.release_server(server_id)
