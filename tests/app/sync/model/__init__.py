"""Both sides and the engine in dictionaries, so that thousands of their histories can be tried in seconds."""
