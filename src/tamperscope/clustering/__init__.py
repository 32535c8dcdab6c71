"""From per-pixel features to a mask: cluster, decide which clusters are forged, clean up, draw.

``kmeans`` and ``hdbscan`` give labels; ``foreground`` turns labels into a mask by a named rule;
``postprocess`` cleans, resizes and scores. No ground truth and no network anywhere in here.
"""
