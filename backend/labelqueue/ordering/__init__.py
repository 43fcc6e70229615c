"""What to do about a project: from a frozen snapshot to one decision, by pure functions alone.

Imports `learning`, `labels`, `telemetry` and the library; neither Redis nor the Label Studio client, so that anything
can replay it.
"""

from .campaign_state import CampaignState
from .decision import Decision, decide
from .inputs import Inputs, inputs_again, load_inputs, ranked
from .order import END, LEFT_OUT, Order, Overlay, Place
from .order_size import head_size, open_places
from .pinning import arranged, moved
from .snapshot import Features, Labels, Snapshot, Tasks, rows_in_turn

__all__ = [
    "END",
    "LEFT_OUT",
    "CampaignState",
    "Decision",
    "Features",
    "Inputs",
    "Labels",
    "Order",
    "Overlay",
    "Place",
    "Snapshot",
    "Tasks",
    "arranged",
    "decide",
    "head_size",
    "inputs_again",
    "load_inputs",
    "moved",
    "open_places",
    "ranked",
    "rows_in_turn",
]
