"""Targets: where enhanced is asked, how, and with what care.

On the data's way this stands between a replay and the enhanced system. `description` reads the file that maps
operations to HTTP services, `http` calls one of them, `guard` decides for any target, HTTP or Python, how many calls
may be under way and whether it is asked at all.
"""
