"""Builds the usual live call in C; where no compiler is at hand, gnomon does without and does the same in Python."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("gnomon._usual", ["gnomon/_usual.c"], optional=True)])
