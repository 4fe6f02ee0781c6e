"""Random sequences of API calls, run against a plain Nova and through the cascade, and compared step by step."""
