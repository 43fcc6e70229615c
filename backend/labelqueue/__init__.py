"""labelqueue: a Label Studio ML backend that decides which image is labelled next."""

__version__ = "0.1.0"
