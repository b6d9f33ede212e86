"""The schema of a manifest: closed models, a part a file. What a key means is said where it is declared."""
