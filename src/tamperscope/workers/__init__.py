"""What worker processes need, whoever they work for: messages, limits, a start and an end.

A worker decodes what strangers made, so it may die or hang at any moment. It holds nothing of
value, and its limits make sure that it dies alone.
"""
