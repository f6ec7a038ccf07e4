"""A DICOM node for the standing spine.

The data flow through the folders in this order:

    network/scp -> inbox -> dicom/series -> segmentation -> anatomy -> parameters
                -> pictures, printing -> dicom/{seg,sr,...} -> outbox -> network/scu

`pipeline.py` is the whole science in one function, `objects.py` its end: the DICOM objects;
`profiles.py` says which of them a destination gets; `workflows.py` makes it durable;
`node.py` builds everything and starts it.
"""

__version__ = "0.3.0"
