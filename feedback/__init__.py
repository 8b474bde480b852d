"""Asking people: tasks, blind assignment, intake, importers, exporters, simulated raters."""
