"""Which part of a face is where: the parts and their numbers, and networks that label them.

`registry.load_parser` gives a parser by name or file; `parts` and `parser` need no torch.
"""
