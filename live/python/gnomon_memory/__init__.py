"""The two chat-memory systems under migration, and the safe migration service an application calls instead of either.

On the data's way this room is both ends: the application's calls enter through `safe_migration_service`, and the
worker replays them against the enhanced system. It knows the client `gnomon` and nothing else of the project.
"""
