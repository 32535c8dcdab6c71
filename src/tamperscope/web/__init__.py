"""The page and the REST service: `tamperscope serve`.

``app`` speaks HTTP and never decodes a picture; ``pool`` hands pictures to worker processes, which
have limits on memory and time and are replaced when they die; ``static/`` is the page.
"""
