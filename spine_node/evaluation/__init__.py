"""How good a segmenter is: metrics, sets of cases, floor and ceiling, tables and pictures."""
