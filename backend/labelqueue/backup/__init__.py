"""What is remembered of a project as one file, and back again: `labelqueue backup` and `labelqueue restore`.

Imports `jobs`, `state`, `labelstudio`, `ordering`, `learning` and `labels`; nothing in Label Studio is changed.
"""
