"""A live application to migrate: the web service of the rental app, as its engineers wrote it for legacy.

`app` answers requests, `hooks` hold what a page needs of the memory, `components` render it. All of it gets its memory
functions from one module, which `before` and `after` name in one import each: that line is the migration.
"""
