# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/bench measures, a module for each family of cases."""
