"""Nouns: messages, records and wire shapes. Imports nothing of ours."""
