"""Replaying whole labeling campaigns on images that are labeled already: `labelqueue simulate`.

Imports `offline` for the model and its embeddings, `ordering`, `learning` and `labels` for what the service would do.
"""
