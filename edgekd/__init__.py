"""edgekd: knowledge distillation to integer models, proved on the device."""

__version__ = "0.1.0"
