"""The exception queue: records that failed blocking rules, and what people decide of them."""
