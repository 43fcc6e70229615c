"""What people ask of a project and wish from it, by command line or REST: status, orders, settings, switches, doctor.

Imports `jobs`, `state`, `labelstudio`, `ordering`, `stopping`, `learning` and `labels`; a wish is written down here and
fulfilled by a worker.
"""

from .doctor import diagnosis_lines, examine, exit_status, store_findings
from .forgetting import find_any, forget, holdings, holdings_lines
from .orders import (
    audit_lines,
    find_order,
    no_way_back,
    open_queues,
    order_audit,
    order_lines,
    order_list,
    order_list_lines,
    order_summary,
    prelabel_chances,
    project_order,
)
from .pinning import curation, curation_counts, curation_lines, exclude, include, pin, undo, unpin
from .scene import Scene
from .setting_changes import change_settings, project_settings, settings_lines, wanted_settings
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
from .switches import pause, reconcile, resume, retrain, rollback, soon, try_again
from .verification import DIFFERS, SAME, verification_lines, verify_order

__all__ = [
    "DIFFERS",
    "SAME",
    "Scene",
    "audit_lines",
    "change_settings",
    "curation",
    "curation_counts",
    "curation_lines",
    "diagnosis_lines",
    "examine",
    "exclude",
    "exit_status",
    "find_any",
    "find_order",
    "forget",
    "holdings",
    "holdings_lines",
    "include",
    "installation_glance",
    "list_lines",
    "no_way_back",
    "open_queues",
    "order_audit",
    "order_lines",
    "order_list",
    "order_list_lines",
    "order_summary",
    "pause",
    "pin",
    "prelabel_chances",
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
    "store_findings",
    "try_again",
    "undo",
    "unpin",
    "verification_lines",
    "verify_order",
    "wanted_settings",
]
