"""What people ask of a project and wish from it, whether by command line or REST: status, orders, settings, switches.

Imports `jobs`, `state`, `ordering` and `labels`; a wish is written down here and fulfilled by a worker.
"""

from .orders import audit_lines, find_order, order_audit, order_lines, order_list, order_list_lines, project_order
from .setting_changes import change_settings, project_settings, settings_lines
from .status import project_list, project_status, status_lines
from .switches import pause, reconcile, resume, retrain, rollback, soon
from .verification import DIFFERS, SAME, verification_lines, verify_order

__all__ = [
    "DIFFERS",
    "SAME",
    "audit_lines",
    "change_settings",
    "find_order",
    "order_audit",
    "order_lines",
    "order_list",
    "order_list_lines",
    "pause",
    "project_list",
    "project_order",
    "project_settings",
    "project_status",
    "reconcile",
    "resume",
    "retrain",
    "rollback",
    "settings_lines",
    "soon",
    "status_lines",
    "verification_lines",
    "verify_order",
]
