"""The former place of `create_app`, kept for one version: deployments of before name it."""

from .web.app import create_app

__all__ = ["create_app"]
