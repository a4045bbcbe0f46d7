"""All interleavings of small worlds, with the real Lua scripts (docs/explorer.md)."""
