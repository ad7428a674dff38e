# SPDX-License-Identifier: Apache-2.0
"""Helpers for container.py: see cooper.containers."""
