"""The page at the exchange's root: what happens there, live, and buttons to make it happen."""

from .actions import Actions
from .site import Page
from .view import View

__all__ = ["Actions", "Page", "View"]
