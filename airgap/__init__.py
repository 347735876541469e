"""Carries container images and every other OCI artifact across an air gap."""

from airgap.version import __version__

__all__ = ["__version__"]
