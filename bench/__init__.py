"""What Gnomon costs and what it does in a second, measured beside what one would write by hand.

`python -m bench [NAME…] [--json] [--quick]`; docs/performance.md says what each benchmark measures and what it showed.
"""
