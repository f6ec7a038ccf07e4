"""A DICOM node for the standing spine.

The data flow through the folders in this order:

    network/scp -> inbox -> dicom/series -> segmentation -> anatomy -> parameters
                -> dicom/{seg,sr,stl,pictures} -> ledger -> network/scu

`pipeline.py` is the whole science in one function; `workflows.py` makes it durable;
`node.py` builds everything and starts it.
"""

__version__ = "0.2.0"
