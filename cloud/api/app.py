"""The application: routers, problems, headers."""

from fastapi import FastAPI

from cloud.api.services import Services

__all__ = ["Services", "build_app"]


def build_app(services: Services) -> FastAPI:
    """The API over `services`; the console is mounted beside it by the wiring."""
    return FastAPI(title="citynerve")
