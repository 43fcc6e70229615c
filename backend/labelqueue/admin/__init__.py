"""What people ask of a project and wish from it, by command line or REST: status, orders, settings, switches, doctor.

Imports `jobs`, `state`, `labelstudio`, `ordering`, `stopping` and `labels`; a wish is written down here and fulfilled
by a worker.
"""

from .doctor import diagnosis_lines, examine, exit_status
from .forgetting import find_any, forget, holdings, holdings_lines
from .orders import audit_lines, find_order, order_audit, order_lines, order_list, order_list_lines, project_order
from .scene import Scene
from .setting_changes import change_settings, project_settings, settings_lines
from .status import (
    installation_glance,
    list_lines,
    project_curve,
    project_glance,
    project_list,
    project_status,
    projects_here,
    status_lines,
)
from .switches import pause, reconcile, resume, retrain, rollback, soon
from .verification import DIFFERS, SAME, verification_lines, verify_order

__all__ = [
    "DIFFERS",
    "SAME",
    "Scene",
    "audit_lines",
    "change_settings",
    "diagnosis_lines",
    "examine",
    "exit_status",
    "find_any",
    "find_order",
    "forget",
    "holdings",
    "holdings_lines",
    "installation_glance",
    "list_lines",
    "order_audit",
    "order_lines",
    "order_list",
    "order_list_lines",
    "pause",
    "project_curve",
    "project_glance",
    "project_list",
    "project_order",
    "project_settings",
    "project_status",
    "projects_here",
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
