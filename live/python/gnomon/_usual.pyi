# the same classes, made in C
from gnomon.usual import Board as Board
from gnomon.usual import Mark as Mark
from gnomon.usual import Way as Way
