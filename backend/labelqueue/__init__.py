"""labelqueue: a Label Studio ML backend that decides which image is labeled next."""

__version__ = "0.2.0"
