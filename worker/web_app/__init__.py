"""The web app's two ways: doors in, outcomes out."""
