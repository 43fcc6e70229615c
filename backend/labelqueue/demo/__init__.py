"""`labelqueue demo`: a private Label Studio, drawn images, and the whole service beside them.

Imports `admin`, `state`, `images` and `labelstudio`; nothing but `cli` imports it.
"""
