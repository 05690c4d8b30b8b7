"""`python -m console`: the `gnomon` command where its script is not on the path."""

from console.main import main

main()
