"""`python -m spine_node` is `spine-node`."""

from spine_node.cli import main

main()
