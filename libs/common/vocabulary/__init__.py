"""The words that definitions are written in: what a schema, a mapping, a rule, a report is made of.

These models are the API's request bodies, the sealed definitions' content and the runner's and validator's input.
Within a version fields are only added, and optional.
"""
