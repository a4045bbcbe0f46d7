"""Reads of the ledger for people, forecasts and metrics. Nothing here writes."""
