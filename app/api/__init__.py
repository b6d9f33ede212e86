"""The product API, /api/v1: one file a noun, each with `noun`; all over keys, never over a browser's session.

operations.py says what a route needs and how it answers, openapi.py makes the document from the same words.
"""
