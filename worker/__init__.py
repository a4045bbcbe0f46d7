"""Verbs: how an order gets confirmed. May import `schemas`, never `tasks`."""
