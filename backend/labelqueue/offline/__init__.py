"""Work without Label Studio: choosing from a folder, replaying campaigns, training BAL's pretext features.

Imports `images`, `ordering`, `learning`, `labels`; for a project's pretext features also `worker`, `jobs` and `state`.
"""
